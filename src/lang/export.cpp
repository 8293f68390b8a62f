#include "lang/export.hpp"

#include <algorithm>
#include <cmath>
#include <random>
#include <unordered_map>

#include "format/neuralnetwork/emitter.hpp"
#include "ir/verify.hpp"
#include "op/opset.hpp"
#include "plan/interpreter.hpp"

namespace tl::lang {

namespace {

using format::nn::Emitter;
using Outputs = std::vector<std::pair<std::string, TensorPtr>>;

// A name that Core ML takes.
std::string plain_name(const std::string& name) {
  std::string result;
  for (const char ch : name) {
    const bool fits = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9' && !result.empty());
    result += fits ? ch : '_';
  }
  return result;
}

void name_fields(const Object& object, const std::string& prefix, int depth,
                 std::unordered_map<const TensorBox*, std::string>& names) {
  if (depth > 32) fail(ErrorKind::limit, "structs nested deeper than 32 levels");
  for (const auto& [name, value] : object.fields) {
    if (const auto* tensor = value.as<TensorPtr>()) names.emplace(tensor->get(), prefix + name);
    if (const auto* inner = value.as<ObjectPtr>()) name_fields(**inner, prefix + name + ".", depth + 1, names);
  }
}

class Exporter {
 public:
  Exporter(Interpreter::Impl& session, const Datum& source) : session_(session) {
    if (const auto* object = source.as<ObjectPtr>()) {
      const auto type = session.methods.find((*object)->type);
      if (type != session.methods.end() && type->second.contains("forward")) fn_ = type->second.at("forward");
      if (fn_ == nullptr)
        fail(ErrorKind::script, "{} has no method forward(self, ...), whose computation would become the model",
             (*object)->type);
      first_.push_back(source);
      name_fields(**object, "", 0, names_);
    } else if (const auto* function = source.as<Function>()) {
      const auto found = session.functions.find(function->name);
      if (found == session.functions.end()) fail(ErrorKind::script, "'{}' is not a function of this script", function->name);
      fn_ = found->second;
    } else {
      fail(ErrorKind::invalid_argument, "a struct with a method forward, or a function, becomes a model; this is {}",
           type_name(source));
    }
    for (const auto& [name, value] : session.globals) {
      if (const auto* tensor = value.as<TensorPtr>()) names_.emplace(tensor->get(), name);
      if (const auto* object = value.as<ObjectPtr>()) name_fields(**object, name + ".", 1, names_);
    }
    for (std::size_t i = first_.size(); i < fn_->params.size(); ++i) add_input(fn_->params[i]);
    if (inputs_.empty()) fail(ErrorKind::script, "{} has no parameter that could be an input of the model", fn_->name);
  }

  ir::Model run() {
    std::mt19937 random(1);  // NOLINT(cert-msc51-cpp): the same program every time
    std::vector<TraceStep> trace;
    const std::vector<TensorPtr> given = draw(random, 0);
    session_.ops.trace = &trace;
    Outputs outputs;
    try {
      outputs = forward(given);
    } catch (...) {
      session_.ops.trace = nullptr;
      throw;
    }
    session_.ops.trace = nullptr;
    emit(given, trace, outputs);
    ir::verify(*function_);
    function_->opset = op::lowest_opset(*function_);
    for (int round = 1; round <= 2; ++round) compare(random, round);
    return finish();
  }

 private:
  void add_input(const ParamDecl& param) {
    const auto refuse = [&](const char* why) {
      fail(ErrorKind::script, "parameter '{}' of {} {}: inputs of a model are declared like x: float16[1, 4]", param.name,
           fn_->name, why);
    };
    if (!param.type || !param.type->has_dims) refuse("has no shape");
    const auto dtype = dtype_of_type(param.type->name);
    if (!dtype) refuse("has no element type");
    if (*dtype != DType::f16 && *dtype != DType::f32 && *dtype != DType::i32)
      refuse("is of a type that Core ML does not take (float16, float32 and int32 are)");
    Shape shape;
    for (const DimSpec& dim : param.type->dims) {
      if (dim.kind != DimSpec::fixed) refuse("has an open extent");
      shape.push_back(dim.extent);
    }
    if (shape.empty()) refuse("has no axis");
    inputs_.push_back({plain_name(param.name), *dtype, shape});
  }

