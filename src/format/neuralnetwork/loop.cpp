#include <algorithm>

#include "format/neuralnetwork/network.hpp"

namespace tl::format::nn {

using namespace ir;

namespace {

constexpr int max_loops = 8;  // each level translates its body up to three times

// What both types fit: extents that differ become unknown.
Type widened(const Type& a, const Type& b) {
  const TensorType& x = a.tensor();
  const TensorType& y = b.tensor();
  if (!x.dims || !y.dims || x.dims->size() != y.dims->size()) return TensorType{x.dtype, std::nullopt};
  Dims dims = *x.dims;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] != (*y.dims)[i]) dims[i] = Dim::unknown();
  }
  return {x.dtype, std::move(dims)};
}

}  // namespace

void assigned(const spec::NeuralNetworkLayer& layer, std::unordered_set<std::string>& names, int depth) {
  names.insert(layer.output().begin(), layer.output().end());
  if (layer.has_branch()) {
    assigned(layer.branch().ifbranch().layers(), names, depth + 1);
    assigned(layer.branch().elsebranch().layers(), names, depth + 1);
  }
  if (layer.has_loop()) {
    assigned(layer.loop().conditionnetwork().layers(), names, depth + 1);
    assigned(layer.loop().bodynetwork().layers(), names, depth + 1);
  }
}

void assigned(const Layers& layers, std::unordered_set<std::string>& names, int depth) {
  if (depth > 64) return;
  for (const auto& layer : layers) assigned(layer, names, depth);
}

// while_loop whose condition is one of its values, so that what the condition network assigns lives on as well:
//   go = condition(); while (go and count < most) { body(); go = condition() and not broken }
void Network::loop(const spec::NeuralNetworkLayer& message) {
  const spec::LoopLayerParams& params = message.loop();
  if (++loops_ > max_loops) fail(ErrorKind::limit, "loops are nested over {} deep", max_loops);
  emitter_.prefix(message.name());
  const auto condition = [&]() -> Blob {
    if (params.has_conditionnetwork()) run(params.conditionnetwork().layers(), 0);
    if (params.conditionvar().empty()) return Emitter::literal(Tensor::scalar(true));
    return emitter_.to_bool(emitter_.scalar(get(params.conditionvar())));
  };
  std::optional<Blob> most;
  if (message.input_size() > 0) {
    most = emitter_.to_int(emitter_.scalar(get(message.input(0))));
  } else if (params.maxloopiterations() > 0) {
    const auto limit = std::min<std::uint64_t>(params.maxloopiterations(), INT32_MAX);
    most = Emitter::literal(Tensor::scalar(static_cast<std::int32_t>(limit)));
  }
  if (!most && params.conditionvar().empty()) fail(ErrorKind::bad_model, "the loop has neither a condition nor a limit");

  const auto outer_broken = blobs_.find(broken_flag) == blobs_.end() ? std::nullopt : std::optional<Blob>(get(broken_flag));
  const auto outer_skip = blobs_.find(skip_flag) == blobs_.end() ? std::nullopt : std::optional<Blob>(get(skip_flag));
  const Blob no = Emitter::literal(Tensor::scalar(false));

  std::unordered_set<std::string> names;
  assigned(params.bodynetwork().layers(), names);
  const Blob go = condition();
  if (params.has_conditionnetwork()) assigned(params.conditionnetwork().layers(), names);
  std::vector<std::string> carried;
  for (const std::string& name : names) {
    if (blobs_.count(name) != 0) carried.push_back(name);
  }
  std::sort(carried.begin(), carried.end());

  std::vector<Blob> start{go, Emitter::literal(Tensor::scalar(std::int32_t{0}))};
  for (const std::string& name : carried) start.push_back(get(name));
  std::vector<Type> types;
  types.reserve(start.size());
  for (const Blob& blob : start) types.push_back(type_of(blob));

  // The extents of a value may change from one turn to the next: translate until its type covers what the body gives.
  for (int attempt = 0;; ++attempt) {
    std::vector<std::unique_ptr<Block>> blocks;
    for (int b = 0; b < 2; ++b) {
      blocks.push_back(std::make_unique<Block>());
      for (std::size_t i = 0; i < types.size(); ++i) {
        auto param = std::make_unique<Var>();
        param->name = emitter_.unique(i == 0 ? message.name() + "_go" : i == 1 ? message.name() + "_count" : carried[i - 2]);
        param->type = types[i];
        blocks.back()->params.push_back(std::move(param));
      }
    }
    {
      const Emitter::Scope scope(emitter_, *blocks[0]);
      Blob proceed = blocks[0]->params[0].get();
      if (most) {
        proceed = emitter_.binary("logical_and", proceed, emitter_.binary("less", blocks[0]->params[1].get(), *most));
      }
      blocks[0]->outputs.push_back(as_var(proceed));
    }
    std::vector<Blob> next;
    in_block(*blocks[1], [&] {
      for (std::size_t i = 0; i < carried.size(); ++i) set(carried[i], blocks[1]->params[i + 2].get());
      set(broken_flag, no);
      set(skip_flag, no);
      run(params.bodynetwork().layers(), 0);
      const Blob broken = get(broken_flag);
      const Blob again = condition();
      emitter_.prefix(message.name());
      next.push_back(emitter_.binary("logical_and", again, emitter_.op("logical_not", {{"x", broken}})));
      next.push_back(emitter_.binary("add", blocks[1]->params[1].get(), Emitter::literal(Tensor::scalar(std::int32_t{1}))));
      for (const std::string& name : carried) next.push_back(get(name));
      for (const Blob& blob : next) blocks[1]->outputs.push_back(as_var(blob));
    });
    bool covered = true;
    for (std::size_t i = 0; i < types.size(); ++i) {
      Type both = widened(types[i], type_of(next[i]));
      if (both != types[i]) covered = false;
      types[i] = std::move(both);
    }
    if (!covered) {
      if (attempt > 4) fail(ErrorKind::internal, "the types of a loop do not settle");
      continue;
    }
    emitter_.prefix(message.name());
    const std::vector<Blob> results = emitter_.ops("while_loop", {{"loop_vars", start}}, std::move(blocks));
    for (std::size_t i = 0; i < carried.size(); ++i) set(carried[i], results[i + 2]);
    break;
  }
  if (outer_broken) set(broken_flag, *outer_broken);
  if (outer_skip) set(skip_flag, *outer_skip);
  --loops_;
}

}  // namespace tl::format::nn
