#include "format/classic/program.hpp"

#include <algorithm>

#include "format/classic/stage.hpp"
#include "format/spec_description.hpp"
#include "format/spec_program.hpp"

namespace tl::format {

using namespace ir;
using nn::Blob;
using nn::Emitter;
using nn::Values;

namespace {

constexpr int max_depth = 16;

bool is_network(const spec::Model& message) {
  return message.has_neuralnetwork() || message.has_neuralnetworkclassifier() || message.has_neuralnetworkregressor();
}

const spec::Pipeline* pipeline_of(const spec::Model& message) {
  if (message.has_pipeline()) return &message.pipeline();
  if (message.has_pipelineclassifier()) return &message.pipelineclassifier().pipeline();
  if (message.has_pipelineregressor()) return &message.pipelineregressor().pipeline();
  return nullptr;
}

bool is_classic(const spec::Model& message) {
  switch (message.Type_case()) {
#define TL_CLASSIC(id, field) case spec::Model::k##id:
#include "format/classic/types.inc"
#undef TL_CLASSIC
    return true;
    default: return false;
  }
}

void dispatch(classic::Stage& stage) {
  switch (stage.message.Type_case()) {
#define TL_CLASSIC(id, field) \
  case spec::Model::k##id: return classic::translate(stage, stage.message.field());
#include "format/classic/types.inc"
#undef TL_CLASSIC
    default: fail(ErrorKind::unsupported, "models of type '{}' are not run", model_type_name(stage.message));
  }
}

// The type of a function's input for a feature of a classic model.
Type plain_type(const Feature& feature) {
  if (const auto* array = std::get_if<ArrayFeature>(&feature.kind)) {
    const DType dtype = array->dtype == DType::f16 ? DType::f32 : array->dtype;
    if (!array->ranges.empty()) {
      Dims dims;
      for (const Range& range : array->ranges) dims.push_back(range.lower == range.upper ? Dim(range.lower) : Dim::unknown());
      return {dtype, std::move(dims)};
    }
    if (array->shape.empty()) return {dtype, Dims{Dim::unknown()}};
    if (!array->enumerated.empty()) return {dtype, Dims(array->shape.size(), Dim::unknown())};
    return {dtype, dims_of(array->shape)};
  }
  if (std::holds_alternative<Int64Feature>(feature.kind)) return {DType::i64, {}};
  if (std::holds_alternative<DoubleFeature>(feature.kind)) return {DType::f64, {}};
  if (std::holds_alternative<StringFeature>(feature.kind)) return {DType::string, {}};
  if (const auto* dict = std::get_if<DictFeature>(&feature.kind)) {
    const Type key(dict->integer_keys ? DType::i64 : DType::string, {});
    return DictType{std::make_shared<const Type>(key), std::make_shared<const Type>(DType::f64, Dims{})};
  }
  if (const auto* image = std::get_if<ImageFeature>(&feature.kind)) {
    const bool gray = image->color == ColorSpace::grayscale || image->color == ColorSpace::grayscale_f16;
    return {DType::f32, {1, gray ? 1 : 3, image->height, image->width}};
  }
  fail(ErrorKind::unsupported, "a {} is not taken", type_name(feature));
}

class Translator {
 public:
  Translator(std::shared_ptr<const spec::Model> message, ModelInfo& info, const BlobReader& blobs)
      : message_(std::move(message)),
        interface_(info.interfaces.at(0)),
        blobs_(blobs),
        function_(std::make_unique<Function>()),
        emitter_(function_->body) {}

  std::unique_ptr<Program> run() {
    function_->name = interface_.function;
    function_->opset = "ios18";
    Values values;
    for (Feature& feature : interface_.inputs) {
      names_.push_back(emitter_.unique(feature.name));
      if (names_.back() != feature.name) fail(ErrorKind::bad_model, "two inputs are named '{}'", feature.name);
      auto var = std::make_unique<Var>();
      var->name = feature.name;
      within([&] { return fmt::format("input '{}'", feature.name); }, [&] { var->type = input_type(*message_, feature, 0); });
      if (auto* array = std::get_if<ArrayFeature>(&feature.kind)) {
        // Networks take zeros for optional inputs that are not given.
        if (feature.optional && !array->default_value) array->default_value = 0;
      }
      values[feature.name] = var.get();
      function_->inputs.push_back(std::move(var));
    }
    const Values results = stage(*message_, interface_, values, 0);
    for (const Feature& feature : interface_.outputs) {
      within([&] { return fmt::format("output '{}'", feature.name); },
             [&] {
               const auto found = results.find(feature.name);
               if (found == results.end()) fail(ErrorKind::bad_model, "no stage gives it");
               function_->body.outputs.push_back(finish(found->second, feature.name));
             });
    }
    auto program = std::make_unique<Program>();
    program->functions.push_back(std::move(function_));
    return program;
  }

 private:
  // Networks see their inputs as they want them; in a pipeline, where only a network reads the input, too.
  static Type input_type(const spec::Model& message, const Feature& feature, int depth) {
    if (is_network(message)) return nn::network_input_type(message, feature);
    if (const spec::Pipeline* pipeline = pipeline_of(message); pipeline != nullptr && depth < max_depth) {
      if (std::holds_alternative<ImageFeature>(feature.kind)) {
        for (const spec::Model& inner : pipeline->models()) {
          for (const auto& input : inner.description().input()) {
            if (input.name() == feature.name && (is_network(inner) || pipeline_of(inner) != nullptr))
              return input_type(inner, feature, depth + 1);
          }
        }
      }
    }
    return plain_type(feature);
  }

