#include "tensorlogic/compare.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.hpp"
#include "base/thread_pool.hpp"
#include "format/format.hpp"
#include "insight/compare_parts.hpp"
#include "insight/keep.hpp"
#include "insight/match.hpp"
#include "insight/subject.hpp"
#include "plan/features.hpp"

namespace tl {

using namespace insight;

namespace insight {

Accuracy accuracy_of(const Distance& distance) {
  return {distance.count,  distance.equal,    distance.broken, distance.snr(),
          distance.psnr(), distance.cosine(), distance.largest};
}

ComparedOp row_of(const ir::Op& op, const OpRecord& record) {
  const OpCounts& counts = record.counts;
  ComparedOp row;
  row.op = op.label();
  row.type = op.type;
  row.output = op.outputs.empty() ? "" : to_string(op.outputs.front()->type);
  row.scope = scope_of(op);
  row.runs = counts.runs;
  row.total = accuracy_of(counts.total);
  row.added = accuracy_of(counts.added);
  row.inherited = accuracy_of(counts.inherited);
  row.overflowed = counts.overflowed;
  row.not_a_number = counts.not_a_number;
  row.underflowed = counts.underflowed;
  row.beyond_fp16 = counts.beyond_half;
  row.beyond_engine = counts.beyond_engine;
  row.largest = counts.largest;
  row.diverged = record.diverged;
  return row;
}

// Attributes other than the name that hold a text: where converters leave a module's name or a source line.
std::string scope_of(const ir::Op& op) {
  std::string text;
  for (const auto& [name, value] : op.attributes) {
    if (name == "name" || name == "val" || value == nullptr || !value->value.is_tensor()) continue;
    const Tensor& tensor = value->value.tensor();
    if (tensor.dtype() != DType::string) continue;
    for (const std::string& part : tensor.strings()) text += (text.empty() ? "" : " ") + part;
  }
  return text;
}

Target target_of(const CompareOptions& options) {
  constexpr double default_psnr = 40;
  Target target{options.target_psnr, options.target_cosine};
  if (target.psnr && !(*target.psnr > 0 && *target.psnr <= 150))
    fail(ErrorKind::invalid_argument, "a target of {} dB; it is over 0 and at most 150", *target.psnr);
  if (target.cosine && !(*target.cosine > 0 && *target.cosine <= 1))
    fail(ErrorKind::invalid_argument, "a target cosine of {}; it is over 0 and at most 1", *target.cosine);
  if (!target.psnr && !target.cosine) target.psnr = default_psnr;
  return target;
}

Evaluator evaluator_for(const CompareOptions& options) {
  if (!options.device.empty() && options.device != "cpu" && options.device != "reference")
    fail(ErrorKind::invalid_argument, "no device '{}'; there are: cpu, reference", options.device);
  const int threads = options.threads > 0 ? options.threads : default_threads();
  return {std::make_shared<ThreadPool>(threads), options.device != "reference"};
}

std::vector<ComparedOutput> outputs_of(const ir::Function& function, const std::vector<Distance>& distances,
                                       const Target& target) {
  std::vector<ComparedOutput> rows;
  for (std::size_t i = 0; i < distances.size(); ++i) {
    const ir::Var& output = *function.body.outputs[i];
    rows.push_back({output.name, to_string(output.type), accuracy_of(distances[i]), target.met(distances[i])});
  }
  return rows;
}

void add_distances(std::vector<Distance>& sums, const std::vector<Value>& values, const std::vector<Value>& reference) {
  sums.resize(reference.size());
  for (std::size_t i = 0; i < reference.size(); ++i) {
    const auto a = numbers_of(values[i]);
    const auto b = numbers_of(reference[i]);
    if (a && b) sums[i].add(distance(*a, *b));
  }
}

bool all_passed(const std::vector<ComparedOutput>& outputs) {
  return std::all_of(outputs.begin(), outputs.end(), [](const ComparedOutput& output) { return output.passed; });
}

}  // namespace insight

namespace {

bool has_half(const ir::Function& function) {
  const auto half = [](const auto& var) { return is_float(var->type) && var->type.tensor().dtype == DType::f16; };
  bool found = std::any_of(function.inputs.begin(), function.inputs.end(), half);
  ir::for_each_op(function.body, [&](const ir::Op& op) {
    found = found || (op.type != "const" && std::any_of(op.outputs.begin(), op.outputs.end(), half));
  });
  return found;
}

Precision precision_of(const CompareOptions& options, const ir::Function& function) {
  Precision precision;
  precision.mixed_parameters = function.opset >= "ios17";
  if (options.precision == "fp16" || (options.precision.empty() && !has_half(function))) {
    precision.base = Precision::Base::lower;
  } else if (!options.precision.empty() && options.precision != "own") {
    fail(ErrorKind::invalid_argument, "precision '{}'; there are: own, fp16", options.precision);
  }
  return precision;
}

bool has_nan(const std::vector<Value>& values) {
  return std::any_of(values.begin(), values.end(), [](const Value& value) {
    const auto numbers = numbers_of(value);
    if (!numbers || !is_floating(numbers->dtype())) return false;
    for (std::int64_t i = 0; i < numbers->size(); ++i) {
      if (std::isnan(numbers->number_at(i))) return true;
    }
    return false;
  });
}

std::string selector_for(const std::vector<std::string>& keep) {
  std::string names;
  for (const std::string& name : keep) names += (names.empty() ? "\"" : ", \"") + plain_name(name) + "\"";
  return fmt::format(
      "keep_in_float32 = {{{}}}\n"
      "ct.convert(..., compute_precision=ct.transform.FP16ComputePrecision(\n"
      "    op_selector=lambda op: op.name not in keep_in_float32))\n",
      names);
}

// One comparison of a model with itself in float32.
class SelfComparison {
 public:
  SelfComparison(const std::string& path, const CompareOptions& options)
      : options_(options),
        target_(target_of(options)),
        subject_(load_subject(path, options.function)),
        precision_(precision_of(options, *subject_.function)),
        evaluator_(evaluator_for(options)) {
    report_.model = path;
    report_.function = subject_.function->name;
    report_.precision = precision_.base == Precision::Base::lower ? "float32 lowered to float16" : "its own";
    report_.target_psnr = target_.psnr.value_or(0);
    report_.target_cosine = target_.cosine.value_or(0);
  }

