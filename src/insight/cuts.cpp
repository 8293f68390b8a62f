#include "insight/cuts.hpp"

#include <algorithm>
#include <functional>
#include <unordered_map>
#include <unordered_set>

#include "apple/site.hpp"
#include "base/checked.hpp"

namespace tl::insight {

using namespace ir;

namespace {

constexpr int max_chain = 8;  // constexpr ops on top of each other

std::uint64_t bytes_of(const Type& type) {
  const auto* tensor = type.as<TensorType>();
  if (tensor == nullptr) return 0;
  return static_cast<std::uint64_t>(apple::elements(*tensor) * bits(tensor->dtype) / 8.0);
}

struct Scan {
  std::unordered_map<const Var*, std::size_t> last_read;  // by index of the op of the outermost block
  std::vector<std::uint64_t> weights;                     // first read by the op
};

Scan scan(const Function& function) {
  Scan result;
  result.weights.resize(function.body.ops.size());
  std::unordered_set<const void*> counted;
  for (std::size_t i = 0; i < function.body.ops.size(); ++i) {
    // A compressed weight is read by the op that uses it.
    const std::function<void(const Op&, int)> reads = [&](const Op& op, int depth) {
      for (const Argument& argument : op.inputs) {
        for (const Binding& binding : argument.bindings) {
          const ConstantPtr constant = constant_of(binding);
          if (constant != nullptr && constant->value.is_tensor() && counted.insert(constant.get()).second)
            result.weights[i] += constant->value.tensor().bytes();
          auto* const* var = std::get_if<Var*>(&binding);
          if (var == nullptr) continue;
          result.last_read[*var] = i;
          const Op* maker = (*var)->producer;
          if (maker != nullptr && maker->type != "const" && apple::runs_at_load(*maker) && depth < max_chain)
            reads(*maker, depth + 1);
        }
      }
    };
    const Op& op = *function.body.ops[i];
    if (apple::runs_at_load(op)) continue;
    reads(op, 0);
    for (const auto& inner : op.blocks) for_each_op(*inner, [&](const Op& nested) { reads(nested, 0); });
  }
  for (const Var* output : function.body.outputs) result.last_read[output] = function.body.ops.size();
  return result;
}

}  // namespace

std::vector<Cut> cuts(const Function& function, std::uint64_t part_bytes) {
  const Scan scanned = scan(function);
  const std::size_t count = function.body.ops.size();
  std::uint64_t total = 0;
  for (const std::uint64_t bytes : scanned.weights) total += bytes;
  std::vector<Cut> result;
  if (total <= part_bytes || part_bytes == 0) return result;

  // Bytes alive after each op: what it or an op before it makes and a later one reads.
  std::vector<std::uint64_t> alive(count + 1);
  std::vector<std::uint64_t> before(count);
  std::vector<std::uint64_t> ends(count + 1);
  std::uint64_t living = 0, seen = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const Op& op = *function.body.ops[i];
    for (const auto& output : op.outputs) {
      const auto read = scanned.last_read.find(output.get());
      if (apple::runs_at_load(op) || read == scanned.last_read.end()) continue;
      living += bytes_of(output->type);
      ends[std::min(read->second, count)] += bytes_of(output->type);
    }
    living -= ends[i];
    alive[i] = living;
    before[i] = seen += scanned.weights[i];
  }

  const std::uint64_t parts = (total + part_bytes - 1) / part_bytes;
  const std::uint64_t slack = total / parts / 5;
  for (std::uint64_t part = 1; part < parts; ++part) {
    const std::uint64_t wanted = total / parts * part;
    std::size_t best = count;
    for (std::size_t i = 0; i + 1 < count; ++i) {
      if (apple::runs_at_load(*function.body.ops[i])) continue;
      if (before[i] + slack < wanted || before[i] > wanted + slack) continue;
      if (best == count || alive[i] < alive[best]) best = i;
    }
    if (best != count) result.push_back({function.body.ops[best].get(), before[best], alive[best]});
  }
  return result;
}

}  // namespace tl::insight
