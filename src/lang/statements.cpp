#include <algorithm>

#include "lang/interpreter_impl.hpp"
#include "lang/logic.hpp"

namespace tl::lang {

Datum* Interpreter::Impl::find_local(const std::string& name) {
  auto& scopes = frames.back().scopes;
  for (auto scope = scopes.rbegin(); scope != scopes.rend(); ++scope) {
    for (auto& [key, value] : scope->variables) {
      if (key == name) return &value;
    }
  }
  return nullptr;
}

Datum* Interpreter::Impl::find(const std::string& name) {
  if (Datum* local = find_local(name)) return local;
  const auto found = globals.find(name);
  return found == globals.end() ? nullptr : &found->second;
}

void Interpreter::Impl::declare_variable(const std::string& name, Datum value) {
  auto& scopes = frames.back().scopes;
  if (scopes.empty()) {
    globals[name] = std::move(value);
    return;
  }
  for (auto& [key, slot] : scopes.back().variables) {
    if (key == name) {
      slot = std::move(value);
      return;
    }
  }
  scopes.back().variables.emplace_back(name, std::move(value));
}

Flow Interpreter::Impl::run_block(const Block& block, Datum* last) {
  auto& frame = frames.back();
  const std::size_t depth = frames.size();
  const std::size_t height = frame.scopes.size();
  frame.scopes.emplace_back();
  Flow flow = Flow::normal;
  try {
    flow = run_statements(block, last);
    drop_scope(frames[depth - 1].scopes.back());
  } catch (...) {
    frames.resize(depth);
    frames.back().scopes.resize(height);
    throw;
  }
  frames.back().scopes.resize(height);
  return flow;
}

// Calls the `drop` method of structs that only this scope still holds.
void Interpreter::Impl::drop_scope(Scope& scope) {
  if (methods.empty()) return;
  for (auto slot = scope.variables.size(); slot-- > 0;) {
    const auto* object = scope.variables[slot].second.as<ObjectPtr>();
    if (object == nullptr || object->use_count() > 1) continue;
    const auto type = methods.find((*object)->type);
    if (type == methods.end()) continue;
    const auto drop = type->second.find("drop");
    if (drop == type->second.end()) continue;
    Datum held = std::exchange(scope.variables[slot].second, Datum());
    const Datum saved = returned;
    call_function(*drop->second, {held}, {""}, drop->second->place);
    returned = saved;
    return;
  }
}

Flow Interpreter::Impl::run_statements(const Block& block, Datum* last) {
  for (const StmtPtr& stmt : block) {
    if (last != nullptr) *last = Datum();
    const Flow flow = run_statement(*stmt, last);
    if (flow != Flow::normal) return flow;
  }
  return Flow::normal;
}

void Interpreter::Impl::run_tensor(const Stmt& stmt) {
  Datum value;
  const TypeSpec* type = stmt.type ? &*stmt.type : nullptr;
  if (!stmt.exprs.empty()) {
    value = eval_expecting(*stmt.exprs[0], type);
    at_place(stmt.exprs[0]->place, [&] {
      const auto dtype = type == nullptr ? std::nullopt : dtype_of_type(type->name);
      value = type == nullptr ? Datum(tensor(value))
                              : fit_tensor(tensor(value, "a tensor", dtype.value_or(DType::f16)), *type, "tensor " + stmt.text);
    });
  } else {
    at_place(stmt.place, [&] {
      Shape shape;
      for (const DimSpec& dim : type->dims) {
        if (dim.kind != DimSpec::fixed)
          fail(ErrorKind::script, "tensor {} has no value, so its dimensions must be numbers", stmt.text);
        shape.push_back(dim.extent);
      }
      value = ops.fill(dtype_of_type(type->name).value_or(DType::f16), shape, 0);
    });
  }
  if (type != nullptr && type->learnable) {
    TensorPtr old = *value.as<TensorPtr>();
    TensorPtr fresh = ops.box(old->data);
    fresh->learnable = true;
    value = fresh;
  }
  declare_variable(stmt.text, std::move(value));
}

Flow Interpreter::Impl::run_for(const Stmt& stmt) {
  const Expr& over = *stmt.exprs[0];
  const auto round = [&](Datum value) {
    budget->spend(1);
    frames.back().scopes.emplace_back();
    const std::size_t depth = frames.size();
    const std::size_t height = frames.back().scopes.size();
    Flow flow = Flow::normal;
    try {
      declare_variable(stmt.text, std::move(value));
      flow = run_block(stmt.body, nullptr);
    } catch (...) {
      frames.resize(depth);
      frames.back().scopes.resize(height - 1);
      throw;
    }
    frames.back().scopes.pop_back();
    return flow;
  };
  if (over.kind == ExprKind::range) {
    const std::int64_t last = at_place(over.place, [&] { return integer(eval(*over.kids[1]), "the end of the range"); });
    for (std::int64_t i = at_place(over.place, [&] { return integer(eval(*over.kids[0]), "the start of the range"); });
         i < last; ++i) {
      const Flow flow = at_place(stmt.place, [&] { return round(i); });
      if (flow == Flow::break_) break;
      if (flow == Flow::return_) return flow;
    }
    return Flow::normal;
  }
  const Datum value = eval(over);
  for (Datum& item : at_place(over.place, [&] { return elements(value, "the loop"); })) {
    const Flow flow = at_place(stmt.place, [&] { return round(std::move(item)); });
    if (flow == Flow::break_) break;
    if (flow == Flow::return_) return flow;
  }
  return Flow::normal;
}

Flow Interpreter::Impl::run_loop(const Stmt& stmt) {
  for (;;) {
    at_place(stmt.place, [&] { budget->spend(1); });
    if (stmt.kind == StmtKind::while_ && !truth(eval(*stmt.exprs[0]), stmt.exprs[0]->place)) return Flow::normal;
    const Flow flow = run_block(stmt.body, nullptr);
    if (flow == Flow::break_) return Flow::normal;
    if (flow == Flow::return_) return flow;
  }
}

Flow Interpreter::Impl::run_statement(const Stmt& stmt, Datum* last) {
  check_stack(stmt.place);
  at_place(stmt.place, [&] { budget->spend(1); });
  switch (stmt.kind) {
    case StmtKind::expression: {
      const Expr& expr = *stmt.exprs[0];
      if (expr.kind == ExprKind::call && find_builtin(expr.text) == nullptr && !functions.contains(expr.text) &&
          knowledge.relations.contains(expr.text)) {
        add_fact(*this, expr);
        return Flow::normal;
      }
      Datum value = eval(expr);
      if (last != nullptr) *last = std::move(value);
      return Flow::normal;
    }
    case StmtKind::let: {
      Datum value = eval_expecting(*stmt.exprs[0], stmt.type ? &*stmt.type : nullptr);
      if (stmt.type) value = at_place(stmt.exprs[0]->place, [&] { return convert(value, *stmt.type, stmt.text); });
      declare_variable(stmt.text, std::move(value));
      return Flow::normal;
    }
    case StmtKind::assign: assign(*stmt.exprs[0], eval(*stmt.exprs[1])); return Flow::normal;
    case StmtKind::tensor: run_tensor(stmt); return Flow::normal;
    case StmtKind::if_:
      if (truth(eval(*stmt.exprs[0]), stmt.exprs[0]->place)) return run_block(stmt.body, last);
      if (stmt.other.size() == 1 && stmt.other[0]->kind == StmtKind::if_) return run_statement(*stmt.other[0], last);
      return run_block(stmt.other, last);
    case StmtKind::while_:
    case StmtKind::loop: return run_loop(stmt);
    case StmtKind::for_: return run_for(stmt);
    case StmtKind::break_: return Flow::break_;
    case StmtKind::continue_: return Flow::continue_;
    case StmtKind::return_: returned = stmt.exprs.empty() ? Datum() : eval(*stmt.exprs[0]); return Flow::return_;
    case StmtKind::block: return run_block(stmt.body, last);
    case StmtKind::constraint: fail_at(stmt.place, "constraints 'a ~ b' are not supported; use assert_about_eq(a, b, eps)");
    case StmtKind::function: functions[stmt.text] = stmt.fn; return Flow::normal;
    case StmtKind::structure: structs[stmt.text] = stmt.structure; return Flow::normal;
    case StmtKind::implement: return Flow::normal;
    case StmtKind::import: import(stmt.text, stmt.place); return Flow::normal;
    case StmtKind::main:
    case StmtKind::test:
    case StmtKind::bench: return Flow::normal;
    case StmtKind::learn: run_learn(stmt); return Flow::normal;
    case StmtKind::entity:
    case StmtKind::relation:
    case StmtKind::rule:
    case StmtKind::query:
    case StmtKind::with:
    case StmtKind::embedding: at_place(stmt.place, [&] { run_logic(*this, stmt); }); return Flow::normal;
    case StmtKind::python: fail_at(stmt.place, "'python import' works in the Python package only, not in plain tl");
  }
  return Flow::normal;
}

void Interpreter::Impl::assign(const Expr& target, Datum value) {
  if (target.kind == ExprKind::name) {
    if (Datum* found = find(target.text)) {
      const auto* old = found->as<TensorPtr>();
      if (old != nullptr && (*old)->learnable && value.as<TensorPtr>() != nullptr && !(*value.as<TensorPtr>())->learnable) {
        TensorPtr fresh = ops.box((*value.as<TensorPtr>())->data);
        fresh->learnable = true;
        value = fresh;
      }
      *found = std::move(value);
    } else {
      declare_variable(target.text, std::move(value));
    }
    return;
  }
  if (target.kind == ExprKind::index) return assign_index(target, std::move(value));
  const Datum object = eval(*target.kids[0]);
  const auto* structure = object.as<ObjectPtr>();
  if (structure == nullptr) fail_at(target.place, "{} has no fields to set", type_name(object));
  Datum* field = (*structure)->field(target.text);
  if (field == nullptr) fail_at(target.place, "{} has no field '{}'", (*structure)->type, target.text);
  const auto decl = structs.find((*structure)->type);
  if (decl != structs.end()) {
    for (const ParamDecl& param : decl->second->fields) {
      if (param.name == target.text) value = at_place(target.place, [&] { return convert(value, *param.type, param.name); });
    }
  }
  // A struct that contains itself could never be printed, compared or freed.
  if (const auto* inner = value.as<ObjectPtr>(); inner != nullptr && *inner == *structure)
    fail_at(target.place, "a struct cannot contain itself");
  *field = std::move(value);
}

}  // namespace tl::lang
