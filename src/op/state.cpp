#include "ir/op_def.hpp"

namespace tl::op {

using namespace ir;

namespace {

const Type& wrapped(const Infer& c, std::string_view param) {
  const Binding& binding = c.op().argument(param)->bindings.front();
  const auto* state = type_of(binding).as<StateType>();
  if (state == nullptr) c.reject(param, "expected a state, got {}", to_string(type_of(binding)));
  return *state->wrapped;
}

void update(Eval& c) {
  StateCell& cell = c.state("state");
  const Tensor value = c.in("value");
  const Tensor& held = cell.value.tensor();
  if (value.shape() != held.shape() || value.dtype() != held.dtype()) {
    c.reject("value", "{} {} does not fit a state of {} {}", name(value.dtype()), to_string(value.shape()), name(held.dtype()),
             to_string(held.shape()));
  }
  // The value may live in memory that the next op reuses.
  cell.value = value.clone();
}

void check_update(const Infer& c) {
  const Type& state = wrapped(c, "state");
  if (!compatible(state, c.type("value")))
    c.reject("value", "{} does not fit a state of {}", to_string(c.type("value")), to_string(state));
}

}  // namespace

TL_OP(read_state) {
  op.pure = false;
  op.in("input", dt::any).any_kind();
  op.infer = [](Infer& c) { c.out(wrapped(c, "input")); };
  op.eval = [](Eval& c) { c.set(0, c.state("input").value); };
}

TL_OP(write_state) {
  op.pure = false;
  op.in("input", dt::any).any_kind();
  op.in("data", dt::any);
  op.infer = [](Infer& c) {
    if (!compatible(wrapped(c, "input"), c.type("data")))
      c.reject("data", "{} does not fit the state", to_string(c.type("data")));
  };
  op.eval = [](Eval& c) {
    StateCell& cell = c.state("input");
    const Tensor data = c.in("data");
    if (data.shape() != cell.value.tensor().shape() || data.dtype() != cell.value.tensor().dtype())
      c.reject("data", "does not fit the state");
    cell.value = data.clone();
  };
}

// Writes and gives the new value back.
TL_OP(coreml_update_state) {
  op.pure = false;
  op.in("state", dt::any).any_kind();
  op.in("value", dt::any);
  op.infer = [](Infer& c) {
    check_update(c);
    c.out(wrapped(c, "state"));
  };
  op.eval = [](Eval& c) {
    update(c);
    c.set(0, c.state("state").value);
  };
}

}  // namespace tl::op