  std::vector<TensorPtr> draw(std::mt19937& random, int round) {
    std::normal_distribution<double> normal;
    std::vector<TensorPtr> result;
    for (const Input& input : inputs_) {
      Tensor wide(DType::f64, input.shape);
      // Integers are often places: 0 lies inside of everything.
      for (double& value : wide.mutable_values<double>()) value = is_floating(input.dtype) ? normal(random) : round / 2;
      result.push_back(session_.ops.box(wide.cast(input.dtype)));
    }
    return result;
  }

  Outputs forward(const std::vector<TensorPtr>& given) {
    std::vector<Datum> args = first_;
    args.insert(args.end(), given.begin(), given.end());
    const std::vector<std::string> labels(args.size());
    const Datum result = session_.call_function(*fn_, std::move(args), labels, fn_->place);
    Outputs outputs;
    const auto add = [&](const std::string& name, const Datum& value) {
      const auto* tensor = value.as<TensorPtr>();
      if (tensor == nullptr) fail(ErrorKind::script, "{} gives {}, a model gives tensors", fn_->name, type_name(value));
      outputs.emplace_back(plain_name(name), *tensor);
    };
    if (const auto* object = result.as<ObjectPtr>()) {
      for (const auto& [name, value] : (*object)->fields) add(name, value);
    } else if (const auto* array = result.as<ArrayPtr>()) {
      for (std::size_t i = 0; i < (*array)->items.size(); ++i) add(fmt::format("output_{}", i), (*array)->items[i]);
    } else {
      add("output", result);
    }
    if (outputs.empty()) fail(ErrorKind::script, "{} gives nothing", fn_->name);
    return outputs;
  }

  void emit(const std::vector<TensorPtr>& given, const std::vector<TraceStep>& trace, const Outputs& outputs) {
    function_ = std::make_unique<ir::Function>();
    Emitter emitter(function_->body);
    std::unordered_map<const TensorBox*, ir::Binding> values;
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      auto var = std::make_unique<ir::Var>();
      var->name = emitter.unique(inputs_[i].name);
      if (var->name != inputs_[i].name) fail(ErrorKind::script, "two inputs would be called '{}'", inputs_[i].name);
      var->type = ir::Type(inputs_[i].dtype, ir::dims_of(inputs_[i].shape));
      values.emplace(given[i].get(), var.get());
      function_->inputs.push_back(std::move(var));
    }
    for (const auto& [name, tensor] : outputs) reserved_.push_back(emitter.unique(name));
    const auto constant = [&](const Tensor& tensor, const std::string& name) {
      return emitter.weight(tensor.dtype() == DType::i64   ? tensor.cast(DType::i32)
                            : tensor.dtype() == DType::f64 ? tensor.cast(DType::f32)
                                                           : tensor,
                            name);
    };
    const auto value_of = [&](const TensorPtr& tensor) {
      const auto found = values.find(tensor.get());
      if (found != values.end()) return found->second;
      const auto named = names_.find(tensor.get());
      return values
          .emplace(tensor.get(), constant(tensor->data, named == names_.end() ? "constant" : plain_name(named->second)))
          .first->second;
    };
    for (const TraceStep& step : trace) {
      const auto depends = [&](const TensorPtr& tensor) {
        const auto found = values.find(tensor.get());
        return found != values.end() && ir::constant_of(found->second) == nullptr;
      };
      const bool traced = std::any_of(step.inputs.begin(), step.inputs.end(), [&](const OpInput& input) {
        return std::any_of(input.tensors.begin(), input.tensors.end(), depends);
      });
      if (!traced) continue;  // its results are constants
      if (step.op.starts_with("tl."))
        fail(ErrorKind::unsupported, "the operation '{}' has no place in a Core ML model", step.op);
      emitter.prefix(step.op);
      format::nn::Args args;
      for (const OpInput& input : step.inputs) {
        std::vector<ir::Binding> bound;
        for (const TensorPtr& tensor : input.tensors) bound.push_back(value_of(tensor));
        if (bound.empty()) bound.push_back(constant(input.constant.tensor(), step.op + "_" + input.name));
        args.emplace_back(input.name, bound);
      }
      const std::vector<ir::Binding> results = emitter.ops(step.op, args);
      for (std::size_t i = 0; i < step.outputs.size(); ++i) values[step.outputs[i].get()] = results.at(i);
    }
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      const auto found = values.find(outputs[i].second.get());
      auto* const* var = found == values.end() ? nullptr : std::get_if<ir::Var*>(&found->second);
      if (var == nullptr || (*var)->constant != nullptr)
        fail(ErrorKind::script, "'{}' of {} does not depend on the inputs", outputs[i].first, fn_->name);
      ir::Var* output = *var;
      auto& listed = function_->body.outputs;
      const bool taken = output->producer == nullptr || std::find(listed.begin(), listed.end(), output) != listed.end();
      const DType dtype = output->type.tensor().dtype;
      emitter.prefix(outputs[i].first);
      if (dtype == DType::boolean) {
        output = std::get<ir::Var*>(emitter.cast(output, DType::i32));
      } else if (taken) {
        output = std::get<ir::Var*>(emitter.op("identity", {{"x", found->second}}));
      }
      output->name = reserved_[i];
      listed.push_back(output);
    }
  }

