#include "format/neuralnetwork/network.hpp"

#include <google/protobuf/io/coded_stream.h>

#include <algorithm>

namespace tl::format::nn {
namespace {

std::string_view kind_of(const spec::NeuralNetworkLayer& message) {
  switch (message.layer_case()) {
#define TL_LAYER(spelling, id, field, Params) \
  case spec::NeuralNetworkLayer::k##id: return spelling;
#include "format/neuralnetwork/layers.inc"
#undef TL_LAYER
    case spec::NeuralNetworkLayer::kBranch: return "branch";
    case spec::NeuralNetworkLayer::kLoop: return "loop";
    case spec::NeuralNetworkLayer::kLoopBreak: return "loopBreak";
    case spec::NeuralNetworkLayer::kLoopContinue: return "loopContinue";
    case spec::NeuralNetworkLayer::LAYER_NOT_SET: break;
  }
  return "of an unknown kind";
}

// A kind that this version does not know goes by the number of its field.
std::string gap_name(const spec::NeuralNetworkLayer& message) {
  if (message.layer_case() != spec::NeuralNetworkLayer::LAYER_NOT_SET) return std::string(kind_of(message));
  spec::NeuralNetworkLayer rest = message;
  rest.clear_name();
  rest.clear_input();
  rest.clear_output();
  rest.clear_inputtensor();
  rest.clear_outputtensor();
  rest.clear_isupdatable();
  const std::string bytes = rest.SerializeAsString();
  google::protobuf::io::CodedInputStream stream(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                                checked_cast<int>(bytes.size(), "a layer"));
  const std::uint32_t tag = stream.ReadTag();
  return tag == 0 ? "unknown" : fmt::format("unknown_{}", tag >> 3);
}

void dispatch(Layer& layer) {
  switch (layer.message.layer_case()) {
#define TL_LAYER(spelling, id, field, Params) \
  case spec::NeuralNetworkLayer::k##id: return translate(layer, layer.message.field());
#include "format/neuralnetwork/layers.inc"
#undef TL_LAYER
    default: fail(ErrorKind::unsupported, "layers of this kind are not supported");
  }
}

// Blobs have at least one axis.
Blob at_least_1d(Emitter& e, const Blob& blob) {
  const ir::TensorType& type = tensor_type(blob);
  return type.dims && type.dims->empty() ? e.reshape(blob, std::vector<std::int64_t>{1}) : blob;
}

}  // namespace

void translate(Layer& layer, const spec::CopyLayerParams&) { layer.put(layer.x()); }

const Blob& Network::get(const std::string& name) const {
  const auto found = blobs_.find(name);
  if (found == blobs_.end()) fail(ErrorKind::bad_model, "blob '{}' is not computed before it is used", name);
  return found->second;
}

void Network::run(const Layers& layers, int from) {
  for (int i = from; i < layers.size(); ++i) {
    const spec::NeuralNetworkLayer& message = layers[i];
    charge(1);
    within([&] { return fmt::format("layer '{}' ({})", message.name(), kind_of(message)); }, [&] { layer_or_gap(message); });
    if (message.has_loopbreak() || message.has_loopcontinue()) return;
    const bool may_leave = blobs_.count(broken_flag) != 0 && message.has_branch() &&
                           (leaves(message.branch().ifbranch().layers()) || leaves(message.branch().elsebranch().layers()));
    if (may_leave && i + 1 < layers.size()) {
      const Blob stop = emitter_.binary("logical_or", get(broken_flag), get(skip_flag));
      deeper();
      either(
          stop, [] {}, [&] { run(layers, i + 1); });
      --depth_;
      return;
    }
  }
}

void Network::layer_or_gap(const spec::NeuralNetworkLayer& message) {
  if (refusal_ == nullptr) return layer(message);
  const std::size_t count = emitter_.count();
  const int depth = depth_, loops = loops_;
  Blobs before;
  if (message.has_branch() || message.has_loop()) before = blobs_;
  try {
    return layer(message);
  } catch (const Error& error) {
    // After a gap, types are guesses that may not fit.
    const bool guessed = !refusal_->empty() && error.kind() == ErrorKind::bad_model;
    if (error.kind() != ErrorKind::unsupported && !guessed) throw;
    if (refusal_->empty()) *refusal_ = fmt::format("layer '{}' ({}): {}", message.name(), kind_of(message), error.message());
  }
  emitter_.take_back(count);
  depth_ = depth;
  loops_ = loops;
  if (message.has_branch() || message.has_loop()) blobs_ = std::move(before);
  gap(message);
}

void Network::gap(const spec::NeuralNetworkLayer& message) {
  emitter_.prefix(message.name().empty() ? std::string(kind_of(message)) : message.name());
  Layer layer{emitter_, message, owner_, rank5_, {}, {}, &outputs_};
  for (const std::string& name : message.input()) layer.in.push_back(get(name));
  std::vector<std::string> outputs(message.output().begin(), message.output().end());
  std::vector<ir::Type> types;
  for (int i = 0; i < message.output_size(); ++i) types.push_back(declared_type(layer, i));
  std::unordered_set<std::string> inner;
  assigned(message, inner);
  for (const std::string& name : outputs) inner.erase(name);
  outputs.insert(outputs.end(), inner.begin(), inner.end());
  std::sort(outputs.begin() + message.output_size(), outputs.end());
  types.resize(outputs.size(), ir::TensorType{DType::f32, std::nullopt});
  const auto results = emitter_.undefined("nn." + gap_name(message), {{"values", layer.in}}, std::move(types));
  for (std::size_t i = 0; i < results.size(); ++i) {
    emitter_.rename(results[i], outputs[i]);
    set(outputs[i], results[i]);
    if (i == 0) last_ = outputs[i];
  }
}

void Network::layer(const spec::NeuralNetworkLayer& message) {
  switch (message.layer_case()) {
    case spec::NeuralNetworkLayer::kBranch: return branch(message);
    case spec::NeuralNetworkLayer::kLoop: return loop(message);
    case spec::NeuralNetworkLayer::kLoopBreak:
    case spec::NeuralNetworkLayer::kLoopContinue:
      if (blobs_.count(broken_flag) == 0) fail(ErrorKind::bad_model, "stands outside of a loop");
      return set_flag(message.has_loopbreak() ? broken_flag : skip_flag);
    default: return plain(message);
  }
}

void Network::plain(const spec::NeuralNetworkLayer& message) {
  emitter_.prefix(message.name().empty() ? std::string(kind_of(message)) : message.name());
  Layer layer{emitter_, message, owner_, rank5_, {}, {}, &outputs_};
  for (const std::string& name : message.input()) layer.in.push_back(get(name));
  dispatch(layer);
  if (message.output_size() > static_cast<int>(layer.out.size())) {
    fail(ErrorKind::bad_model, "{} outputs are named, it gives {}", message.output_size(), layer.out.size());
  }
  for (int i = 0; i < message.output_size(); ++i) {
    const Blob blob = at_least_1d(emitter_, emitter_.to_float(layer.out[static_cast<std::size_t>(i)]));
    if (!message.has_copy()) emitter_.rename(blob, message.output(i));
    set(message.output(i), blob);
    if (i == 0) last_ = message.output(i);
  }
}

ir::Var* Network::as_var(const Blob& blob) {
  if (auto* const* var = std::get_if<ir::Var*>(&blob)) return *var;
  return std::get<ir::Var*>(emitter_.weight(known(blob), emitter_.prefix() + "_value"));
}

Blobs Network::in_block(ir::Block& block, const std::function<void()>& body) {
  charge(1 + iz(blobs_.size()) / 16);
  Blobs outer = blobs_;
  const Emitter::Scope scope(emitter_, block);
  body();
  return std::exchange(blobs_, std::move(outer));
}

void Network::either(const Blob& condition, const std::function<void()>& yes, const std::function<void()>& no) {
  const std::string prefix = emitter_.prefix();
  std::vector<std::unique_ptr<ir::Block>> blocks;
  blocks.push_back(std::make_unique<ir::Block>());
  blocks.push_back(std::make_unique<ir::Block>());
  const Blobs a = in_block(*blocks[0], yes);
  const Blobs b = in_block(*blocks[1], no);
  std::map<std::string, std::pair<Blob, Blob>> changed;
  for (const auto& [name, value] : a) {
    const auto other = b.find(name);
    if (other == b.end() || other->second == value) continue;
    changed.emplace(name, std::pair(value, other->second));
  }
  emitter_.prefix(prefix);
  for (const auto& [name, values] : changed) {
    for (const std::size_t i : {std::size_t{0}, std::size_t{1}}) {
      const Emitter::Scope scope(emitter_, *blocks[i]);
      blocks[i]->outputs.push_back(as_var(i == 0 ? values.first : values.second));
    }
  }
  const std::vector<Blob> results = emitter_.ops("cond", {{"pred", condition}}, std::move(blocks));
  std::size_t i = 0;
  for (const auto& [name, values] : changed) set(name, results[i++]);
}

void Network::branch(const spec::NeuralNetworkLayer& message) {
  deeper();
  emitter_.prefix(message.name());
  if (message.input_size() != 1) fail(ErrorKind::bad_model, "{} inputs are given, expected 1", message.input_size());
  const Blob condition = emitter_.to_bool(emitter_.scalar(get(message.input(0))));
  if (const Tensor value = known(condition); value.defined()) {
    const spec::BranchLayerParams& params = message.branch();
    run(value.number_at(0) != 0 ? params.ifbranch().layers() : params.elsebranch().layers(), 0);
    --depth_;
    return;
  }
  either(
      condition, [&] { run(message.branch().ifbranch().layers(), 0); },
      [&] { run(message.branch().elsebranch().layers(), 0); });
  --depth_;
}

// True when a loopBreak or loopContinue of the loop around is inside.
bool Network::leaves(const Layers& layers, int depth) const {
  if (depth > max_depth) return false;
  for (const auto& layer : layers) {
    if (layer.has_loopbreak() || layer.has_loopcontinue()) return true;
    if (layer.has_branch() &&
        (leaves(layer.branch().ifbranch().layers(), depth + 1) || leaves(layer.branch().elsebranch().layers(), depth + 1)))
      return true;
  }
  return false;
}

}  // namespace tl::format::nn
