#pragma once

#include "feature_types.pb.h"
#include "model.pb.h"
#include "tensorlogic/feature.hpp"

namespace tl::format {

// The spec's description of a model <-> ModelInfo: metadata, and one interface per function (the default one first).
void read_description(const spec::ModelDescription& message, ModelInfo& info);
void write_description(const ModelInfo& info, spec::ModelDescription& message);

// "mlprogram", "neuralnetwork", "neuralnetworkClassifier", "treeEnsembleRegressor", "pipeline", ...; "" when none is set.
std::string model_type_name(const spec::Model& message);

}  // namespace tl::format
