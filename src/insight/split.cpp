#include "tensorlogic/split.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.hpp"
#include "base/file.hpp"
#include "format/format.hpp"
#include "format/pipeline_write.hpp"
#include "insight/compare_parts.hpp"
#include "insight/subject.hpp"
#include "insight/surgery.hpp"
#include "ir/op_def.hpp"

namespace tl {

using namespace insight;
using namespace ir;

namespace {

namespace fs = std::filesystem;

// Costs over which the planner minimizes: parts first (when their number is free), then bytes over the borders.
struct Cost {
  std::size_t parts = std::numeric_limits<std::size_t>::max();
  std::uint64_t bytes = 0;
  bool possible() const { return parts != std::numeric_limits<std::size_t>::max(); }
  friend bool operator<(const Cost& a, const Cost& b) { return a.parts != b.parts ? a.parts < b.parts : a.bytes < b.bytes; }
};

class Planner {
 public:
  explicit Planner(const Function& function) : function_(function), borders_(borders(function)), spans_(state_spans(function)) {
    before_.assign(function.body.ops.size() + 1, 0);
    for (std::size_t i = 0; i < function.body.ops.size(); ++i) before_[i + 1] = before_[i] + weight_bytes(function, i, i);
    if (before_.back() == 0) {  // without weights, parts of about as many ops
      for (std::size_t i = 0; i < before_.size(); ++i) before_[i] = i;
    }
  }

  // Borders at which to cut.
  std::vector<const Border*> by_size(std::uint64_t most) const {
    const auto [cost, cuts] = best(most, 0);
    if (!cost.possible()) explain(most);
    return cuts;
  }
  std::vector<const Border*> by_number(std::size_t parts) const {
    // Within a quarter of even shares if there are borders for it.
    static constexpr std::array slack = {1.25, 1.5, 2.0, 4.0, 1e9};
    for (const double factor : slack) {
      const double most = factor * static_cast<double>(before_.back()) / static_cast<double>(parts);
      const auto [cost, cuts] = best(static_cast<std::uint64_t>(std::min(most, 1e18)), parts);
      if (cost.possible()) return cuts;
    }
    fail(ErrorKind::invalid_argument, "there are places for {} parts only{}", borders_.size() + 1, widest_state());
  }
  std::vector<const Border*> at(const std::vector<std::string>& names) const {
    std::vector<const Border*> cuts;
    for (const std::string& name : names) {
      const auto& ops = function_.body.ops;
      const auto op = std::find_if(ops.begin(), ops.end(), [&](const auto& candidate) {
        return candidate->type != "const" &&
               (candidate->label() == name || (!candidate->outputs.empty() && candidate->outputs[0]->name == name));
      });
      if (op == ops.end()) fail(ErrorKind::not_found, "no op '{}' among the outermost ones", name);
      const auto index = static_cast<std::size_t>(op - ops.begin());
      const auto border = std::find_if(borders_.begin(), borders_.end(), [&](const Border& b) { return b.op == index; });
      for (const Span& span : spans_) {
        if (span.first <= index && index < span.last)
          fail(ErrorKind::invalid_argument, "op '{}' stands between ops that share the state '{}' (from '{}' to '{}')", name,
               span.state->name, ops[span.first]->label(), ops[span.last]->label());
      }
      if (border == borders_.end())
        fail(ErrorKind::invalid_argument, "after op '{}' a value passes that no model can take or give, or none at all", name);
      cuts.push_back(&*border);
    }
    std::sort(cuts.begin(), cuts.end());
    cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
    return cuts;
  }

 private:
  // Shortest path over the borders; `exact`: that many parts, else as few as possible.
  std::pair<Cost, std::vector<const Border*>> best(std::uint64_t most, std::size_t exact) const {
    const std::size_t count = borders_.size();
    const std::size_t rounds = exact == 0 ? 1 : exact;
    const auto end = [&](std::size_t i) { return i == count ? before_.size() - 1 : borders_[i].op + 1; };
    // cost[i]: a part ends at border i (count: at the end of the function).
    std::vector<std::vector<Cost>> cost(rounds, std::vector<Cost>(count + 1));
    std::vector<std::vector<std::size_t>> from(rounds, std::vector<std::size_t>(count + 1, count + 1));
    for (std::size_t round = 0; round < rounds; ++round) {
      for (std::size_t i = 0; i <= count; ++i) {
        const std::uint64_t own = i == count ? 0 : borders_[i].bytes;
        if ((exact == 0 || round == 0) && before_[end(i)] <= most) cost[round][i] = {1, own};
        if (exact != 0 && round == 0) continue;
        const auto& previous = exact == 0 ? cost[0] : cost[round - 1];
        Cost found = exact == 0 ? cost[0][i] : Cost();
        for (std::size_t k = i; k-- > 0 && before_[end(i)] - before_[end(k)] <= most;) {
          if (!previous[k].possible()) continue;
          const Cost next{previous[k].parts + 1, previous[k].bytes + own};
          if (next < found) {
            found = next;
            from[round][i] = k;
          }
        }
        cost[round][i] = found;
      }
    }
    std::vector<const Border*> cuts;
    std::size_t round = rounds - 1;
    const Cost result = cost[round][count];
    for (std::size_t i = count; result.possible() && from[round][i] <= count;) {
      i = from[round][i];
      cuts.push_back(&borders_[i]);
      if (exact != 0) --round;
    }
    std::reverse(cuts.begin(), cuts.end());
    return {result, cuts};
  }

