#pragma once

#include <memory>

#include "ir/model.hpp"
#include "model.pb.h"

namespace tl::format::nn {

// Translates a neuralnetwork, neuralnetworkClassifier or neuralnetworkRegressor into a program of one function "main".
// `model.info` holds the description already; labels and defaults are added to it. Weights are views of `message`.
// Throws Error{bad_model, unsupported, limit} that names the layer.
std::unique_ptr<ir::Program> translate_network(const std::shared_ptr<const spec::Model>& message, ModelInfo& info);

}  // namespace tl::format::nn
