#include "format/neuralnetwork/emitter.hpp"

#include <algorithm>
#include <numeric>

namespace tl::format::nn {

using namespace ir;

namespace {

constexpr std::int64_t max_folded = 1 << 12;  // elements: shapes and indices, not weights

bool is_small(const std::vector<Type>& types) {
  return std::all_of(types.begin(), types.end(), [](const Type& type) {
    const TensorType* tensor = type.as<TensorType>();
    const auto shape = tensor == nullptr ? std::nullopt : shape_of(*tensor);
    return shape && element_count(*shape) <= max_folded;
  });
}

// The values of the inputs when all are literals that are cheap to read.
std::optional<std::vector<std::vector<Value>>> literals(const Op& op) {
  std::vector<std::vector<Value>> values;
  for (const Argument& argument : op.inputs) {
    auto& bound = values.emplace_back();
    for (const Binding& binding : argument.bindings) {
      const ConstantPtr constant = constant_of(binding);
      if (constant == nullptr || !constant->value.is_tensor() || constant->value.tensor().size() > max_folded)
        return std::nullopt;
      bound.push_back(constant->value);
    }
  }
  return values;
}

}  // namespace

Blob Arg::int_list(const std::vector<std::int64_t>& values) {
  Tensor list(DType::i32, {iz(values.size())});
  auto out = list.mutable_values<std::int32_t>();
  for (std::size_t i = 0; i < values.size(); ++i) out[i] = checked_cast<std::int32_t>(values[i], "an argument");
  return make_constant(std::move(list));
}

Blob Arg::flag_list(const std::vector<bool>& values) {
  Tensor list(DType::boolean, {iz(values.size())});
  auto out = list.mutable_values<bool>();
  for (std::size_t i = 0; i < values.size(); ++i) out[i] = values[i];
  return make_constant(std::move(list));
}

const TensorType& tensor_type(const Blob& blob) { return type_of(blob).tensor(); }

Dims dims_of(const Blob& blob) {
  const TensorType& type = tensor_type(blob);
  if (!type.dims) fail(ErrorKind::unsupported, "the rank of an input depends on data");
  return *type.dims;
}

std::int64_t rank_of(const Blob& blob) { return iz(dims_of(blob).size()); }

Tensor known(const Blob& blob) {
  const ConstantPtr constant = constant_of(blob);
  return constant != nullptr && constant->value.is_tensor() ? constant->value.tensor() : Tensor();
}

std::string Emitter::unique(const std::string& wanted) {
  std::string base = wanted.empty() ? "value" : wanted;
  if (names_.insert(base).second) return base;
  int& counter = counters_[base];
  for (;;) {
    std::string candidate = fmt::format("{}_{}", base, counter++);
    if (names_.insert(candidate).second) return candidate;
  }
}

void Emitter::rename(const Blob& blob, const std::string& name) {
  const auto* var = std::get_if<Var*>(&blob);
  if (var == nullptr || (*var)->producer == nullptr || name.empty() || (*var)->name == name) return;
  names_.erase((*var)->name);
  (*var)->name = unique(name);
}

std::unique_ptr<Op> Emitter::make(std::string_view type, const Args& args) {
  auto op = std::make_unique<Op>();
  op->type = type;
  op->def = find_op(type);
  if (!prefix_.empty()) op->attributes.emplace_back("name", make_constant(prefix_));
  for (const Arg& arg : args) {
    if (!arg.bindings.empty()) op->inputs.push_back({std::string(arg.name), arg.bindings});
  }
  std::sort(op->inputs.begin(), op->inputs.end(), [](const Argument& a, const Argument& b) { return a.name < b.name; });
  return op;
}

Var* Emitter::add_output(Op& op, Type type, const std::string& name) {
  auto var = std::make_unique<Var>();
  var->name = unique(name);
  var->type = std::move(type);
  var->producer = &op;
  op.outputs.push_back(std::move(var));
  return op.outputs.back().get();
}

std::vector<Blob> Emitter::ops(std::string_view type, const Args& args, std::vector<std::unique_ptr<Block>> blocks) {
  auto op = make(type, args);
  op->blocks = std::move(blocks);
  std::vector<Type> types = infer_types(*op);
  std::vector<Blob> results;
  if (op->def->pure && op->blocks.empty() && !op->def->constexpr_op && is_small(types)) {
    if (auto values = literals(*op)) {
      for (Value& value : evaluate(*op, std::move(*values))) results.emplace_back(make_constant(value.tensor()));
      return results;
    }
  }
  for (Type& output : types) results.emplace_back(add_output(*op, std::move(output), prefix_));
  block_->ops.push_back(std::move(op));
  return results;
}

std::vector<Blob> Emitter::declared(std::string_view type, const Args& args, Attributes attributes, std::vector<Type> types) {
  auto op = make(type, args);
  op->attributes.insert(op->attributes.end(), attributes.begin(), attributes.end());
  std::vector<Blob> results;
  for (Type& output : types) results.emplace_back(add_output(*op, std::move(output), prefix_));
  // What the op knows better.
  types = infer_types(*op);
  for (std::size_t i = 0; i < types.size(); ++i) op->outputs[i]->type = std::move(types[i]);
  block_->ops.push_back(std::move(op));
  return results;
}

std::vector<Blob> Emitter::undefined(std::string_view type, const Args& args, std::vector<Type> types) {
  auto op = make(type, args);
  std::vector<Blob> results;
  for (Type& output : types) results.emplace_back(add_output(*op, std::move(output), prefix_));
  block_->ops.push_back(std::move(op));
  return results;
}

void Emitter::take_back(std::size_t count) {
  const auto forget = [&](const Op& op) {
    for (const auto& output : op.outputs) {
      spreads_.erase(output.get());
      names_.erase(output->name);
    }
  };
  while (block_->ops.size() > count) {
    Op& last = *block_->ops.back();
    forget(last);
    for (const auto& inner : last.blocks) for_each_op(*inner, forget);
    block_->ops.pop_back();
  }
}

Blob Emitter::op(std::string_view type, const Args& args) { return ops(type, args).at(0); }

Blob Emitter::compressed(std::string_view type, const Args& args, const std::string& name) {
  auto op = make(type, args);
  std::vector<Type> types = infer_types(*op);
  Var* var = add_output(*op, types.at(0), name);
  block_->ops.push_back(std::move(op));
  return var;
}

Blob Emitter::weight(const Tensor& value, const std::string& name) {
  auto op = make("const", {});
  const ConstantPtr constant = make_constant(value);
  op->attributes.emplace_back("val", constant);
  Var* var = add_output(*op, constant->type, name);
  var->constant = constant;
  block_->ops.push_back(std::move(op));
  return var;
}

Blob Emitter::cast(const Blob& x, DType dtype) {
  if (tensor_type(x).dtype == dtype) return x;
  return op("cast", {{"x", x}, {"dtype", name(dtype)}});
}

Blob Emitter::to_bool(const Blob& x) {
  if (tensor_type(x).dtype == DType::boolean) return x;
  return op("not_equal", {{"x", x}, {"y", literal(Tensor::scalar(0.0F).cast(tensor_type(x).dtype))}});
}

Blob Emitter::scalar(const Blob& x) { return rank_of(x) == 0 ? x : reshape(x, std::vector<std::int64_t>{}); }

Blob Emitter::shape(const Blob& x) {
  const Dims dims = dims_of(x);
  if (!all_known(dims)) return op("shape", {{"x", x}});
  std::vector<std::int64_t> extents;
  for (const Dim dim : dims) extents.push_back(dim.extent());
  return Arg::int_list(extents);
}

Blob Emitter::shape_slice(const Blob& x, std::int64_t begin, std::int64_t end) {
  const Dims dims = dims_of(x);
  const Dims part(dims.begin() + begin, dims.begin() + end);
  if (all_known(part)) {
    std::vector<std::int64_t> extents;
    for (const Dim dim : part) extents.push_back(dim.extent());
    return Arg::int_list(extents);
  }
  return op("slice_by_size",
            {{"x", shape(x)}, {"begin", std::vector<std::int64_t>{begin}}, {"size", std::vector<std::int64_t>{end - begin}}});
}

Blob Emitter::transpose(const Blob& x, const std::vector<std::int64_t>& perm) {
  if (std::is_sorted(perm.begin(), perm.end())) return x;
  return op("transpose", {{"x", x}, {"perm", perm}});
}

const Emitter::Spread* Emitter::origin_of(const Blob& x) const {
  const auto* var = std::get_if<Var*>(&x);
  const auto found = var == nullptr ? spreads_.end() : spreads_.find(*var);
  return found == spreads_.end() ? nullptr : &found->second;
}

Blob Emitter::respread(const Blob& low, const Blob& like, const Spread& origin) { return spread(low, like, origin.inner); }

Blob Emitter::gathered(const Blob& x, std::int64_t inner) {
  const Dims dims = dims_of(x);
  const std::int64_t leading = iz(dims.size()) - inner;
  if (leading < 0) fail(ErrorKind::bad_model, "an input has rank {}, at least {} is expected", dims.size(), inner);
  if (leading == 1) return x;
  if (const Spread* origin = origin_of(x); origin != nullptr && origin->inner == inner) return origin->low;
  if (leading == 0) return expand(x, {0});
  std::vector<std::int64_t> ones;
  for (std::int64_t i = 0; i < leading && iz(ones.size()) < leading - 1; ++i) {
    if (dims[uz(i)] == Dim(1)) ones.push_back(i);
  }
  if (iz(ones.size()) == leading - 1) return squeeze(x, ones);
  return reshape(x, concat({Arg::int_list({-1}), shape_slice(x, leading, leading + inner)}, 0));
}

Blob Emitter::spread(const Blob& y, const Blob& like, std::int64_t inner) {
  const Dims dims = dims_of(like);
  const std::int64_t leading = iz(dims.size()) - inner;
  if (leading == 1) return y;
  std::vector<std::int64_t> ones;
  for (std::int64_t i = 0; i < leading && iz(ones.size()) < leading - 1; ++i) {
    if (dims[uz(i)] == Dim(1)) ones.push_back(i);
  }
  Blob result = leading == 0 ? squeeze(y, {0})
                : iz(ones.size()) == leading - 1
                    ? expand(y, ones)
                    : reshape(y, concat({shape_slice(like, 0, leading), shape_slice(y, 1, rank_of(y))}, 0));
  if (const auto* var = std::get_if<Var*>(&result)) spreads_.insert_or_assign(*var, Spread{y, like, rank_of(y) - 1});
  return result;
}

}  // namespace tl::format::nn