  // What holds the most ops together.
  std::string widest_state() const {
    const auto widest = std::max_element(spans_.begin(), spans_.end(),
                                         [](const Span& a, const Span& b) { return a.last - a.first < b.last - b.first; });
    if (widest == spans_.end() || widest->first == widest->last) return "";
    return fmt::format("; the state '{}' holds all from '{}' to '{}' together", widest->state->name,
                       function_.body.ops[widest->first]->label(), function_.body.ops[widest->last]->label());
  }

  [[noreturn]] void explain(std::uint64_t most) const {
    std::uint64_t largest = 0;
    std::string name;
    std::size_t start = 0;
    for (std::size_t i = 0; i <= borders_.size(); ++i) {
      const std::size_t end = i == borders_.size() ? before_.size() - 1 : borders_[i].op + 1;
      if (before_[end] - before_[start] > largest) {
        largest = before_[end] - before_[start];
        name = function_.body.ops[end - 1]->label();
      }
      start = end;
    }
    fail(ErrorKind::invalid_argument,
         "parts of at most {} bytes are asked for, the ops before '{}' that cannot be parted have {}{}", most, name, largest,
         widest_state());
  }

  const Function& function_;
  std::vector<Border> borders_;
  std::vector<Span> spans_;
  std::vector<std::uint64_t> before_;  // bytes of weights of the ops before each
};

// What the ops [first, last] read from outside, and of what they give, what others read.
void ends_of(const Function& function, std::size_t first, std::size_t last, SplitPart& part) {
  std::vector<const Var*> made;
  for (std::size_t i = first; i <= last; ++i) {
    for (const auto& output : function.body.ops[i]->outputs) made.push_back(output.get());
  }
  const std::vector<const Var*> inside = read_by(function, first, last + 1);
  const std::vector<const Var*> outside = read_by(function, last + 1, function.body.ops.size());
  const auto has = [](const std::vector<const Var*>& list, const Var* var) {
    return std::find(list.begin(), list.end(), var) != list.end();
  };
  const auto& outputs = function.body.outputs;
  for (const Var* var : inside) {
    if (!has(made, var) && !std::count(part.inputs.begin(), part.inputs.end(), var->name)) part.inputs.push_back(var->name);
  }
  for (const Var* var : made) {
    if (has(outside, var) || std::count(outputs.begin(), outputs.end(), var) != 0) part.outputs.push_back(var->name);
  }
}

void check_pipeline(const std::string& model, const std::string& path, const SplitOptions& options) {
  const Subject whole = load_subject(model, options.function);
  const Subject pipeline = load_subject(path, {});
  CompareOptions compare;
  compare.threads = options.threads;
  Evaluator evaluator = evaluator_for(compare);
  bool made_up = false;
  const NamedValues given = runs_of(compare, *whole.interface, made_up).front();
  const Precision own;
  const States whole_states(*whole.function, false), pipeline_states(*pipeline.function, false);
  const auto step = [&](std::vector<Value>& expected, std::vector<Value>& values) {
    expected = run_in(*whole.function, own, evaluator, whole.inputs(given), whole_states);
    values = run_in(*pipeline.function, own, evaluator, pipeline.inputs(given), pipeline_states);
  };
  std::vector<Value> expected, values;
  step(expected, values);
  if (!whole.interface->states.empty()) step(expected, values);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const std::string& name = whole.function->body.outputs[i]->name;
    bool same = false;
    for (std::size_t k = 0; k < values.size(); ++k) {
      if (pipeline.function->body.outputs[k]->name != name && pipeline.interface->outputs[k].name != name) continue;
      const auto a = numbers_of(values[k]), b = numbers_of(expected[i]);
      same = a && b && a->size() == b->size() && a->reshaped(b->shape()).identical(*b);
    }
    if (!same) fail(ErrorKind::internal, "the pipeline gives another '{}' than the model", name);
  }
}

}  // namespace

