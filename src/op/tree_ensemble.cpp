#include <cmath>

#include "ir/op_def.hpp"

namespace tl::op {

using namespace ir;

namespace {

// As the specification numbers them; 6 is a leaf.
enum Behavior : std::int32_t { less_equal, less, greater_equal, greater, equal, not_equal, leaf };

bool goes_yes(std::int32_t behavior, double x, double value) {
  switch (behavior) {
    case less_equal: return x <= value;
    case less: return x < value;
    case greater_equal: return x >= value;
    case greater: return x > value;
    case equal: return x == value;
    default: return x != value;
  }
}

std::int64_t length(const Infer& c, std::string_view param) {
  const Dims dims = c.dims(param);
  if (dims.size() != 1 || !dims[0].known()) c.reject(param, "expected a list, got shape {}", to_string(dims));
  return dims[0].extent();
}

void check_within(const Infer& c, std::string_view param, std::int64_t count, bool include_end = false) {
  const Tensor list = c.known(param);
  for (const std::int32_t value : list.values<std::int32_t>()) {
    if (value < 0 || value > count || (value == count && !include_end)) c.reject(param, "{} is outside of {}", value, count);
  }
}

}  // namespace

// Decision trees over a vector of features. Node i is a leaf, which adds leaf_value to the outputs that leaf_index names (those
// in [leaf_begin[i], leaf_begin[i + 1])), or compares feature[i] with value[i] and goes to yes[i] or no[i]; a feature that is
// not a number goes to yes where `missing` says so.
TL_OP(tl_tree_ensemble) {
  op.in("x", dt::of(DType::f64));
  for (const char* param : {"roots", "behavior", "feature", "yes", "no", "missing", "leaf_begin", "leaf_index"})
    op.in(param, dt::i32).constant();
  for (const char* param : {"value", "leaf_value", "base"}) op.in(param, dt::of(DType::f64)).constant();
  op.infer = [](Infer& c) {
    const std::int64_t nodes = length(c, "behavior");
    for (const char* param : {"feature", "value", "yes", "no", "missing"}) {
      if (length(c, param) != nodes) c.reject(param, "{} entries for {} nodes", length(c, param), nodes);
    }
    if (length(c, "leaf_begin") != nodes + 1) c.reject("leaf_begin", "{} entries for {} nodes", length(c, "leaf_begin"), nodes);
    const std::int64_t leaves = length(c, "leaf_index");
    if (length(c, "leaf_value") != leaves) c.reject("leaf_value", "{} entries for {}", length(c, "leaf_value"), leaves);
    length(c, "roots");
    const Dims x = c.dims("x");
    if (x.size() != 1) c.reject("x", "rank {}, expected 1", x.size());
    check_within(c, "roots", nodes);
    check_within(c, "yes", nodes);
    check_within(c, "no", nodes);
    check_within(c, "behavior", leaf, true);
    check_within(c, "leaf_begin", leaves, true);
    check_within(c, "leaf_index", length(c, "base"));
    if (x[0].known()) {
      const Tensor behavior = c.known("behavior"), feature = c.known("feature");
      for (std::int64_t i = 0; i < nodes; ++i) {
        const std::int32_t index = feature.values<std::int32_t>()[uz(i)];
        if (behavior.values<std::int32_t>()[uz(i)] != leaf && (index < 0 || index >= x[0].extent()))
          c.reject("feature", "node {}: feature {} of {}", i, index, x[0].extent());
      }
    }
    c.out(DType::f64, {length(c, "base")});
  };
  op.eval = [](Eval& c) {
    const auto list = [&](std::string_view param) { return c.in(param).values<std::int32_t>(); };
    const auto behavior = list("behavior"), feature = list("feature"), yes = list("yes"), no = list("no"),
               missing = list("missing");
    const auto leaf_begin = list("leaf_begin"), leaf_index = list("leaf_index");
    const Tensor x_tensor = c.in("x"), value_tensor = c.in("value"), leaf_tensor = c.in("leaf_value");
    const auto x = x_tensor.values<double>(), value = value_tensor.values<double>(), leaf_value = leaf_tensor.values<double>();
    std::vector<double> sums = c.doubles("base");
    for (const std::int32_t root : list("roots")) {
      auto node = static_cast<std::size_t>(root);
      for (std::size_t steps = 0; behavior[node] != leaf; ++steps) {
        if (steps > behavior.size()) c.reject("yes", "the tree of node {} has a cycle", root);
        const auto at = static_cast<std::size_t>(feature[node]);
        if (feature[node] < 0 || at >= x.size())
          c.reject("feature", "node {}: feature {} of {}", node, feature[node], x.size());
        const bool left = std::isnan(x[at]) ? missing[node] != 0 : goes_yes(behavior[node], x[at], value[node]);
        node = static_cast<std::size_t>(left ? yes[node] : no[node]);
      }
      for (auto i = static_cast<std::size_t>(leaf_begin[node]); i < static_cast<std::size_t>(leaf_begin[node + 1]); ++i)
        sums[static_cast<std::size_t>(leaf_index[i])] += leaf_value[i];
    }
    c.store(0, sums);
  };
}

}  // namespace tl::op
