#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.hpp"
#include "base/file.hpp"
#include "format/array_files.hpp"
#include "insight/compare_parts.hpp"
#include "insight/match.hpp"
#include "insight/subject.hpp"
#include "ir/op_def.hpp"

namespace tl {

using namespace insight;
using namespace ir;

namespace {

const Precision own_precision;

// What stands in the file for a weight.
void describe_storage(const Binding& binding, ComparedWeight& weight) {
  const auto* var = std::get_if<Var*>(&binding);
  const Op* producer = var == nullptr ? nullptr : (*var)->producer;
  if (producer == nullptr || !producer->def->constexpr_op) {
    const Tensor& tensor = constant_of(binding)->value.tensor();
    weight.storage = name(tensor.dtype());
    weight.bytes = tensor.bytes();
    return;
  }
  constexpr std::string_view prefix = "constexpr_";
  weight.storage = producer->type.substr(prefix.size());
  std::size_t largest = 0;
  std::string_view dtype;
  for (const Argument& part : producer->inputs) {
    for (const Binding& bound : part.bindings) {
      const ConstantPtr constant = constant_of(bound);
      if (constant == nullptr || !constant->value.is_tensor() || constant->value.tensor().dtype() == DType::string) continue;
      const Tensor& tensor = constant->value.tensor();
      weight.bytes += tensor.bytes();
      if (tensor.bytes() < largest) continue;
      largest = tensor.bytes();
      dtype = name(tensor.dtype());
    }
  }
  weight.storage += fmt::format(" {}", dtype);
}

// A model against another one, op by op.
class PairComparison {
 public:
  PairComparison(const std::string& path, const std::string& other, const CompareOptions& options)
      : options_(options),
        target_(target_of(options)),
        a_(load_subject(path, options.function)),
        b_(load_subject(other, options.function)),
        evaluator_(evaluator_for(options)),
        matches_(match(*a_.function, *b_.function)) {}

  CompareReport run() {
    CompareReport report;
    const auto given = within([&] { return a_.path; }, [&] { return runs_of(options_, *a_.interface, report.made_up_inputs); });
    report.runs = static_cast<int>(given.size());
    const std::vector<std::pair<std::size_t, std::size_t>> outputs = paired_outputs(report);
    std::vector<Distance> distances(outputs.size());
    const States of_a(*a_.function, false), of_b(*b_.function, false);
    for (const NamedValues& values : given) {
      Stepper a(*a_.function, own_precision, evaluator_, of_a), b(*b_.function, own_precision, evaluator_, of_b);
      a.start(a_.inputs(values));
      b.start(b_.inputs(renamed(values)));
      within([&] { return a_.path; }, [&] { both(a, b); });
      const auto mine = a.outputs(), theirs = b.outputs();
      for (std::size_t i = 0; i < outputs.size(); ++i) {
        const auto value = numbers_of(mine[outputs[i].first]);
        const auto reference = numbers_of(theirs[outputs[i].second]);
        if (value && reference) distances[i].add(distance(*value, *reference));
      }
      first_run_ = false;
    }
    std::vector<Distance> per_output(a_.function->body.outputs.size());
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      per_output[outputs[i].first] = distances[i];
      const Var& output = *a_.function->body.outputs[outputs[i].first];
      report.outputs.push_back({output.name, to_string(output.type), accuracy_of(distances[i]), target_.met(distances[i])});
    }
    report.passed = all_passed(report.outputs);
    finish(report, per_output);
    return report;
  }

 private:
  // The inputs under the names of the other model: by name, else by position.
  NamedValues renamed(const NamedValues& values) const {
    NamedValues result;
    const auto& mine = a_.interface->inputs;
    const auto& theirs = b_.interface->inputs;
    for (std::size_t i = 0; i < mine.size(); ++i) {
      const auto found = values.find(mine[i].name);
      if (found == values.end()) continue;
      const bool same = std::any_of(theirs.begin(), theirs.end(), [&](const Feature& f) { return f.name == mine[i].name; });
      if (!same && i >= theirs.size())
        throw Error(ErrorKind::invalid_argument, fmt::format("it has no input '{}'", mine[i].name), b_.path);
      result[same ? mine[i].name : theirs[i].name] = found->second;
    }
    return result;
  }

  // Pairs of output positions: by name, else by position when both have as many.
  std::vector<std::pair<std::size_t, std::size_t>> paired_outputs(CompareReport& report) const {
    const auto& mine = a_.function->body.outputs;
    const auto& theirs = b_.function->body.outputs;
    std::vector<std::pair<std::size_t, std::size_t>> pairs;
    for (std::size_t i = 0; i < mine.size(); ++i) {
      const auto found = std::find_if(theirs.begin(), theirs.end(), [&](const Var* v) {
        return v->name == mine[i]->name || plain_name(v->name) == plain_name(mine[i]->name);
      });
      if (found != theirs.end()) {
        pairs.emplace_back(i, static_cast<std::size_t>(found - theirs.begin()));
      } else if (mine.size() == theirs.size()) {
        pairs.emplace_back(i, i);
      } else {
        report.notes.push_back(fmt::format("output '{}' has no counterpart in {}", mine[i]->name, b_.path));
      }
    }
    if (pairs.empty()) throw Error(ErrorKind::invalid_argument, "none of its outputs is one of the model", b_.path);
    return pairs;
  }

