#include "insight/keep.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

namespace tl::insight {

using namespace ir;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double most = 200;  // decibels; float32 itself has about 150

bool floats(const Distance& distance) { return distance.reference > 0; }

std::vector<const Var*> reads(const Op& op) {
  std::vector<const Var*> result;
  for (const Argument& argument : op.inputs) {
    for (const Binding& binding : argument.bindings) {
      if (const auto* var = std::get_if<Var*>(&binding); var != nullptr && (*var)->constant == nullptr) result.push_back(*var);
    }
  }
  return result;
}

// Walks a function against its order.
class Backward {
 public:
  Backward(const Records& records, std::unordered_map<const Var*, double>& wanted, Needs& needs)
      : records_(records), wanted_(wanted), needs_(needs) {}

  void block(const Block& block) {
    for (auto op = block.ops.rbegin(); op != block.ops.rend(); ++op) {
      for (const auto& inner : (*op)->blocks) {
        for (const auto& param : inner->params) owners_[param.get()] = op->get();
      }
    }
    for (auto op = block.ops.rbegin(); op != block.ops.rend(); ++op) this->op(**op);
  }

 private:
  // A value as it arrives at its readers.
  double snr(const Var& var) const {
    const Op* producer = var.producer;
    if (const auto owner = owners_.find(&var); owner != owners_.end()) producer = owner->second;
    const auto found = producer == nullptr ? records_.end() : records_.find(producer);
    return found == records_.end() ? infinity : found->second.counts.total.snr();
  }

  void want(const Var& var, double decibels) {
    double& held = wanted_.try_emplace(&var, -infinity).first->second;
    held = std::max(held, std::min(decibels, most));
  }

  void op(const Op& op) {
    double need = -infinity;
    for (const auto& output : op.outputs) {
      if (const auto found = wanted_.find(output.get()); found != wanted_.end()) need = std::max(need, found->second);
    }
    // What an op does to a state is seen by the next run.
    if (need == -infinity) return;
    const auto record = records_.find(&op);
    if (record == records_.end()) return;
    const std::vector<const Var*> inputs = reads(op);
    double worst = infinity;
    for (const Var* input : inputs) worst = std::min(worst, snr(*input));
    const double passed = record->second.counts.inherited.snr();
    // Ratios of less than 0 dB are noise and tell nothing about how errors grow.
    const auto sane = [](double decibels) { return std::max(decibels, 0.0); };
    const bool absorbed = passed >= need && worst < 0;
    double amplification = 0;
    if (worst != infinity) amplification = absorbed || passed == infinity ? -most : sane(worst) - sane(passed);
    needs_[&op] = {need, amplification};
    if (!op.blocks.empty()) {
      // Twice, since what leaves the body of a loop enters it again.
      for (int round = 0; round < 2; ++round) {
        for (const auto& inner : op.blocks) {
          for (std::size_t i = 0; i < inner->outputs.size(); ++i) {
            const bool decides = inner->outputs.size() != op.outputs.size();
            want(*inner->outputs[i], decides ? most : need);
          }
          block(*inner);
          for (const auto& param : inner->params) {
            if (const auto found = wanted_.find(param.get()); found != wanted_.end()) {
              for (const auto& other : op.blocks) {
                for (const Var* output : other->outputs) want(*output, found->second);
              }
            }
          }
        }
      }
      for (const Var* input : inputs) want(*input, need);
      return;
    }
    if (amplification == -most) return;  // whatever enters, what leaves is good
    for (const Var* input : inputs) want(*input, need + amplification);
  }

  const Records& records_;
  std::unordered_map<const Var*, double>& wanted_;
  Needs& needs_;
  std::unordered_map<const Var*, const Op*> owners_;
};

std::string name_of_count(std::size_t count) { return fmt::format("{} op{}", count, count == 1 ? "" : "s"); }

}  // namespace

bool Target::met(const Distance& output) const {
  if (output.broken != 0) return false;
  if (psnr && !(output.psnr() >= *psnr)) return false;
  return !cosine || output.error == 0 || output.cosine() >= *cosine;
}

