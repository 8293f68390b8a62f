#include "format/classic/program.hpp"

#include <algorithm>
#include <map>

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

void dispatch(classic::Stage& stage) {
  switch (stage.message.Type_case()) {
#define TL_CLASSIC(id, field) \
  case spec::Model::k##id: return classic::translate(stage, stage.message.field());
#include "format/classic/types.inc"
#undef TL_CLASSIC
    default: fail(ErrorKind::unsupported, "models of type '{}' are not run", model_type_name(stage.message));
  }
}

class Translator {
 public:
  Translator(std::shared_ptr<const spec::Model> message, ModelInfo& info, const BlobReader& blobs, const LinkReader& links,
             std::string* refusal)
      : message_(std::move(message)),
        interface_(info.interfaces.at(0)),
        blobs_(blobs),
        links_(links),
        refusal_(refusal),
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
    const Values results = stage_or_gap(*message_, interface_, values, 0);
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
  Type input_type(const spec::Model& message, const Feature& feature, int depth) {
    if (is_network(message)) return nn::network_input_type(message, feature);
    if (message.has_linkedmodel() && depth == 0) {
      const ir::Model& target = linked(message);
      for (const auto& input : entry(*target.program, target.info.interfaces.at(0).function).inputs) {
        if (input->name == feature.name) return input->type;
      }
      fail(ErrorKind::bad_model, "the linked model has no such input");
    }
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
    return classic::plain_type(feature);
  }

