#include "plan/executable.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <limits>
#include <numeric>
#include <optional>
#include <set>

#include "base/thread_pool.hpp"
#include "op/gemm.hpp"
#include "op/slice_view.hpp"
#include "pass/graph.hpp"

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace tl::plan {

using namespace ir;

namespace {

constexpr std::size_t unplanned = std::numeric_limits<std::size_t>::max();
constexpr std::size_t max_idle_contexts = 16;

// True when the extents of all that the op reads and gives are known.
bool concrete(const Op& op) {
  const bool inputs = std::all_of(op.inputs.begin(), op.inputs.end(), [](const Argument& argument) {
    return std::all_of(argument.bindings.begin(), argument.bindings.end(), [](const Binding& binding) {
      const auto* type = type_of(binding).as<TensorType>();
      return type == nullptr || shape_of(*type).has_value();
    });
  });
  return inputs && std::all_of(op.outputs.begin(), op.outputs.end(), [](const auto& output) {
           return output->type.is_tensor() && output->type.tensor().dtype != DType::string &&
                  shape_of(output->type.tensor()).has_value();
         });
}

// True when `part` starts among the bytes of `whole`.
bool inside(const Tensor& part, const Tensor& whole) {
  return part.data() >= whole.data() && part.data() < whole.data() + whole.bytes();
}

std::size_t bytes_of(const Var& var) {
  return packed_bytes(var.type.tensor().dtype, element_count(*shape_of(var.type.tensor())));
}

// True for a transposition that moves axes of one element only.
bool keeps_bytes(const Op& transpose) {
  const auto perm = Infer(transpose).maybe_ints("perm");
  const Argument* x = transpose.argument("x");
  if (!perm || x == nullptr) return false;
  const Shape extents = *shape_of(type_of(x->bindings.front()).tensor());
  std::int64_t last = -1;
  for (const std::int64_t p : *perm) {
    const std::int64_t axis = p < 0 ? p + iz(extents.size()) : p;
    if (extents[uz(axis)] == 1) continue;
    if (axis < last) return false;
    last = axis;
  }
  return true;
}

// Where the result lies in the first argument, in bytes, when it is a part of it as it stands.
std::optional<std::size_t> view_offset(const Op& op) {
  if (op.inputs.empty() || !concrete(op)) return std::nullopt;
  if (op.def->view || (op.type == "transpose" && keeps_bytes(op))) return 0;
  if (op.type != "slice_by_index") return std::nullopt;
  const auto offset = op::slice_view(op);
  if (!offset) return std::nullopt;
  return uz(*offset) * uz(bits(op.outputs[0]->type.tensor().dtype) / 8);
}

// Kernels and views rely on the types of variables: what the blocks of an op give may differ.
void require_declared(const Op& op, const Var& var, const Value& value) {
  const auto* type = var.type.as<TensorType>();
  if (type == nullptr) return;
  if (!value.is_tensor() || !compatible(*type, value.tensor())) {
    const std::string given =
        value.is_tensor() ? to_string(Type(value.tensor().dtype(), dims_of(value.tensor().shape()))) : "no tensor";
    throw Error(ErrorKind::bad_model, fmt::format("gives {}, '{}' is {}", given, var.name, to_string(var.type)),
                fmt::format("op '{}' ({})", op.label(), op.type));
  }
}

// The variables that an op reads, those of its nested blocks included.
void collect_reads(const Op& op, std::vector<const Var*>& reads) {
  const auto add = [&](const Binding& binding) {
    if (const auto* var = std::get_if<Var*>(&binding); var != nullptr && (*var)->constant == nullptr) reads.push_back(*var);
  };
  for (const Argument& argument : op.inputs) std::for_each(argument.bindings.begin(), argument.bindings.end(), add);
  for (const auto& block : op.blocks) {
    for (const Var* output : block->outputs) reads.push_back(output);
    for (const auto& inner : block->ops) collect_reads(*inner, reads);
  }
}

}  // namespace

struct Executable::Step {
  const Op* op = nullptr;
  std::unique_ptr<Kernel> kernel;            // null: reference
  bool reads_state = false;                  // output 0 is what a state holds
  bool alias = false;                        // output 0 is bytes of its first input,
  std::size_t alias_offset = 0;              // from here on;
  bool pointer_only = false;                 // nothing but kernels reads it
  std::size_t shared = 0;                    // workspace: place in the arena
  std::vector<Slot> inputs;                  // of the kernel
  std::vector<ConstantPtr> input_constants;  // where a kernel input is a constant: its value, else null
  std::vector<Slot> outputs;
  std::vector<Slot> reads;  // all variables that must be alive
  std::vector<Slot> last_uses;
};

struct Executable::Context {
  AlignedBytes arena;
  std::vector<const std::byte*> pointers;  // per slot
  std::vector<Value> values;               // per slot: inputs, reference results, outputs
  std::vector<const std::byte*> kernel_inputs;
  std::vector<std::byte*> kernel_outputs;
};

Executable::Executable(std::unique_ptr<Function> function, const Device* device, ThreadPool& pool)
    : function_(std::move(function)), pool_(pool), on_device_(device != nullptr) {
  const auto add_slot = [&](const Var& var) {
    if (slots_.emplace(&var, slot_vars_.size()).second) slot_vars_.push_back(&var);
  };
  for (const auto& input : function_->inputs) add_slot(*input);
  for (const auto& op : function_->body.ops) {
    for (const auto& output : op->outputs) add_slot(*output);
  }
  add_steps(device);
  plan_lifetimes();
  find_pointers();
}

Executable::~Executable() = default;

// Kernels are made side by side, as most of the time goes into packing weights, and last to first: what one joins needs none.
void Executable::make_kernels(const Device& device) {
  const pass::Uses uses(*function_);
  std::mutex mutex;
  std::exception_ptr failure;
  std::set<const Op*> joined;
  const auto is_joined = [&](const Op* op) {
    const std::lock_guard lock(mutex);
    return joined.count(op) != 0;
  };
  pool_.parallel(steps_.size(), [&](std::size_t i, std::size_t) {
    Step& step = steps_[steps_.size() - 1 - i];
    if (step.alias || step.reads_state || !concrete(*step.op) || is_joined(step.op)) return;
    try {
      step.kernel = within([&] { return fmt::format("op '{}' ({})", step.op->label(), step.op->type); },
                           [&] { return device.compile(*step.op, pool_.threads(), &uses); });
      if (step.kernel == nullptr) return;
      const std::lock_guard lock(mutex);
      joined.insert(step.kernel->joined.begin(), step.kernel->joined.end());
    } catch (...) {
      const std::lock_guard lock(mutex);
      failure = std::current_exception();
    }
  });
  if (failure) std::rethrow_exception(failure);
    // Weights that were expanded while kernels were made would stay in the heap.
#ifdef __GLIBC__
  if (std::any_of(steps_.begin(), steps_.end(), [](const Step& step) { return step.op->def->constexpr_op; })) ::malloc_trim(0);
#endif
}

void Executable::add_steps(const Device* device) {
  for (const auto& op : function_->body.ops) {
    if (op->type == "const" && op->outputs[0]->constant != nullptr) continue;
    Step step;
    step.op = op.get();
    step.reads_state = op->type == "read_state" && concrete(*op);
    std::vector<const Var*> reads;
    collect_reads(*op, reads);
    for (const Var* var : reads) {
      if (const auto found = slots_.find(var); found != slots_.end()) step.reads.push_back(found->second);
    }
    const auto offset = view_offset(*op);
    const Argument* first = offset ? op->argument(op->def->params.front().name) : nullptr;
    const Var* const* source = first == nullptr ? nullptr : std::get_if<Var*>(&first->bindings.front());
    if (source != nullptr && slots_.count(*source) != 0 && (*source)->type.is_tensor()) {
      step.alias = true;
      step.alias_offset = *offset;
      step.inputs.push_back(slots_.at(*source));
    }
    for (const auto& output : op->outputs) step.outputs.push_back(slots_.at(output.get()));
    steps_.push_back(std::move(step));
  }
  if (device != nullptr) make_kernels(*device);
  drop_unread();
  for (Step& step : steps_) {
    if (step.kernel != nullptr) {
      for (const Var* input : step.kernel->inputs) {
        const auto found = slots_.find(input);
        step.inputs.push_back(found == slots_.end() || input->constant != nullptr ? unplanned : found->second);
        step.input_constants.push_back(input->constant);
      }
      statistics_.packed_bytes += step.kernel->packed_bytes();
      const Workspace workspace = step.kernel->workspace();
      worker_stride_ = std::max(worker_stride_, rounded_bytes(workspace.worker));
      statistics_.workspace_bytes = std::max(statistics_.workspace_bytes,
                                             workspace.shared + static_cast<std::size_t>(pool_.threads()) * workspace.worker);
    } else if (!step.alias && !step.reads_state) {
      ++statistics_.reference_steps;
    }
  }
  statistics_.steps = steps_.size();
}

// Kernels may read what stands before the arguments of their op: what nothing reads any more goes, and what is left of the
// constexpr ops is evaluated here.
void Executable::drop_unread() {
  std::vector<bool> read(slot_vars_.size(), false);
  for (const Var* output : function_->body.outputs) {
    if (const auto found = slots_.find(output); found != slots_.end()) read[found->second] = true;
  }
  for (std::size_t i = steps_.size(); i-- > 0;) {
    Step& step = steps_[i];
    if (step.kernel != nullptr) {
      step.reads.clear();
      for (const Var* input : step.kernel->inputs) {
        if (const auto found = slots_.find(input); found != slots_.end()) step.reads.push_back(found->second);
      }
    }
    const bool wanted = std::any_of(step.outputs.begin(), step.outputs.end(), [&](Slot slot) { return read[slot]; });
    const bool state = std::any_of(step.op->inputs.begin(), step.op->inputs.end(), [](const Argument& argument) {
      return !argument.bindings.empty() && type_of(argument.bindings.front()).as<StateType>() != nullptr;
    });
    if (!wanted && step.op->def->pure && step.op->blocks.empty() && !state) {
      step.op = nullptr;
      continue;
    }
    for (const Slot slot : step.reads) read[slot] = true;
    if (!step.op->def->constexpr_op || step.kernel != nullptr || !step.reads.empty()) continue;
    Limits limits;
    std::vector<Value> values = interpret_op(
        *step.op, [](const Var& var) -> Value { fail(ErrorKind::internal, "'{}' is no constant", var.name); }, {}, limits);
    for (std::size_t k = 0; k < values.size(); ++k) {
      auto constant = std::make_shared<Constant>();
      constant->type = slot_vars_[step.outputs[k]]->type;
      constant->value = std::move(values[k]);
      step.op->outputs[k]->constant = std::move(constant);
    }
    step.op = nullptr;
  }
  std::erase_if(steps_, [](const Step& step) { return step.op == nullptr; });
}

void Executable::plan_lifetimes() {
  const std::size_t count = slot_vars_.size();
  offsets_.assign(count, unplanned);
  fresh_.assign(count, false);
  std::vector<Slot> root(count);
  for (Slot slot = 0; slot < count; ++slot) root[slot] = slot;
  std::vector<std::size_t> shift(count, 0);  // of a view in its root
  std::vector<bool> planned(count, false);
  std::vector<std::size_t> last(count, 0);
  std::vector<std::size_t> first(count, 0);

  for (std::size_t i = 0; i < steps_.size(); ++i) {
    for (const Slot slot : steps_[i].reads) last[slot] = i;
    for (const Slot slot : steps_[i].outputs) {
      first[slot] = last[slot] = i;
      planned[slot] = steps_[i].kernel != nullptr && !steps_[i].kernel->updates_state();
    }
  }
  for (const Var* output : function_->body.outputs) {
    if (const auto found = slots_.find(output); found != slots_.end()) last[found->second] = steps_.size();
  }
  // A view lives in its source's buffer, and so does a result that takes over a dying input.
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const Step& step = steps_[i];
    if (step.alias) {
      root[step.outputs[0]] = root[step.inputs[0]];
      shift[step.outputs[0]] = shift[step.inputs[0]] + step.alias_offset;
    } else if (step.kernel != nullptr) {
      const Slot out = step.outputs[0];
      for (std::size_t k = 0; k < step.inputs.size(); ++k) {
        const Slot in = step.inputs[k];
        if (in == unplanned || !step.kernel->can_share(k) || !planned[root[in]] || last[root[in]] > i) continue;
        const auto same_root = [&](Slot other) { return other != unplanned && root[other] == root[in]; };
        if (std::count_if(step.inputs.begin(), step.inputs.end(), same_root) != 1 ||
            bytes_of(*slot_vars_[in]) != bytes_of(*slot_vars_[out]))
          continue;
        root[out] = root[in];
        shift[out] = shift[in];
        break;
      }
    }
    for (const Slot slot : step.outputs) last[root[slot]] = std::max(last[root[slot]], last[slot]);
  }
  // A kernel's result that leaves the function goes straight into the tensor that is returned.
  for (const Var* output : function_->body.outputs) {
    const auto found = slots_.find(output);
    if (found == slots_.end()) continue;
    const Slot slot = found->second;
    bool shared = false;
    for (Slot other = 0; other < count; ++other) shared = shared || (other != slot && root[other] == root[slot]);
    if (planned[slot] && root[slot] == slot && !shared) fresh_[slot] = true;
  }
  std::vector<Lifetime> lifetimes;
  std::vector<Slot> owners;
  for (Slot slot = 0; slot < count; ++slot) {
    if (!planned[slot] || root[slot] != slot || fresh_[slot]) continue;
    lifetimes.push_back({bytes_of(*slot_vars_[slot]), first[slot], last[slot]});
    owners.push_back(slot);
  }
  // So does what the threads of a kernel work in together.
  std::vector<std::size_t> working;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const std::size_t shared = steps_[i].kernel == nullptr ? 0 : steps_[i].kernel->workspace().shared;
    if (shared == 0) continue;
    lifetimes.push_back({shared, i, i});
    working.push_back(i);
  }
  // Before all that, each thread has bytes of its own, the same ones at every step: those that another one wrote it would have
  // to fetch from that one's cache.
  const std::size_t own = static_cast<std::size_t>(pool_.threads()) * worker_stride_;
  statistics_.arena_bytes = own + plan_memory(lifetimes);
  live_bytes_.assign(steps_.size() + 1, 0);
  for (const Lifetime& value : std::span(lifetimes).first(owners.size())) {
    live_bytes_[value.first] += value.bytes;
    if (value.last + 1 < live_bytes_.size()) live_bytes_[value.last + 1] -= value.bytes;
  }
  std::partial_sum(live_bytes_.begin(), live_bytes_.end(), live_bytes_.begin());
  for (std::size_t i = 0; i < owners.size(); ++i) offsets_[owners[i]] = own + lifetimes[i].offset;
  for (std::size_t i = 0; i < working.size(); ++i) steps_[working[i]].shared = own + lifetimes[owners.size() + i].offset;
  for (Slot slot = 0; slot < count; ++slot) {
    if (root[slot] != slot && offsets_[root[slot]] != unplanned) offsets_[slot] = offsets_[root[slot]] + shift[slot];
  }
  // Values that the arena does not hold are dropped after their last use.
  for (Slot slot = 0; slot < count; ++slot) {
    const std::size_t end = last[root[slot]];
    if (end < steps_.size() && offsets_[slot] == unplanned) steps_[end].last_uses.push_back(slot);
  }
}

