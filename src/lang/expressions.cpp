#include <algorithm>

#include "lang/interpreter_impl.hpp"

namespace tl::lang {

Datum Interpreter::Impl::eval(const Expr& expr) {
  check_stack(expr.place);
  return at_place(expr.place, [&] {
    budget->spend(1);
    return eval_inner(expr);
  });
}

Datum Interpreter::Impl::eval_inner(const Expr& expr) {
  switch (expr.kind) {
    case ExprKind::integer: return expr.integer;
    case ExprKind::number: return expr.number;
    case ExprKind::boolean: return expr.integer != 0;
    case ExprKind::string: return expr.text;
    case ExprKind::name: return eval_name(expr);
    case ExprKind::array: return eval_array(expr, std::nullopt);
    case ExprKind::set: {
      std::vector<Datum> items;
      for (const ExprPtr& kid : expr.kids) {
        const bool bare = kid->kind == ExprKind::name && find(kid->text) == nullptr;
        items.push_back(bare ? Datum(kid->text) : eval(*kid));
      }
      return array(std::move(items), "list");
    }
    case ExprKind::unary: {
      const Datum value = eval(*expr.kids[0]);
      if (expr.text == "-") return negate(value);
      if (const auto* t = value.as<TensorPtr>(); t != nullptr && (*t)->data.rank() > 0) {
        return ops.unary("logical_not", ops.cast(*t, DType::boolean));
      }
      return !truth(value, expr.place);
    }
    case ExprKind::binary: return eval_binary(expr);
    case ExprKind::range: {
      const std::int64_t first = integer(eval(*expr.kids[0]), "the start of the range");
      const std::int64_t last = integer(eval(*expr.kids[1]), "the end of the range");
      std::vector<std::int64_t> values;
      if (last > first) {
        const auto count = static_cast<std::uint64_t>(last) - static_cast<std::uint64_t>(first);
        budget->reserve(checked_mul<std::uint64_t>(count, sizeof(Datum), "bytes"));
        budget->spend(count);
        for (std::int64_t i = first; i < last; ++i) values.push_back(i);
      }
      return integers(values);
    }
    case ExprKind::call: return eval_call(expr);
    case ExprKind::path_call: return eval_path_call(expr);
    case ExprKind::apply: {
      const Datum callee = eval(*expr.kids[0]);
      const auto* fn = callee.as<Function>();
      if (fn == nullptr) fail(ErrorKind::script, "{} cannot be called", type_name(callee));
      std::vector<Datum> args;
      for (std::size_t i = 1; i < expr.kids.size(); ++i) args.push_back(eval(*expr.kids[i]));
      const std::vector<std::string> names(expr.names.begin() + 1, expr.names.end());
      const auto found = functions.find(fn->name);
      if (found != functions.end()) return call_function(*found->second, std::move(args), names, expr.place);
      return call_builtin(fn->name, std::move(args), names, expr.place);
    }
    case ExprKind::method: return eval_method(expr);
    case ExprKind::member: return eval_member(expr);
    case ExprKind::index: return eval_index(expr);
    case ExprKind::slice: fail(ErrorKind::script, "a slice stands in an index only");
    case ExprKind::cast: return convert(eval(*expr.kids[0]), *expr.type, "as");
    case ExprKind::match: return eval_match(expr);
    case ExprKind::structure: return eval_structure(expr);
    case ExprKind::statement: {
      Datum value;
      const Flow flow = run_statement(*expr.statement, &value);
      if (flow != Flow::normal) fail(ErrorKind::script, "'return', 'break' or 'continue' inside of an expression");
      return value;
    }
  }
  return {};
}

Datum Interpreter::Impl::eval_expecting(const Expr& expr, const TypeSpec* type) {
  if (type != nullptr && expr.kind == ExprKind::array) {
    const auto dtype = dtype_of_type(type->name);
    if (dtype && type->has_dims) return at_place(expr.place, [&] { return eval_array(expr, dtype); });
  }
  return eval(expr);
}

Datum Interpreter::Impl::eval_name(const Expr& expr) {
  if (const Datum* found = find(expr.text)) return *found;
  if (functions.contains(expr.text)) return Function{expr.text};
  if (knowledge.relations.contains(expr.text)) return call_builtin("relation_tensor", {expr.text}, {""}, expr.place);
  if (knowledge.entities.contains(expr.text)) return EntityType{expr.text};
  if (knowledge.is_entity(expr.text)) return expr.text;
  if (find_builtin(expr.text) != nullptr) return Function{expr.text};
  fail(ErrorKind::script, "unknown name '{}'", expr.text);
}

// A flat literal of integers is an integer array, other numbers make a tensor (float16 unless a type is declared).
Datum Interpreter::Impl::eval_array(const Expr& expr, std::optional<DType> dtype) {
  std::vector<Datum> items;
  items.reserve(expr.kids.size());
  bool numbers = !expr.kids.empty(), whole = true, tensors = !expr.kids.empty();
  for (const ExprPtr& kid : expr.kids) {
    items.push_back(kid->kind == ExprKind::array ? at_place(kid->place, [&] { return eval_array(*kid, dtype); }) : eval(*kid));
    const Datum& item = items.back();
    numbers = numbers && item.is_number();
    whole = whole && item.as<std::int64_t>() != nullptr;
    const auto* inner = item.as<ArrayPtr>();
    tensors = tensors && (item.is_number() || item.as<TensorPtr>() != nullptr ||
                          (inner != nullptr && !(*inner)->items.empty() && (*inner)->all_integers()));
  }
  if (whole && numbers && !dtype) return array(std::move(items));
  if (numbers) {
    const DType type = dtype.value_or(DType::f16);
    Tensor out = Tensor::zeros(type, {iz(items.size())});
    visit_dtype(type, [&](auto element) {
      using T = decltype(element);
      auto values = out.mutable_values<T>();
      for (std::size_t i = 0; i < items.size(); ++i) {
        const auto* integer = items[i].as<std::int64_t>();
        values[i] = integer != nullptr ? convert_element<T>(*integer) : convert_element<T>(*items[i].as<double>());
      }
    });
    return ops.box(std::move(out));
  }
  if (!tensors) return array(std::move(items));
  std::vector<TensorPtr> parts;
  DType common = dtype.value_or(DType::f16);
  for (const Datum& item : items) {
    parts.push_back(tensor(item, "an element", common));
    if (!dtype && is_floating(parts.back()->data.dtype())) common = TensorOps::common(common, parts.back()->data.dtype());
  }
  const Shape& shape = parts[0]->data.shape();
  for (TensorPtr& part : parts) {
    if (part->data.shape() != shape) {
      fail(ErrorKind::script, "the rows of an array literal differ in shape: {} and {}", tl::to_string(shape),
           tl::to_string(part->data.shape()));
    }
    part = ops.cast(part, common);
  }
  return ops.run("stack", {in("values", parts), in("axis", std::int64_t{0})});
}

Datum Interpreter::Impl::eval_binary(const Expr& expr) {
  if (expr.text == "&&" || expr.text == "||") {
    const Datum left = eval(*expr.kids[0]);
    const auto* l = left.as<TensorPtr>();
    if (l != nullptr && (*l)->data.size() != 1) {
      return ops.binary(expr.text == "&&" ? "logical_and" : "logical_or", *l, tensor(eval(*expr.kids[1])));
    }
    const bool first = truth(left, expr.kids[0]->place);
    if (first == (expr.text == "||")) return first;
    return truth(eval(*expr.kids[1]), expr.kids[1]->place);
  }
  const Datum left = eval(*expr.kids[0]);
  return arithmetic(expr.text, left, eval(*expr.kids[1]));
}

Datum Interpreter::Impl::eval_call(const Expr& expr) {
  const auto fn = functions.find(expr.text);
  std::vector<Datum> args;
  args.reserve(expr.kids.size());
  for (std::size_t i = 0; i < expr.kids.size(); ++i) {
    const bool typed = fn != functions.end() && i < fn->second->params.size() && fn->second->params[i].type;
    args.push_back(eval_expecting(*expr.kids[i], typed ? &*fn->second->params[i].type : nullptr));
  }
  if (const Datum* value = find_local(expr.text)) {
    if (const auto* named = value->as<Function>()) {
      const auto target = functions.find(named->name);
      if (target != functions.end()) return call_function(*target->second, std::move(args), expr.names, expr.place);
      return call_builtin(named->name, std::move(args), expr.names, expr.place);
    }
  }
  if (fn != functions.end()) return call_function(*fn->second, std::move(args), expr.names, expr.place);
  return call_builtin(expr.text, std::move(args), expr.names, expr.place);
}

Datum Interpreter::Impl::eval_path_call(const Expr& expr) {
  const std::string& owner = expr.type->name;
  const auto dtype = dtype_of_type(owner);
  std::vector<Datum> args;
  TypeSpec literal;
  literal.name = owner;
  literal.has_dims = dtype.has_value() && expr.text == "from_array";
  for (const ExprPtr& kid : expr.kids) args.push_back(eval_expecting(*kid, &literal));
  const auto type = methods.find(owner);
  if (type != methods.end()) {
    const auto method = type->second.find(expr.text);
    if (method != type->second.end()) return call_function(*method->second, std::move(args), expr.names, expr.place);
  }
  if (dtype) {
    if (expr.text == "from_array") return ops.cast(tensor(args.at(0), "an array", *dtype), *dtype);
    if (expr.text == "zeros" || expr.text == "ones") {
      if (args.size() != 1) fail(ErrorKind::script, "{}::{} takes a shape", owner, expr.text);
      return ops.fill(*dtype, shape_of(args[0], "the shape"), expr.text == "ones" ? 1 : 0);
    }
    Datum result = call_builtin(expr.text, std::move(args), expr.names, expr.place);
    const auto* made = result.as<TensorPtr>();
    if (made != nullptr && expr.text == "arange" && (*made)->data.size() > 0) {
      const Tensor& small = (*made)->data;  // counted again, exact in the wider type
      Tensor exact = Tensor::zeros(*dtype, small.shape());
      visit_dtype(*dtype, [&](auto element) {
        using T = decltype(element);
        auto values = exact.mutable_values<T>();
        for (std::size_t i = 0; i < values.size(); ++i)
          values[i] = convert_element<T>(small.number_at(0) + static_cast<double>(i));
      });
      return ops.box(std::move(exact));
    }
    return made != nullptr ? Datum(ops.cast(*made, *dtype)) : result;
  }
  static constexpr std::string_view growable[] = {"IntVec", "FloatVec", "StringVec", "BoolVec"};
  if (std::find(std::begin(growable), std::end(growable), owner) != std::end(growable) && expr.text == "new") {
    return array({}, owner.c_str());
  }
  if (type != methods.end() || structs.contains(owner)) fail(ErrorKind::script, "{} has no function '{}'", owner, expr.text);
  fail(ErrorKind::script, "unknown function '{}::{}'", owner, expr.text);
}

Datum Interpreter::Impl::eval_method(const Expr& expr) {
  const Expr& target = *expr.kids[0];
  const Datum object = eval(target);
  std::vector<Datum> args;
  for (std::size_t i = 1; i < expr.kids.size(); ++i) args.push_back(eval(*expr.kids[i]));
  return call_on_value(object, expr, std::move(args), {expr.names.begin() + 1, expr.names.end()});
}

Datum Interpreter::Impl::call_on_value(const Datum& object, const Expr& expr, std::vector<Datum> args,
                                       std::vector<std::string> names) {
  if (const auto* structure = object.as<ObjectPtr>()) {
    const auto type = methods.find((*structure)->type);
    if (type != methods.end()) {
      const auto method = type->second.find(expr.text);
      if (method != type->second.end()) {
        args.insert(args.begin(), object);
        names.insert(names.begin(), "");
        return call_function(*method->second, std::move(args), names, expr.place);
      }
    }
  }
  if (object.as<TensorPtr>() != nullptr && expr.text == "shape" && args.empty()) return member(object, "shape", expr.place);
  args.insert(args.begin(), object);
  names.insert(names.begin(), "");
  const auto fn = functions.find(expr.text);
  if (find_builtin(expr.text) == nullptr && fn != functions.end())
    return call_function(*fn->second, std::move(args), names, expr.place);
  if (find_builtin(expr.text) == nullptr) fail(ErrorKind::script, "{} has no method '{}'", type_name(object), expr.text);
  return call_builtin(expr.text, std::move(args), std::move(names), expr.place);
}

Datum Interpreter::Impl::eval_member(const Expr& expr) { return member(eval(*expr.kids[0]), expr.text, expr.place); }

Datum Interpreter::Impl::member(const Datum& object, const std::string& name, const Place&) {
  if (const auto* structure = object.as<ObjectPtr>()) {
    if (Datum* field = (*structure)->field(name)) return *field;
    fail(ErrorKind::script, "{} has no field '{}'", (*structure)->type, name);
  }
  if (const auto* t = object.as<TensorPtr>()) {
    if (name == "shape") return integers((*t)->data.shape());
    if (name == "ndim" || name == "rank") return iz((*t)->data.rank());
    if (name == "size") return (*t)->data.size();
    if (name == "dtype") return std::string(tl::name((*t)->data.dtype()));
    if (name == "T") return call_builtin("transpose", {object}, {""}, {});
  }
  if (const auto* image = object.as<std::shared_ptr<ImageBox>>()) {
    if (name == "width") return (*image)->image.width();
    if (name == "height") return (*image)->image.height();
  }
  if (const auto* model = object.as<std::shared_ptr<ModelBox>>()) return model_member(**model, name);
  fail(ErrorKind::script, "{} has no property '{}'", type_name(object), name);
}

bool Interpreter::Impl::matches(const Pattern& pattern, const Datum& value) {
  switch (pattern.kind) {
    case Pattern::wildcard: return true;
    case Pattern::bind: declare_variable(pattern.name, value); return true;
    case Pattern::literal: return equal(value, eval(*pattern.value));
    case Pattern::any_of:
      return std::any_of(pattern.parts.begin(), pattern.parts.end(), [&](const Pattern& part) { return matches(part, value); });
    case Pattern::structure: {
      const auto* object = value.as<ObjectPtr>();
      if (object == nullptr || (*object)->type != pattern.name) return false;
      for (std::size_t i = 0; i < pattern.fields.size(); ++i) {
        const Datum* field = (*object)->field(pattern.fields[i]);
        if (field == nullptr) fail_at(pattern.place, "{} has no field '{}'", pattern.name, pattern.fields[i]);
        if (!matches(pattern.parts[i], *field)) return false;
      }
      return true;
    }
  }
  return false;
}

Datum Interpreter::Impl::eval_match(const Expr& expr) {
  const Datum value = eval(*expr.kids[0]);
  const std::size_t depth = frames.size();
  const std::size_t height = frames.back().scopes.size();
  for (const Arm& arm : expr.arms) {
    frames.back().scopes.emplace_back();
    try {
      if (matches(arm.pattern, value) && (!arm.guard || truth(eval(*arm.guard), arm.guard->place))) {
        Datum result = eval(*arm.value);
        frames.back().scopes.resize(height);
        return result;
      }
    } catch (...) {
      frames.resize(depth);
      frames.back().scopes.resize(height);
      throw;
    }
    frames.back().scopes.resize(height);
  }
  fail(ErrorKind::script, "no arm of this match takes {}", to_text(value, true));
}

Datum Interpreter::Impl::eval_structure(const Expr& expr) {
  const auto found = structs.find(expr.text);
  if (found == structs.end()) fail(ErrorKind::script, "unknown struct '{}'", expr.text);
  const StructDecl& decl = *found->second;
  auto object = std::make_shared<Object>();
  object->type = expr.text;
  for (const ParamDecl& field : decl.fields) {
    const auto given = std::find(expr.names.begin(), expr.names.end(), field.name);
    if (given == expr.names.end()) fail(ErrorKind::script, "the field '{}' of {} is missing", field.name, expr.text);
    const Expr& value = *expr.kids[static_cast<std::size_t>(given - expr.names.begin())];
    const bool generic = std::find(decl.generics.begin(), decl.generics.end(), field.type->name) != decl.generics.end();
    Datum result = eval_expecting(value, &*field.type);
    if (!generic) result = at_place(value.place, [&] { return convert(result, *field.type, field.name); });
    if (const auto* t = result.as<TensorPtr>(); t != nullptr && field.type->learnable) {
      TensorPtr fresh = ops.box((*t)->data);
      fresh->learnable = true;
      result = fresh;
    }
    object->fields.emplace_back(field.name, std::move(result));
  }
  for (const std::string& name : expr.names) {
    if (object->field(name) == nullptr) fail(ErrorKind::script, "{} has no field '{}'", expr.text, name);
  }
  return object;
}

Datum Interpreter::Impl::call_function(const FnDecl& fn, std::vector<Datum> args, const std::vector<std::string>& names,
                                       const Place& place) {
  check_stack(place);
  if (++call_depth > 10000) {
    call_depth = 0;
    fail(ErrorKind::limit, "more than 10000 calls inside each other");
  }
  Frame frame;
  frame.fn = &fn;
  Scope scope;
  std::vector<std::optional<Datum>> values(fn.params.size());
  std::size_t next = 0;
  for (std::size_t i = 0; i < args.size(); ++i) {
    std::size_t at = next;
    if (i < names.size() && !names[i].empty()) {
      const auto named =
          std::find_if(fn.params.begin(), fn.params.end(), [&](const ParamDecl& p) { return p.name == names[i]; });
      if (named == fn.params.end()) fail(ErrorKind::script, "{} has no parameter '{}'", fn.name, names[i]);
      at = static_cast<std::size_t>(named - fn.params.begin());
    } else {
      ++next;
    }
    if (at >= values.size() || values[at])
      fail(ErrorKind::script, "{} takes {} arguments, {} are given", fn.name, fn.params.size(), args.size());
    values[at] = std::move(args[i]);
  }
  frames.push_back(std::move(frame));
  const std::size_t depth = frames.size();
  Datum result;
  try {
    for (std::size_t i = 0; i < values.size(); ++i) {
      const ParamDecl& param = fn.params[i];
      if (!values[i])
        fail(ErrorKind::script, "{} takes {} arguments, {} are given: '{}' is missing", fn.name, fn.params.size(), args.size(),
             param.name);
      if (param.type) values[i] = convert(*values[i], *param.type, "argument '" + param.name + "' of " + fn.name);
      scope.variables.emplace_back(param.name, std::move(*values[i]));
    }
    frames.back().scopes.push_back(std::move(scope));
    Datum last;
    const Flow flow = run_block(fn.body, &last);
    if (flow == Flow::break_ || flow == Flow::continue_) fail_at(fn.place, "'break' or 'continue' outside of a loop");
    result = flow == Flow::return_ ? std::exchange(returned, Datum()) : std::move(last);
    if (fn.result) result = fn.result->name == "void" ? Datum() : convert(result, *fn.result, "the result of " + fn.name);
  } catch (...) {
    frames.resize(depth - 1);
    --call_depth;
    throw;
  }
  frames.resize(depth - 1);
  --call_depth;
  return result;
}

Datum Interpreter::Impl::call_builtin(const std::string& name, std::vector<Datum> args, std::vector<std::string> names,
                                      const Place&) {
  const Builtin* builtin = find_builtin(name);
  if (builtin == nullptr) fail(ErrorKind::script, "unknown function '{}'", name);
  const int count = static_cast<int>(args.size());
  if (count < builtin->min_args || (builtin->max_args >= 0 && count > builtin->max_args)) {
    fail(ErrorKind::script, "{} does not take {} arguments: {}", name, count, builtin->signature);
  }
  names.resize(args.size());
  Call call{*this, builtin->name, std::move(args), std::move(names)};
  return builtin->run(call);
}

}  // namespace tl::lang