  CompareReport run() {
    given_ =
        within([&] { return report_.model; }, [&] { return runs_of(options_, *subject_.interface, report_.made_up_inputs); });
    report_.runs = static_cast<int>(given_.size());
    for (const NamedValues& values : given_) inputs_.push_back(subject_.inputs(values));
    within([&] { return report_.model; }, [&] { side_by_side(); });
    return std::move(report_);
  }

 private:
  const ir::Function& function() const { return *subject_.function; }
  void say(std::string_view line) const {
    if (options_.progress) options_.progress(line);
  }

  void side_by_side() {
    Lockstep lockstep(function(), precision_, evaluator_);
    lockstep.progress = [&](std::size_t i, std::size_t count) {
      if (i % 16 == 0) say(fmt::format("op {} of {}", i, count));
    };
    std::vector<Distance> distances;
    const States own(function(), false), single(function(), true);
    for (const auto& inputs : inputs_) {
      BothOutputs outputs = lockstep.run(inputs, own, single);
      report_.float32_breaks = report_.float32_breaks || has_nan(outputs.single);
      add_distances(distances, outputs.own, outputs.single);
      reference_.push_back(std::move(outputs.single));
    }
    report_.outputs = outputs_of(function(), distances, target_);
    report_.passed = all_passed(report_.outputs) && !report_.float32_breaks;

    const KeepSearch search{function(),
                            lockstep.records(),
                            distances,
                            target_,
                            [&](const OpSet& keep) { return run_with(keep); },
                            [&](const std::string& line) { say(line); },
                            options_.search_seconds};
    const Needs needs = search.needs(0);
    list_ops(lockstep.records(), needs);
    if (report_.float32_breaks) {
      explain_float32(lockstep.records());
    } else if (!report_.passed) {
      const FoundKeep found = options_.search ? search.find() : FoundKeep();
      judge(lockstep.records(), needs, found, search.candidates(needs));
    }
    if (!options_.fix.empty()) write_fix();
  }