// Views that only kernels read need no value of their own: that of their root lives as long.
void Executable::find_pointers() {
  std::vector<bool> wanted(slot_vars_.size(), false);
  for (const Var* output : function_->body.outputs) {
    if (const auto found = slots_.find(output); found != slots_.end()) wanted[found->second] = true;
  }
  for (auto step = steps_.rbegin(); step != steps_.rend(); ++step) {
    step->pointer_only = step->alias && !wanted[step->outputs[0]];
    if (step->kernel != nullptr || step->pointer_only) continue;
    for (const Slot slot : step->reads) wanted[slot] = true;
  }
}

std::unique_ptr<Executable::Context> Executable::acquire() const {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      auto context = std::move(idle_.back());
      idle_.pop_back();
      return context;
    }
  }
  auto context = std::make_unique<Context>();
  context->arena = allocate_aligned(statistics_.arena_bytes);
  context->pointers.resize(slot_vars_.size());
  context->values.resize(slot_vars_.size());
  for (Slot slot = 0; slot < slot_vars_.size(); ++slot) {
    if (offsets_[slot] != unplanned) context->pointers[slot] = context->arena.get() + offsets_[slot];
  }
  return context;
}

void Executable::release(std::unique_ptr<Context> context) const {
  std::fill(context->values.begin(), context->values.end(), Value());
  const std::lock_guard lock(mutex_);
  if (idle_.size() < max_idle_contexts) idle_.push_back(std::move(context));
}