  void both(Stepper& a, Stepper& b) {
    std::unordered_set<const Op*> done;
    for (const auto& [mine, theirs] : matches_) {
      for (const auto& output : theirs->outputs) b.hold(*output);
    }
    std::size_t index = 0;
    while (const Op* op = a.next()) {
      if (options_.progress && index++ % 16 == 0)
        options_.progress(fmt::format("op {} of {}", index, a_.function->body.ops.size()));
      const auto match = matches_.find(op);
      if (match == matches_.end()) continue;
      while (done.count(match->second) == 0) {
        const Op* other = b.next();
        if (other == nullptr) break;
        done.insert(other);
      }
      if (done.count(match->second) == 0) continue;
      compare_op(*op, *match->second, a, b);
      for (const auto& output : match->second->outputs) b.release(*output);
    }
    while (b.next() != nullptr) {
    }
  }

  // The arguments of the other model's op with this model's values where they vary; nothing when the ops take different ones.
  std::optional<Arguments> crossed(const Op& mine, const Op& theirs, const Stepper& a) const {
    Arguments arguments;
    for (const Argument& wanted : theirs.inputs) {
      auto& bound = arguments.emplace_back();
      const Argument* given = mine.argument(wanted.name);
      for (std::size_t k = 0; k < wanted.bindings.size(); ++k) {
        if (const ConstantPtr constant = constant_of(wanted.bindings[k])) {
          bound.push_back(constant->value);
          continue;
        }
        if (given == nullptr || k >= given->bindings.size()) return std::nullopt;
        const ConstantPtr constant = constant_of(given->bindings[k]);
        Value value = constant != nullptr ? constant->value : a.value(*std::get<Var*>(given->bindings[k]));
        if (value.empty()) return std::nullopt;
        bound.push_back(std::move(value));
      }
    }
    return arguments;
  }

  void compare_op(const Op& mine, const Op& theirs, const Stepper& a, const Stepper& b) {
    std::vector<Value> twin;
    std::optional<Arguments> arguments;
    if (has_twin(theirs) && has_twin(mine) && theirs.type.rfind("random_", 0) != 0) arguments = crossed(mine, theirs, a);
    if (arguments) twin = evaluator_.run(theirs, own_precision, *arguments, {});
    OpRecord& record = records_[&mine];
    for (std::size_t i = 0; i < mine.outputs.size() && i < theirs.outputs.size(); ++i) {
      const auto own = numbers_of(a.value(*mine.outputs[i]));
      const auto reference = numbers_of(b.value(*theirs.outputs[i]));
      if (!own || !reference) continue;
      OpCounts counts;
      const auto between = arguments ? numbers_of(twin[i]) : own;
      if (between) count(counts, *own, *between, *reference);
      merge(record.counts, counts);
    }
    if (arguments && first_run_) weights(mine, theirs, *arguments, twin);
  }

  void weights(const Op& mine, const Op& theirs, const Arguments& arguments, const std::vector<Value>& twin) {
    for (std::size_t i = 0; i < theirs.inputs.size(); ++i) {
      const Argument& wanted = theirs.inputs[i];
      const Argument* given = mine.argument(wanted.name);
      if (given == nullptr || given->bindings.size() != 1 || wanted.bindings.size() != 1) continue;
      const ConstantPtr own = constant_of(given->bindings.front());
      const ConstantPtr reference = constant_of(wanted.bindings.front());
      if (own == nullptr || reference == nullptr || !is_float(own->type) || !is_float(reference->type)) continue;
      const Distance apart = distance(own->value.tensor(), reference->value.tensor());
      if (apart.equal == apart.count && apart.broken == 0) continue;
      ComparedWeight weight;
      weight.op = mine.label();
      weight.param = wanted.name;
      describe_storage(given->bindings.front(), weight);
      weight.weight = accuracy_of(apart);
      if (own->value.tensor().shape() == reference->value.tensor().shape()) {
        Arguments with = arguments;
        with[i].front() = own->value;
        const auto result = evaluator_.run(theirs, own_precision, std::move(with), {}, {}, true);
        Distance sum;
        for (std::size_t k = 0; k < result.size(); ++k) {
          const auto value = numbers_of(result[k]), expected = numbers_of(twin[k]);
          if (value && expected) sum.add(distance(*value, *expected));
        }
        weight.result = accuracy_of(sum);
      }
      weights_.push_back(std::move(weight));
    }
  }