  std::vector<Distance> run_with(const OpSet& keep) {
    Precision precision = precision_;
    precision.keep = keep;
    precision.close(function());
    std::vector<Distance> distances;
    const States states(function(), false);
    for (std::size_t i = 0; i < inputs_.size(); ++i)
      add_distances(distances, run_in(function(), precision, evaluator_, inputs_[i], states), reference_[i]);
    return distances;
  }

  void list_ops(const Records& records, const Needs& needs) {
    ir::for_each_op(function().body, [&](const ir::Op& op) {
      const auto record = records.find(&op);
      if (record == records.end()) return;
      ComparedOp row = row_of(op, record->second);
      if (const auto need = needs.find(&op); need != needs.end()) {
        row.needed_snr = need->second.snr;
        row.amplification = need->second.amplification;
      }
      report_.ops.push_back(std::move(row));
    });
  }

  // The first op whose float32 results are infinite or NaN, and what may have led to it.
  void explain_float32(const Records& records) {
    const ir::Op* first = nullptr;
    ir::for_each_op(function().body, [&](const ir::Op& op) {
      const auto record = records.find(&op);
      if (first == nullptr && record != records.end() && record->second.counts.reference_infinite > 0) first = &op;
    });
    if (first == nullptr) return;
    report_.first_op = first->label();
    report_.reason =
        "its results are infinite or NaN in float32 too, so the numbers of the model are at fault, not its precision";
    for (const ir::Argument& argument : first->inputs) {
      for (const ir::Binding& binding : argument.bindings) {
        const ir::ConstantPtr constant = ir::constant_of(binding);
        if (constant == nullptr || !is_float(constant->type) || constant->value.tensor().size() != 1) continue;
        if (constant->value.tensor().number_at(0) == 0)
          report_.reason +=
              fmt::format("; its constant '{}' is 0: too small for float16 when the model was converted?", argument.name);
      }
    }
  }

  void judge(const Records& records, const Needs& needs, const FoundKeep& found, const OpSet& candidates) {
    report_.search_runs = found.runs;
    report_.keep_verified = found.verified;
    report_.keep_minimal = found.verified && found.complete;
    if (found.verified) {
      kept_.insert(found.ops.begin(), found.ops.end());
      for (const ir::Op* op : found.ops) report_.keep.push_back(op->label());
      report_.kept_outputs = outputs_of(function(), found.outputs, target_);
      report_.op_selector = selector_for(report_.keep);
    }
    const OpSet& suspects = found.verified ? kept_ : candidates;
    const ir::Op* first = nullptr;
    const ir::Op* fallback = nullptr;
    const ir::Op* amplifier = nullptr;
    double most = 10;
    ir::for_each_op(function().body, [&](const ir::Op& op) {
      const auto need = needs.find(&op);
      if (need == needs.end()) return;
      const OpCounts& counts = records.at(&op).counts;
      if (need->second.amplification >= most && need->second.amplification < 199) {
        most = need->second.amplification;
        amplifier = &op;
      }
      if (suspects.count(&op) == 0) return;
      if (fallback == nullptr) fallback = &op;
      if (first == nullptr && counts.added.snr() < need->second.snr) first = &op;
    });
    if (first == nullptr) first = fallback;
    if (amplifier != nullptr) report_.amplifier = amplifier->label();
    if (first == nullptr) {
      report_.reason = "no single op stands out: the roundings of many ops add up";
      return;
    }
    report_.first_op = first->label();
    report_.reason = reason_for(*first, records.at(first), needs, amplifier);
  }