Value Executable::value_of(const Var& var, const Context& context) const {
  if (var.constant != nullptr) return var.constant->value;
  const auto found = slots_.find(&var);
  if (found == slots_.end()) fail(ErrorKind::internal, "variable '{}' has no slot", var.name);
  if (const Value& value = context.values[found->second]; !value.empty()) return value;
  const TensorType& type = var.type.tensor();
  return Tensor::view(type.dtype, *shape_of(type), context.pointers[found->second], nullptr);
}

bool Executable::in_arena(const Tensor& tensor, const Context& context) const noexcept {
  const std::byte* begin = context.arena.get();
  return tensor.data() >= begin && tensor.data() < begin + statistics_.arena_bytes;
}

// Output 0 becomes what the state of an argument holds.
void Executable::take_state(const Step& step, std::string_view param, Context& context, const StateCells& states) const {
  const Slot out = step.outputs[0];
  const Value& held = state_cell(*step.op, param, states).value;
  require_declared(*step.op, *slot_vars_[out], held);
  context.pointers[out] = held.tensor().data();
  context.values[out] = held;
}

void Executable::run_kernel(const Step& step, Context& context, const StateCells& states) const {
  context.kernel_inputs.clear();
  context.kernel_outputs.clear();
  if (step.kernel->updates_state()) {
    take_state(step, "state", context, states);
    Tensor held = context.values[step.outputs[0]].tensor();
    context.pointers[step.inputs[0]] = held.mutable_data();
  }
  for (std::size_t i = 0; i < step.inputs.size(); ++i) {
    context.kernel_inputs.push_back(step.inputs[i] == unplanned ? step.input_constants[i]->value.tensor().data()
                                                                : context.pointers[step.inputs[i]]);
  }
  for (const Slot slot : step.outputs) {
    if (fresh_[slot]) {
      const TensorType& type = slot_vars_[slot]->type.tensor();
      Tensor result(type.dtype, *shape_of(type));
      context.pointers[slot] = result.mutable_data();
      context.values[slot] = std::move(result);
    }
    context.kernel_outputs.push_back(const_cast<std::byte*>(context.pointers[slot]));
  }
  std::byte* arena = context.arena.get();
  const Status status = step.kernel->run(
      {context.kernel_inputs.data(), context.kernel_outputs.data(), arena + step.shared, arena, worker_stride_, &pool_});
  if (!status.ok()) throw Error(ErrorKind::invalid_argument, status.detail);
}

