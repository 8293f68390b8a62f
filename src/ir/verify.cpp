#include "ir/verify.hpp"

#include <unordered_set>

#include "ir/op_def.hpp"

namespace tl::ir {
namespace {

constexpr int max_depth = 100;

// Declared extents win where they are known, inferred ones fill the rest.
Type refined(const Type& declared, const Type& inferred) {
  const auto* a = declared.as<TensorType>();
  const auto* b = inferred.as<TensorType>();
  if (a == nullptr || b == nullptr || !b->dims) return declared;
  if (!a->dims) return inferred;
  Dims dims = *a->dims;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    if (!dims[i].known()) dims[i] = (*b->dims)[i];
  }
  return {a->dtype, std::move(dims)};
}

class Verifier {
 public:
  void function(Function& function) {
    for (const auto& input : function.inputs) define(*input);
    block(function.body, 0);
  }

 private:
  void define(const Var& var) {
    visible_.insert(&var);
    defined_.push_back(&var);
  }

  void use(const Binding& binding) const {
    if (const auto* var = std::get_if<Var*>(&binding); var != nullptr && visible_.count(*var) == 0) {
      fail(ErrorKind::bad_model, "value '{}' is used before it is defined", (*var)->name);
    }
  }

  void block(Block& block, int depth) {
    if (depth > max_depth) fail(ErrorKind::limit, "blocks are nested over {} deep", max_depth);
    const std::size_t outer = defined_.size();
    for (const auto& param : block.params) define(*param);
    for (const auto& op : block.ops) this->op(*op, depth);
    for (Var* output : block.outputs) use(output);
    for (; defined_.size() > outer; defined_.pop_back()) visible_.erase(defined_.back());
  }

  void op(Op& op, int depth) {
    if (op.def == nullptr) op.def = find_op(op.type);
    const auto place = [&] { return fmt::format("op '{}' ({})", op.label(), op.type); };
    within(place, [&] {
      for (const Argument& argument : op.inputs) {
        for (const Binding& binding : argument.bindings) use(binding);
      }
      for (const auto& inner : op.blocks) block(*inner, depth + 1);
    });
    const std::vector<Type> types = infer_types(op);
    within(place, [&] {
      if (types.size() != op.outputs.size()) {
        fail(ErrorKind::bad_model, "{} outputs are declared, {} inferred", op.outputs.size(), types.size());
      }
      for (std::size_t i = 0; i < types.size(); ++i) {
        Var& output = *op.outputs[i];
        if (!compatible(output.type, types[i])) {
          fail(ErrorKind::bad_model, "output '{}' is declared as {}, its arguments give {}", output.name,
               to_string(output.type), to_string(types[i]));
        }
        output.type = refined(output.type, types[i]);
        define(output);
      }
    });
  }

  std::unordered_set<const Var*> visible_;
  std::vector<const Var*> defined_;  // what is visible, in order
};

}  // namespace

void verify(Function& function) {
  within([&] { return fmt::format("function '{}'", function.name); }, [&] { Verifier().function(function); });
}

void verify(Program& program) {
  for (const auto& function : program.functions) verify(*function);
}

}  // namespace tl::ir
