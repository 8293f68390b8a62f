#include "ir/op_def.hpp"

namespace tl::op {

using namespace ir;

namespace {

// A type that both values fit: extents on which they differ become unknown.
Type joined(const OpView& c, const Type& a, const Type& b) {
  const auto* x = a.as<TensorType>();
  const auto* y = b.as<TensorType>();
  if (x == nullptr || y == nullptr) return a;
  if (x->dtype != y->dtype) c.reject("", "a value is {} in one branch and {} in the other", to_string(a), to_string(b));
  if (!x->dims || !y->dims || x->dims->size() != y->dims->size()) return TensorType{x->dtype, std::nullopt};
  Dims dims = *x->dims;
  for (std::size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] != (*y->dims)[i]) dims[i] = Dim::unknown();
  }
  return {x->dtype, std::move(dims)};
}

const Block& block_at(const OpView& c, std::size_t i, std::size_t count) {
  if (c.op().blocks.size() != count) c.reject("", "{} blocks, expected {}", c.op().blocks.size(), count);
  return *c.op().blocks[i];
}

// One truth value; what a block gives is only known when it has run.
bool holds(const OpView& c, const Value& value, std::string_view param) {
  if (!value.is_tensor() || value.tensor().dtype() == DType::string || value.tensor().size() != 1)
    c.reject(param, "the condition is not one value");
  return value.tensor().number_at(0) != 0;
}

}  // namespace

TL_OP(cond) {
  op.pure = false;
  op.in("pred", dt::boolean);
  op.infer = [](Infer& c) {
    const Block& yes = block_at(c, 0, 2);
    const Block& no = block_at(c, 1, 2);
    if (yes.outputs.size() != no.outputs.size())
      c.reject("", "the branches give {} and {} values", yes.outputs.size(), no.outputs.size());
    for (std::size_t i = 0; i < yes.outputs.size(); ++i) c.out(joined(c, yes.outputs[i]->type, no.outputs[i]->type));
  };
  op.eval = [](Eval& c) {
    std::vector<Value> results = c.run_block(*c.op().blocks[holds(c, c.value("pred"), "pred") ? 0 : 1], {});
    for (std::size_t i = 0; i < results.size(); ++i) c.set(i, std::move(results[i]));
  };
}

// Block 0 tells whether to go on, block 1 gives the next values of the loop variables.
TL_OP(while_loop) {
  op.pure = false;
  op.in("loop_vars", dt::any).variadic().any_kind();
  op.infer = [](Infer& c) {
    const Block& condition = block_at(c, 0, 2);
    const Block& body = block_at(c, 1, 2);
    const std::size_t count = c.count("loop_vars");
    if (body.outputs.size() != count || body.params.size() != count || condition.params.size() != count ||
        condition.outputs.size() != 1) {
      c.reject("loop_vars", "the blocks do not take and give {} values", count);
    }
    for (std::size_t i = 0; i < count; ++i) c.out(joined(c, body.params[i]->type, body.outputs[i]->type));
  };
  op.eval = [](Eval& c) {
    std::vector<Value> values;
    for (std::size_t i = 0; i < c.count("loop_vars"); ++i) values.push_back(c.value("loop_vars", i));
    while (holds(c, c.run_block(*c.op().blocks[0], values).at(0), "loop_vars")) values = c.run_block(*c.op().blocks[1], values);
    for (std::size_t i = 0; i < values.size(); ++i) c.set(i, std::move(values[i]));
  };
}

}  // namespace tl::op