SplitReport split(const std::string& model, const std::string& folder, const SplitOptions& options) {
  const int ways = (options.max_bytes > 0) + (options.parts > 0) + (!options.at.empty());
  if (ways != 1) fail(ErrorKind::invalid_argument, "say how to cut: by bytes, by a number of parts, or after ops");
  constexpr int most_parts = 1000;
  if (options.parts > most_parts) fail(ErrorKind::limit, "{} parts, at most {} are made", options.parts, most_parts);
  const auto say = [&](const std::string& line) {
    if (options.progress) options.progress(line);
  };
  say("reading " + model);
  Subject subject = load_subject(model, options.function);
  subject.restore();
  SplitReport report;
  std::vector<ir::Model> parts;
  within([&] { return model; },
         [&] {
           const Planner planner(*subject.function);
           const auto cuts = options.max_bytes > 0 ? planner.by_size(options.max_bytes)
                             : options.parts > 0   ? planner.by_number(static_cast<std::size_t>(options.parts))
                                                   : planner.at(options.at);
           std::size_t first = 0;
           for (std::size_t i = 0; i <= cuts.size(); ++i) {
             const std::size_t last = i == cuts.size() ? subject.function->body.ops.size() - 1 : cuts[i]->op;
             SplitPart& part = report.parts.emplace_back();
             part.last_op = subject.function->body.ops[last]->label();
             part.weight_bytes = weight_bytes(*subject.function, first, last);
             part.border_bytes = i == cuts.size() ? 0 : cuts[i]->bytes;
             ends_of(*subject.function, first, last, part);
             parts.push_back(cut_out(subject.model, *subject.function, *subject.interface, part.inputs, part.outputs));
             first = last + 1;
           }
           for (const Feature& state : subject.interface->states) {
             if (std::none_of(parts.begin(), parts.end(), [&](const ir::Model& part) {
                   const auto& states = part.info.interfaces.front().states;
                   return std::any_of(states.begin(), states.end(), [&](const Feature& f) { return f.name == state.name; });
                 }))
               fail(ErrorKind::unsupported, "no output depends on the state '{}', so that no part would keep it", state.name);
           }
         });
  const std::string name = stem(model);
  std::error_code error;
  const bool fresh = fs::create_directories(folder, error);
  if (error) throw Error(ErrorKind::io, error.message(), folder);
  std::vector<std::string> written;
  try {
    for (std::size_t i = 0; i < parts.size(); ++i) {
      report.parts[i].path = (fs::path(folder) / fmt::format("{}_{}.mlpackage", name, i + 1)).string();
      say("writing " + report.parts[i].path);
      written.push_back(report.parts[i].path);
      format::write_mlpackage(parts[i], report.parts[i].path);
    }
    report.pipeline = (fs::path(folder) / fmt::format("{}_pipeline.mlpackage", name)).string();
    ModelInfo info = subject.model.info;
    info.interfaces = {*subject.interface};
    written.push_back(report.pipeline);
    format::write_pipeline(info, parts, report.pipeline);
    say("running the pipeline");
    check_pipeline(model, report.pipeline, options);
  } catch (...) {
    for (const std::string& path : written) fs::remove_all(path, error);
    if (fresh) fs::remove(folder, error);
    throw;
  }
  return report;
}

void extract(const std::string& model, const std::vector<std::string>& inputs, const std::vector<std::string>& outputs,
             const std::string& path, const std::string& function) {
  Subject subject = load_subject(model, function);
  subject.restore();
  const ir::Model part = within([&] { return model; },
                                [&] {
                                  std::vector<std::string> given = inputs;
                                  if (given.empty()) given = inputs_for(*subject.function, outputs);
                                  return cut_out(subject.model, *subject.function, *subject.interface, given, outputs);
                                });
  within([&] { return path; }, [&] { format::write_mlpackage(part, path); });
}

std::string to_json(const SplitReport& report) {
  nlohmann::ordered_json parts = nlohmann::ordered_json::array();
  for (const SplitPart& part : report.parts) {
    parts.push_back({{"path", part.path},
                     {"last_op", part.last_op},
                     {"weight_bytes", part.weight_bytes},
                     {"border_bytes", part.border_bytes},
                     {"inputs", part.inputs},
                     {"outputs", part.outputs}});
  }
  return nlohmann::ordered_json{{"pipeline", report.pipeline}, {"parts", std::move(parts)}}.dump(
      -1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace tl