double Target::needed(const Distance& output) const {
  double snr = -infinity;
  if (psnr) {
    const double peak = output.peak * output.peak * static_cast<double>(std::max<std::int64_t>(output.count, 1));
    snr = floats(output) ? *psnr - 10 * std::log10(peak / output.reference) : *psnr;
  }
  if (cosine) snr = std::max(snr, *cosine >= 1 ? most : -10 * std::log10(2 * (1 - *cosine)));
  return snr;
}

Needs KeepSearch::needs(double margin) const {
  std::unordered_map<const Var*, double> wanted;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (target.met(outputs[i])) continue;
    double& held = wanted.try_emplace(function.body.outputs[i], -infinity).first->second;
    held = std::max(held, target.needed(outputs[i]) + margin);
  }
  Needs result;
  Backward(records, wanted, result).block(function.body);
  return result;
}

OpSet KeepSearch::candidates(const Needs& needs) const {
  OpSet result;
  for_each_op(function.body, [&](const Op& op) {
    const auto need = needs.find(&op);
    if (need == needs.end() || !choosable(op)) return;
    const OpCounts& counts = records.at(&op).counts;
    bool kept = counts.added.snr() < need->second.snr;
    const double of_inputs = need->second.snr + need->second.amplification;
    for (const Var* input : reads(op)) {
      const auto producer = input->producer == nullptr ? records.end() : records.find(input->producer);
      if (producer != records.end() && producer->second.counts.storage.count > 0)
        kept = kept || producer->second.counts.storage.snr() < of_inputs;
    }
    if (kept) result.insert(&op);
  });
  return result;
}

FoundKeep KeepSearch::find() const {
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  FoundKeep found;
  const auto passes = [&](const OpSet& set, std::vector<Distance>& result) {
    ++found.runs;
    result = run(set);
    return std::all_of(result.begin(), result.end(), [&](const Distance& output) { return target.met(output); });
  };

  std::vector<const Op*> order;
  for_each_op(function.body, [&](const Op& op) {
    if (choosable(op) && records.count(&op) != 0) order.push_back(&op);
  });
  OpSet kept;
  std::size_t tried = 0;
  for (const double margin : {0.0, 6.0, 12.0, 24.0, 48.0, infinity}) {
    OpSet next = margin == infinity ? OpSet(order.begin(), order.end()) : candidates(needs(margin));
    if (next.empty() || next.size() == tried) continue;
    tried = next.size();
    if (progress) progress(fmt::format("trying {} in float32", name_of_count(next.size())));
    kept = std::move(next);
    if (passes(kept, found.outputs)) {
      found.verified = true;
      break;
    }
  }
  std::vector<const Op*> list;
  for (const Op* op : order) {
    if (kept.count(op) != 0) list.push_back(op);
  }
  // Leaves out what is not needed: halves, quarters, ... single ops, until no single one can go.
  for (std::size_t size = std::max<std::size_t>(1, list.size() / 2); found.verified && !list.empty();) {
    bool removed = false;
    for (std::size_t at = 0; at < list.size();) {
      if (seconds() > max_seconds) {
        found.complete = false;
        break;
      }
      if (progress) progress(fmt::format("{} in float32, trying without {}", name_of_count(list.size()), list[at]->label()));
      const std::size_t end = std::min(list.size(), at + size);
      OpSet fewer(list.begin(), list.end());
      for (std::size_t i = at; i < end; ++i) fewer.erase(list[i]);
      std::vector<Distance> result;
      if (!fewer.empty() && passes(fewer, result)) {
        list.erase(list.begin() + static_cast<std::ptrdiff_t>(at), list.begin() + static_cast<std::ptrdiff_t>(end));
        found.outputs = std::move(result);
        removed = true;
      } else {
        at = end;
      }
    }
    if (!found.complete || (size == 1 && !removed)) break;
    size = std::max<std::size_t>(1, size / 2);
  }
  found.ops = std::move(list);
  return found;
}

}  // namespace tl::insight