  // The outputs of one model for its inputs.
  Values stage(const spec::Model& message, const Interface& interface, const Values& inputs, int depth) {
    if (depth > max_depth) fail(ErrorKind::limit, "pipelines are nested over {} deep", max_depth);
    if (const spec::Pipeline* pipeline = pipeline_of(message)) return stages(*pipeline, interface, inputs, depth);
    if (is_network(message)) return nn::translate_network(emitter_, message_, message, interface, inputs);
    if (message.has_mlprogram()) return inlined(message, interface, inputs);
    emitter_.prefix(model_type_name(message));
    classic::Stage stage{emitter_, message, interface, inputs, message_, blobs_, {}};
    dispatch(stage);
    return std::move(stage.out);
  }

  Values stages(const spec::Pipeline& pipeline, const Interface& interface, const Values& inputs, int depth) {
    Values values = inputs;
    for (int i = 0; i < pipeline.models_size(); ++i) {
      const spec::Model& inner = pipeline.models(i);
      within([&] { return fmt::format("stage {} ({})", i, model_type_name(inner)); },
             [&] {
               ModelInfo info;
               read_description(inner.description(), info);
               for (auto& [name, value] : stage(inner, info.interfaces.at(0), values, depth + 1)) values[name] = value;
             });
    }
    Values outputs;
    for (const Feature& feature : interface.outputs) {
      if (const auto found = values.find(feature.name); found != values.end()) outputs[feature.name] = found->second;
    }
    return outputs;
  }

  // The ops of an ML program in the place of a call.
  Values inlined(const spec::Model& message, const Interface& interface, const Values& inputs) {
    const std::unique_ptr<Program> program = read_program(message.mlprogram(), blobs_);
    Function* function = program->function(interface.function);
    if (function == nullptr && program->functions.size() == 1) function = program->functions[0].get();
    if (function == nullptr) fail(ErrorKind::bad_model, "the program has no function '{}'", interface.function);
    std::unordered_map<const Var*, Blob> bound;
    for (const auto& input : function->inputs) {
      const auto given = inputs.find(input->name);
      if (given == inputs.end()) fail(ErrorKind::bad_model, "input '{}': no earlier stage gives it", input->name);
      bound[input.get()] = emitter_.cast(given->second, input->type.tensor().dtype);
    }
    Values outputs;
    for (Var* output : function->body.outputs) {
      const auto input = bound.find(output);
      outputs[output->name] = input == bound.end() ? Blob(output) : input->second;
    }
    rebind(function->body, bound);
    for (auto& op : function->body.ops) function_->body.ops.push_back(std::move(op));
    return outputs;
  }

  void rebind(Block& block, const std::unordered_map<const Var*, Blob>& bound) {
    const auto replace = [&](Blob& binding) {
      const auto* var = std::get_if<Var*>(&binding);
      if (const auto found = var == nullptr ? bound.end() : bound.find(*var); found != bound.end()) binding = found->second;
    };
    for (const auto& param : block.params) param->name = emitter_.unique(param->name);
    for (Blob& binding : block.param_bindings) replace(binding);
    for (const auto& op : block.ops) {
      for (Argument& argument : op->inputs) std::for_each(argument.bindings.begin(), argument.bindings.end(), replace);
      for (const auto& output : op->outputs) output->name = emitter_.unique(output->name);
      for (const auto& inner : op->blocks) rebind(*inner, bound);
    }
    for (Var*& output : block.outputs) {
      const auto found = bound.find(output);
      if (found == bound.end()) continue;
      auto* const* var = std::get_if<Var*>(&found->second);
      if (var == nullptr) fail(ErrorKind::unsupported, "a block gives an input back that is a constant");
      output = *var;
    }
  }

  // A variable of that name: the value itself when it is free to take the name, else a copy.
  Var* finish(const Blob& value, const std::string& name) {
    auto& outputs = function_->body.outputs;
    auto* const* given = std::get_if<Var*>(&value);
    Var* var = given == nullptr ? nullptr : *given;
    if (var != nullptr && var->producer == nullptr && var->name == name) return var;
    const bool taken = var == nullptr || var->producer == nullptr || var->constant != nullptr ||
                       std::find(outputs.begin(), outputs.end(), var) != outputs.end();
    if (taken) var = std::get<Var*>(emitter_.compressed("identity", {{"x", value}}, name));
    if (var->name == name) return var;
    if (std::find(names_.begin(), names_.end(), name) != names_.end())
      fail(ErrorKind::unsupported, "an input has the same name");
    for_each_op(function_->body, [&](const Op& op) {
      for (const auto& other : op.outputs) {
        if (other->name == name) other->name = emitter_.unique(name);
      }
    });
    var->name = name;
    return var;
  }

  std::shared_ptr<const spec::Model> message_;
  Interface& interface_;
  const BlobReader& blobs_;
  std::unique_ptr<Function> function_;
  Emitter emitter_;
  std::vector<std::string> names_;
};

}  // namespace

std::unique_ptr<Program> translate_model(const std::shared_ptr<const spec::Model>& message, ModelInfo& info,
                                         const BlobReader& blobs) {
  if (!is_network(*message) && pipeline_of(*message) == nullptr && !is_classic(*message)) return nullptr;
  if (info.interfaces.size() != 1) fail(ErrorKind::bad_model, "{} interfaces, expected one", info.interfaces.size());
  return Translator(message, info, blobs).run();
}

}  // namespace tl::format