void Executable::run_reference(const Step& step, Context& context, const StateCells& states, Limits& limits) const {
  std::optional<op::DeviceProducts> products;
  if (on_device_) products.emplace(pool_);
  std::vector<Value> results = interpret_op(
      *step.op, [&](const Var& var) { return value_of(var, context); }, states, limits);
  for (std::size_t i = 0; i < results.size(); ++i) {
    const Slot slot = step.outputs[i];
    require_declared(*step.op, *slot_vars_[slot], results[i]);
    if (results[i].is_tensor()) {
      // Arena bytes are overwritten later; what is not overwritten may be kept.
      if (in_arena(results[i].tensor(), context)) results[i] = results[i].tensor().clone();
      context.pointers[slot] = results[i].tensor().data();
    }
    context.values[slot] = std::move(results[i]);
  }
}

void Executable::run_step(const Step& step, Context& context, const StateCells& states, Limits& limits) const {
  if (step.reads_state) {
    take_state(step, "input", context, states);
  } else if (step.alias) {
    const Slot in = step.inputs[0];
    const Slot out = step.outputs[0];
    context.pointers[out] = context.pointers[in] + step.alias_offset;
    if (const Value& value = context.values[in]; !step.pointer_only && !value.empty()) {
      const TensorType& type = slot_vars_[out]->type.tensor();
      const auto owner = std::make_shared<Tensor>(value.tensor());
      context.values[out] = Tensor::view(type.dtype, *shape_of(type), owner->data() + step.alias_offset, owner);
    }
  } else if (step.kernel != nullptr) {
    within([&] { return fmt::format("op '{}' ({})", step.op->label(), step.op->type); },
           [&] { run_kernel(step, context, states); });
  } else {
    run_reference(step, context, states, limits);
  }
}