  // The same, or an op without a definition in the place of a model that is not run.
  Values stage_or_gap(const spec::Model& message, const Interface& interface, const Values& inputs, int depth) {
    if (refusal_ == nullptr || pipeline_of(message) != nullptr) return stage(message, interface, inputs, depth);
    const std::size_t count = emitter_.count();
    try {
      return stage(message, interface, inputs, depth);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::unsupported) throw;
      if (refusal_->empty()) *refusal_ = error.message();
    }
    emitter_.take_back(count);
    std::vector<Blob> values;
    std::vector<Type> types;
    for (const Feature& feature : interface.inputs) {
      if (const auto found = inputs.find(feature.name); found != inputs.end()) values.push_back(found->second);
    }
    for (const Feature& feature : interface.outputs) types.push_back(classic::plain_type(feature));
    emitter_.prefix(model_type_name(message));
    const auto results = emitter_.undefined("model." + model_type_name(message), {{"values", values}}, std::move(types));
    Values outputs;
    for (std::size_t i = 0; i < results.size(); ++i) outputs[interface.outputs[i].name] = results[i];
    return outputs;
  }

  // The outputs of one model for its inputs.
  Values stage(const spec::Model& message, const Interface& interface, const Values& inputs, int depth) {
    if (depth > max_depth) fail(ErrorKind::limit, "pipelines are nested over {} deep", max_depth);
    if (const spec::Pipeline* pipeline = pipeline_of(message)) return stages(*pipeline, interface, inputs, depth);
    if (is_network(message)) return nn::translate_network(emitter_, message_, message, interface, inputs, refusal_);
    if (message.has_mlprogram()) return inlined(*read_program(message.mlprogram(), blobs_), interface.function, inputs);
    if (message.has_linkedmodel()) {
      const ir::Model& target = linked(message);
      return inlined(*target.program, target.info.interfaces.at(0).function, inputs);
    }
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
               for (auto& [name, value] : stage_or_gap(inner, info.interfaces.at(0), values, depth + 1)) values[name] = value;
             });
    }
    Values outputs;
    for (const Feature& feature : interface.outputs) {
      if (const auto found = values.find(feature.name); found != values.end()) outputs[feature.name] = found->second;
    }
    return outputs;
  }

  // The model that a link leads to.
  const ir::Model& linked(const spec::Model& message) {
    if (const auto found = linked_.find(&message); found != linked_.end()) return found->second;
    if (!message.linkedmodel().has_linkedmodelfile()) fail(ErrorKind::bad_model, "the link names no file");
    ir::Model target = links_(message.linkedmodel().linkedmodelfile());
    if (target.program == nullptr || target.info.interfaces.empty())
      fail(ErrorKind::unsupported, "the linked model is not run: {}",
           target.refusal.empty() ? "it has no program" : target.refusal);
    return linked_.emplace(&message, std::move(target)).first->second;
  }

  static Function& entry(const Program& program, const std::string& name) {
    Function* function = program.function(name);
    if (function == nullptr && program.functions.size() == 1) function = program.functions[0].get();
    if (function == nullptr) fail(ErrorKind::bad_model, "the program has no function '{}'", name);
    return *function;
  }

  // The ops of a program in the place of a call; they are taken out of it.
  Values inlined(const Program& program, const std::string& name, const Values& inputs) {
    Function* const function = &entry(program, name);
    std::unordered_map<const Var*, Blob> bound;
    for (const auto& input : function->inputs) {
      if (input->type.as<StateType>() != nullptr) {
        bound[input.get()] = state(*input);
        continue;
      }
      const auto given = inputs.find(input->name);
      if (given == inputs.end()) fail(ErrorKind::bad_model, "input '{}': no earlier stage gives it", input->name);
      const bool tensor = input->type.is_tensor() && input->type.tensor().dtype != DType::string;
      bound[input.get()] = tensor ? emitter_.cast(given->second, input->type.tensor().dtype) : given->second;
      if (const Type& actual = type_of(bound[input.get()]); !compatible(input->type, actual)) {
        fail(ErrorKind::bad_model, "input '{}' takes {}, {} is given", input->name, to_string(input->type), to_string(actual));
      }
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

  // The state of that name, an input of the whole.
  Var* state(const Var& wanted) {
    for (const auto& input : function_->inputs) {
      if (input->name != wanted.name) continue;
      if (!(input->type == wanted.type)) fail(ErrorKind::bad_model, "two states are named '{}'", wanted.name);
      return input.get();
    }
    const auto& states = interface_.states;
    if (std::none_of(states.begin(), states.end(), [&](const Feature& feature) { return feature.name == wanted.name; }))
      fail(ErrorKind::bad_model, "the state '{}' is not one of the pipeline's", wanted.name);
    names_.push_back(emitter_.unique(wanted.name));
    if (names_.back() != wanted.name) fail(ErrorKind::bad_model, "two values are named '{}'", wanted.name);
    auto var = std::make_unique<Var>();
    var->name = wanted.name;
    var->type = wanted.type;
    function_->inputs.push_back(std::move(var));
    return function_->inputs.back().get();
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
  const LinkReader& links_;
  std::string* refusal_;  // null: every stage must be translated
  std::map<const spec::Model*, ir::Model> linked_;
  std::unique_ptr<Function> function_;
  Emitter emitter_;
  std::vector<std::string> names_;
};

}  // namespace

std::string why_refused(const spec::Model& message) {
  if (const spec::Pipeline* pipeline = pipeline_of(message)) {
    for (const spec::Model& stage : pipeline->models()) {
      if (std::string reason = why_refused(stage); !reason.empty()) return reason;
    }
    return "";
  }
  switch (message.Type_case()) {
#define TL_REFUSED(id, what) \
  case spec::Model::k##id: return fmt::format("models of type '{}' are not run: {}", model_type_name(message), what);
#include "format/classic/refused.inc"
#undef TL_REFUSED
    default: return "";
  }
}

std::unique_ptr<Program> translate_model(const std::shared_ptr<const spec::Model>& message, ModelInfo& info,
                                         const BlobReader& blobs, const LinkReader& links, std::string* refusal) {
  if (info.interfaces.size() != 1) fail(ErrorKind::bad_model, "{} interfaces, expected one", info.interfaces.size());
  return Translator(message, info, blobs, links, refusal).run();
}

}  // namespace tl::format