  void finish(CompareReport& report, const std::vector<Distance>& outputs) {
    report.model = a_.path;
    report.other = b_.path;
    report.function = a_.function->name;
    report.precision = "its own";
    report.target_psnr = target_.psnr.value_or(0);
    report.target_cosine = target_.cosine.value_or(0);
    const KeepSearch search{*a_.function, records_, outputs, target_, {}, {}, 0};
    const Needs needs = search.needs(0);
    std::size_t computing = 0;
    for (const auto& op : a_.function->body.ops) {
      computing += op->type != "const" && !op->def->constexpr_op;
      const auto record = records_.find(op.get());
      if (record == records_.end()) continue;
      ComparedOp row = row_of(*op, record->second);
      const Op& theirs = *matches_.at(op.get());
      if (theirs.label() != row.op) row.reference = theirs.label();
      if (const auto need = needs.find(op.get()); need != needs.end()) {
        row.needed_snr = need->second.snr;
        row.amplification = need->second.amplification;
        if (report.first_op.empty() && row.added.snr < need->second.snr) {
          report.first_op = row.op;
          report.reason =
              std::isfinite(row.added.snr)
                  ? fmt::format("on the same inputs its results are {:.1f} dB over the difference, where {:.1f} dB are needed",
                                row.added.snr, need->second.snr)
                  : std::string("on the same inputs it gives infinity or NaN where the other gives numbers");
        }
      }
      report.ops.push_back(std::move(row));
    }
    if (!report.passed && report.first_op.empty())
      report.reason = "no single op stands out: the differences of many ops add up";
    if (records_.size() < computing)
      report.notes.push_back(fmt::format("{} of {} ops have a counterpart in {}", records_.size(), computing, b_.path));
    std::stable_sort(weights_.begin(), weights_.end(),
                     [](const ComparedWeight& x, const ComparedWeight& y) { return x.result.snr < y.result.snr; });
    report.weights = std::move(weights_);
  }

  const CompareOptions& options_;
  Target target_;
  Subject a_, b_;
  Evaluator evaluator_;
  Matches matches_;
  Records records_;
  std::vector<ComparedWeight> weights_;
  bool first_run_ = true;
};

// A model against recorded values of its outputs, or of any values inside.
CompareReport with_tensors(const std::string& path, const std::string& other, const CompareOptions& options) {
  const Target target = target_of(options);
  const format::NamedTensors tensors = format::read_arrays(other);
  const Subject subject = load_subject(path, options.function);
  Evaluator evaluator = evaluator_for(options);
  CompareReport report;
  report.model = path;
  report.other = other;
  report.function = subject.function->name;
  report.precision = "its own";
  report.target_psnr = target.psnr.value_or(0);
  report.target_cosine = target.cosine.value_or(0);
  const auto given = runs_of(options, *subject.interface, report.made_up_inputs);
  if (given.size() != 1)
    fail(ErrorKind::invalid_argument, "recorded values are those of one run, {} are asked for", given.size());
  report.runs = 1;
  const auto& outputs = subject.function->body.outputs;
  const auto recorded = [&](const std::string& name) -> const Tensor* {
    for (const auto& [key, tensor] : tensors) {
      if (key == name || plain_name(key) == plain_name(name) ||
          (tensors.size() == 1 && outputs.size() == 1 && name == outputs.front()->name))
        return &tensor;
    }
    return nullptr;
  };
  const States states(*subject.function, false);
  Stepper run(*subject.function, own_precision, evaluator, states);
  run.start(subject.inputs(given.front()));
  within([&] { return path; },
         [&] {
           while (const Op* op = run.next()) {
             OpRecord record;
             for (const auto& output : op->outputs) {
               const Tensor* expected = recorded(output->name);
               const auto value = numbers_of(run.value(*output));
               if (expected == nullptr || !value) continue;
               OpCounts counts;
               count(counts, *value, *value, *expected);
               merge(record.counts, counts);
             }
             if (record.counts.runs == 0) continue;
             report.ops.push_back(row_of(*op, record));
             if (report.first_op.empty() && !target.met(record.counts.total)) {
               report.first_op = op->label();
               report.reason = "the first whose results are not those that were recorded";
             }
           }
         });
  const std::vector<Value> values = run.outputs();
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const Tensor* expected = recorded(outputs[i]->name);
    const auto value = numbers_of(values[i]);
    if (expected == nullptr || !value) continue;
    const Distance apart = distance(*value, *expected);
    report.outputs.push_back({outputs[i]->name, to_string(outputs[i]->type), accuracy_of(apart), target.met(apart)});
  }
  if (report.outputs.empty() && report.ops.empty())
    throw Error(ErrorKind::invalid_argument, "nothing in it is named as a value of the model", other);
  report.passed = report.outputs.empty() ? report.first_op.empty() : all_passed(report.outputs);
  if (report.passed) {
    report.first_op.clear();
    report.reason.clear();
  }
  return report;
}

bool holds_tensors(const std::string& path) {
  static constexpr std::array<std::string_view, 5> extensions = {".npz", ".npy", ".safetensors", ".json", ".txt"};
  return !is_directory(path) &&
         std::any_of(extensions.begin(), extensions.end(), [&](std::string_view end) { return path.ends_with(end); });
}

}  // namespace

CompareReport compare(const std::string& model, const std::string& other, const CompareOptions& options) {
  if (!options.fix.empty())
    fail(ErrorKind::invalid_argument, "a fix is found by comparing a model with itself in float32, without another file");
  return holds_tensors(other) ? with_tensors(model, other, options) : PairComparison(model, other, options).run();
}

}  // namespace tl