  // The program against the script.
  void compare(std::mt19937& random, int round) {
    const std::vector<TensorPtr> given = draw(random, round);
    Outputs wanted;
    try {
      wanted = forward(given);
    } catch (const Error&) {
      if (round / 2 != 0) return;  // no such place
      throw;
    }
    std::unordered_map<const ir::Var*, tl::Value> values;
    for (std::size_t i = 0; i < given.size(); ++i) values[function_->inputs[i].get()] = given[i]->data;
    plan::Limits limits;
    const std::vector<tl::Value> got = plan::interpret_block(
        function_->body, {}, [&](const ir::Var& var) { return values.at(&var); }, {}, limits);
    bool same = wanted.size() == got.size();
    for (std::size_t i = 0; same && i < got.size(); ++i) {
      const Tensor a = got[i].tensor().cast(DType::f64), b = wanted[i].second->data.cast(DType::f64);
      same = a.shape() == b.shape();
      for (std::int64_t k = 0; same && k < a.size(); ++k) {
        const double x = a.number_at(k), y = b.number_at(k);
        same = x == y || (std::isnan(x) && std::isnan(y));
      }
    }
    if (!same) {
      fail(ErrorKind::script,
           "{} does not compute the same for all inputs (it decides by their values, reads them as numbers, or draws random "
           "ones), so that no one program stands for it",
           fn_->name);
    }
  }

  ir::Model finish() {
    ir::Model model;
    model.info.model_type = "mlprogram";
    Interface& interface = model.info.interfaces.emplace_back();
    const auto add = [](std::vector<Feature>& features, const ir::Var& var) {
      ArrayFeature array;
      array.dtype = var.type.tensor().dtype;
      array.shape = ir::shape_of(var.type.tensor()).value_or(Shape{});
      features.emplace_back();
      features.back().name = var.name;
      features.back().kind = array;
    };
    for (const auto& input : function_->inputs) add(interface.inputs, *input);
    for (const ir::Var* output : function_->body.outputs) add(interface.outputs, *output);
    model.program = std::make_unique<ir::Program>();
    model.program->functions.push_back(std::move(function_));
    return model;
  }

  struct Input {
    std::string name;
    DType dtype;
    Shape shape;
  };

  Interpreter::Impl& session_;
  std::shared_ptr<FnDecl> fn_;
  std::vector<Datum> first_;  // self
  std::vector<Input> inputs_;
  std::vector<std::string> reserved_;
  std::unordered_map<const TensorBox*, std::string> names_;
  std::unique_ptr<ir::Function> function_;
};

}  // namespace

ir::Model export_program(Interpreter::Impl& session, const Datum& source) { return Exporter(session, source).run(); }

}  // namespace tl::lang
