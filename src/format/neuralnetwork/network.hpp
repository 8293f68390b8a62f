#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_set>

#include "format/neuralnetwork/layer.hpp"

namespace tl::format::nn {

// The values that blob names stand for. Assigning a name again replaces its value from then on.
using Blobs = std::unordered_map<std::string, Blob>;
using Layers = google::protobuf::RepeatedPtrField<spec::NeuralNetworkLayer>;

// Names that a layer or a network assigns, nested networks included.
void assigned(const spec::NeuralNetworkLayer& layer, std::unordered_set<std::string>& names, int depth = 0);
void assigned(const Layers& layers, std::unordered_set<std::string>& names, int depth = 0);

// Translates layers in order. Networks nested in branch and loop layers read and assign the blobs around them.
class Network {
 public:
  Network(Emitter& emitter, std::shared_ptr<const void> owner, bool rank5, FeatureDims outputs = {},
          std::string* refusal = nullptr)
      : emitter_(emitter), owner_(std::move(owner)), rank5_(rank5), outputs_(std::move(outputs)), refusal_(refusal) {}

  void set(const std::string& name, const Blob& blob) { blobs_.insert_or_assign(name, blob); }
  const Blob& get(const std::string& name) const;
  // The blob that the last layer gave first; empty when there are no layers.
  const std::string& last() const noexcept { return last_; }

  void run(const Layers& layers) { run(layers, 0); }

 private:
  // Flags of the loop around: what a loopBreak or loopContinue layer sets.
  static constexpr const char* broken_flag = "\1broken";
  static constexpr const char* skip_flag = "\1skip";

  static constexpr int max_depth = 64;

  void run(const Layers& layers, int from);
  void layer(const spec::NeuralNetworkLayer& message);
  // The layer, or an op without a definition in its place.
  void layer_or_gap(const spec::NeuralNetworkLayer& message);
  void gap(const spec::NeuralNetworkLayer& message);
  void plain(const spec::NeuralNetworkLayer& message);
  void branch(const spec::NeuralNetworkLayer& message);
  void loop(const spec::NeuralNetworkLayer& message);
  // cond over blobs: each body assigns names; what one of them leaves alone keeps its value.
  void either(const Blob& condition, const std::function<void()>& yes, const std::function<void()>& no);
  // What the blobs are after `body` has emitted into `block`; they stay as they were outside of it.
  Blobs in_block(ir::Block& block, const std::function<void()>& body);
  bool leaves(const Layers& layers, int depth = 0) const;
  void deeper() {
    if (++depth_ > max_depth) fail(ErrorKind::limit, "branches are nested over {} deep", max_depth);
  }
  // Bounds the work that a file can ask for.
  void charge(std::int64_t cost) {
    budget_ -= cost;
    if (budget_ < 0) fail(ErrorKind::limit, "the network has too many layers");
  }
  void set_flag(const char* name) { set(name, Emitter::literal(Tensor::scalar(true))); }
  ir::Var* as_var(const Blob& blob);

  Emitter& emitter_;
  std::shared_ptr<const void> owner_;
  bool rank5_;
  FeatureDims outputs_;
  std::string* refusal_;  // null: every layer must be translated
  Blobs blobs_;
  std::string last_;
  int depth_ = 0, loops_ = 0;
  std::int64_t budget_ = 1'000'000;  // layers, those of loops counted each time they are translated
};

}  // namespace tl::format::nn
