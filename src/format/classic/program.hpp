#pragma once

#include <memory>

#include "format/classic/linked.hpp"
#include "format/spec_bytes.hpp"
#include "ir/model.hpp"
#include "model.pb.h"

namespace tl::format {

// Translates a model that is no ML program into a program of one function: neural networks, classic types, pipelines of these
// and of ML programs. `info` holds the description already; defaults of optional inputs are added to it.
// Throws Error{bad_model, unsupported, limit} with the stage in its path; given `refusal`, what is unsupported becomes an op
// without a definition, and the first reason is put there.
std::unique_ptr<ir::Program> translate_model(const std::shared_ptr<const spec::Model>& message, ModelInfo& info,
                                             const BlobReader& blobs, const LinkReader& links, std::string* refusal = nullptr);

// Why a model, or a stage of a pipeline, is not run; empty when it is.
std::string why_refused(const spec::Model& message);

}  // namespace tl::format