std::size_t Recorder::runs() const { return executable == nullptr ? 0 : moments.size() / (executable->statistics().steps + 1); }

double Recorder::seconds(std::size_t run, std::size_t step) const {
  const std::size_t first = run * (executable->statistics().steps + 1) + step;
  return moments[first + 1] - moments[first];
}

double Recorder::median_seconds(std::size_t step) const {
  std::vector<double> all;
  for (std::size_t run = 0; run < runs(); ++run) all.push_back(seconds(run, step));
  if (all.empty()) return 0;
  const auto middle = all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2);
  std::nth_element(all.begin(), middle, all.end());
  return *middle;
}

std::vector<StepInfo> Executable::steps() const {
  std::vector<StepInfo> result;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const Step& step = steps_[i];
    const bool kernel = step.kernel != nullptr;
    result.push_back({step.op,
                      step.alias || step.reads_state ? "view"
                      : kernel                       ? step.kernel->name()
                                                     : "reference",
                      kernel ? step.kernel->packed_bytes() : 0, live_bytes_[i],
                      kernel ? std::span<const Op* const>(step.kernel->joined) : std::span<const Op* const>()});
  }
  return result;
}

std::vector<Value> Executable::run(std::span<const Value> inputs, const std::vector<StateCell*>& states, Recorder* recorder,
                                   double time_limit) const {
  StateCells cells;
  Limits limits(time_limit);
  std::unique_ptr<Context> context = acquire();
  std::size_t next_state = 0;
  for (std::size_t i = 0; i < function_->inputs.size(); ++i) {
    const Var& input = *function_->inputs[i];
    if (input.type.as<StateType>() != nullptr) {
      if (next_state < states.size()) cells[&input] = states[next_state];
      ++next_state;
      continue;
    }
    context->values[i] = inputs[i];
    if (inputs[i].is_tensor()) context->pointers[i] = inputs[i].tensor().data();
  }
  const auto mark = [recorder] {
    recorder->moments.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - recorder->origin).count());
  };
  if (recorder != nullptr) mark();
  for (const Step& step : steps_) {
    limits.check_time();
    run_step(step, *context, cells, limits);
    for (const Slot slot : step.last_uses) context->values[slot] = Value();
    if (recorder != nullptr) mark();
  }
  std::vector<Value> outputs;
  for (const Var* output : function_->body.outputs) {
    Value value = value_of(*output, *context);
    if (value.is_tensor()) {
      const auto found = slots_.find(output);
      const bool own = found != slots_.end() && fresh_[found->second];
      const bool input = found != slots_.end() && found->second < function_->inputs.size();
      const Tensor& tensor = value.tensor();
      bool borrowed = input || in_arena(tensor, *context);
      for (const Value& given : inputs) borrowed = borrowed || (given.is_tensor() && inside(tensor, given.tensor()));
      for (const StateCell* cell : states)
        borrowed = borrowed || (cell->value.is_tensor() && inside(tensor, cell->value.tensor()));
      if (!own && borrowed) value = tensor.clone();
    }
    outputs.push_back(std::move(value));
  }
  release(std::move(context));
  return outputs;
}

}  // namespace tl::plan