  std::string reason_for(const ir::Op& op, const OpRecord& record, const Needs& needs, const ir::Op* amplifier) const {
    const OpCounts& counts = record.counts;
    if (counts.not_a_number > 0)
      return fmt::format("{} of {} values are NaN, which float32 computes from the same inputs", counts.not_a_number,
                         counts.added.count);
    if (counts.overflowed > 0)
      return fmt::format("{} of {} values overflow to infinity; in float32 they reach {:.4g}, float16 ends at 65504",
                         counts.overflowed, counts.added.count, counts.largest);
    const auto need = needs.find(&op);
    std::string text;
    if (counts.underflowed > 0) {
      text = fmt::format("{} of {} values underflow to 0; ", counts.underflowed, counts.added.count);
    }
    const double snr = counts.added.snr();
    text += std::isfinite(snr) ? fmt::format("its rounding leaves a signal {:.0f} dB over the noise", snr)
                               : std::string("its results pass through float16");
    if (need != needs.end() && snr < need->second.snr)
      text += need->second.snr >= 199 ? ", and not one digit can be missed"
                                      : fmt::format(" where {:.0f} dB are needed", need->second.snr);
    if (amplifier != nullptr && amplifier != &op)
      text += fmt::format(", since '{}' enlarges errors by {:.0f} dB", amplifier->label(), needs.at(amplifier).amplification);
    return text;
  }

  void write_fix() {
    if (kept_.empty()) {
      report_.notes.push_back(report_.passed ? "the target is met as it is: nothing to fix, no file is written"
                                             : "no set of ops in float32 meets the target: no file is written");
      return;
    }
    say("writing " + options_.fix);
    Precision precision = precision_;
    precision.keep = kept_;
    precision.close(function());
    ir::Model fixed;
    fixed.info = subject_.model.info;
    subject_.restore();
    fixed.program = ir::clone(*subject_.model.program);
    for (auto& candidate : fixed.program->functions) {
      if (candidate->name == function().name) candidate = write_out(function(), precision);
      // Weights that were decoded for the runs stay as they are stored.
      ir::for_each_op(candidate->body, [](const ir::Op& op) {
        for (const auto& output : op.outputs) {
          if (op.type != "const") output->constant = nullptr;
        }
      });
    }
    within([&] { return options_.fix; }, [&] { format::write_mlpackage(fixed, options_.fix); });
    report_.fixed = options_.fix;
    check_fixed();
  }

  // The file is loaded and predicts as any other.
  void check_fixed() {
    LoadOptions load;
    load.function = options_.function;
    load.threads = options_.threads;
    const Model model = Model::load(options_.fix, load);
    State state = model.interface().states.empty() ? State() : model.make_state();
    std::vector<Distance> distances(function().body.outputs.size());
    for (std::size_t run = 0; run < given_.size(); ++run) {
      const NamedValues outputs = model.predict(given_[run], state.defined() ? &state : nullptr);
      for (std::size_t i = 0; i < distances.size(); ++i) {
        const std::string& name = function().body.outputs[i]->name;
        for (const Feature& feature : model.interface().outputs) {
          if (feature.name != name) continue;
          const auto value = numbers_of(outputs.at(name));
          // Pixels are compared with pixels, arrays with what float32 gives before any rounding.
          const bool image = std::holds_alternative<ImageFeature>(feature.kind);
          const auto reference = numbers_of(image ? plan::to_output(feature, reference_[run][i]) : reference_[run][i]);
          if (value && reference) distances[i].add(distance(*value, *reference));
        }
      }
    }
    report_.fixed_outputs = outputs_of(function(), distances, target_);
  }

  const CompareOptions& options_;
  Target target_;
  Subject subject_;
  Precision precision_;
  Evaluator evaluator_;
  CompareReport report_;
  std::vector<NamedValues> given_;
  std::vector<std::vector<Value>> inputs_;
  std::vector<std::vector<Value>> reference_;  // outputs in float32, per run
  OpSet kept_;
};

}  // namespace

CompareReport compare(const std::string& model, const CompareOptions& options) { return SelfComparison(model, options).run(); }

}  // namespace tl
