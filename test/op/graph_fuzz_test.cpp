#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "base/thread_pool.hpp"
#include "ir/text.hpp"
#include "ir/verify.hpp"
#include "op/samples.hpp"
#include "plan/session.hpp"

// Random programs: the CPU device, with its passes and without, with open extents, and with inputs of other extents than the
// program was drawn for, against the reference.
//   TL_FUZZ_SECONDS=600 tl_tests --gtest_filter='GraphFuzz.*'     goes on for ten minutes from a seed of its own, which it
//   prints TL_FUZZ_SEED=123 ...                                           starts there; a failure names the seed of its program
namespace {

using namespace tl;
using namespace tl::test;

// How far a value may move: its own rounding, and what the roundings before it may do to it.
constexpr double spread_factor = 6;
double unit(DType dtype) { return dtype == DType::f16 ? 0x1p-10 : 0x1p-22; }

struct Graph {
  std::unique_ptr<ir::Program> program = std::make_unique<ir::Program>();
  std::vector<Value> inputs;
  std::map<const ir::Op*, bool> exact;
  ir::Function& function() const { return *program->functions.front(); }
};

class GraphDraw : public Draw {
 public:
  explicit GraphDraw(std::mt19937& source) : Draw(source) {
    graph.program->functions.push_back(std::make_unique<ir::Function>());
    graph.function().opset = "ios18";
    real = coin() ? DType::f16 : DType::f32;
    if (coin(10)) zero_extents = 6;
    if (coin(8)) {
      most_extent = 40;
      most_elements = 20000;
    }
  }

  Graph graph;

  // One more op, unless its type rule refuses what was drawn.
  bool add_op(const std::string& type, const Sample& sample) {
    arguments.clear();
    sample.draw(*this);
    auto op = std::make_unique<ir::Op>();
    op->type = type;
    op->def = ir::find_op(type);
    std::vector<std::unique_ptr<ir::Var>> new_inputs;
    std::vector<Value> new_values;
    bool exact = sample.exact;
    for (auto& [name, operands] : arguments) {
      ir::Argument& argument = op->inputs.emplace_back();
      argument.name = name;
      const ir::Param* param = op->def->param(name);
      for (Operand& operand : operands) {
        if (operand.var != nullptr) {
          exact = exact && exact_[operand.var];
          argument.bindings.emplace_back(operand.var);
        } else if (operand.constant || param->must_be_constant || operand.dtype == DType::string || coin(4)) {
          argument.bindings.emplace_back(ir::make_constant(operand.value));
        } else {
          auto var = std::make_unique<ir::Var>();
          var->name = fmt::format("x{}", graph.inputs.size() + new_inputs.size());
          var->type = {operand.dtype, ir::dims_of(operand.shape)};
          argument.bindings.emplace_back(var.get());
          new_inputs.push_back(std::move(var));
          new_values.emplace_back(operand.value);
        }
      }
    }
    const std::string label = fmt::format("v{}", graph.function().body.ops.size());
    op->attributes.emplace_back("name", ir::make_constant(label));
    std::vector<ir::Type> types;
    try {
      types = ir::infer_types(*op);
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::internal) throw;
      return false;
    }
    for (std::size_t i = 0; i < types.size(); ++i) {
      auto var = std::make_unique<ir::Var>();
      var->name = i == 0 ? label : fmt::format("{}_{}", label, i);
      var->type = types[i];
      var->producer = op.get();
      exact_[var.get()] = exact;
      known_.push_back(var.get());
      op->outputs.push_back(std::move(var));
    }
    for (std::size_t i = 0; i < new_inputs.size(); ++i) {
      exact_[new_inputs[i].get()] = true;
      known_.push_back(new_inputs[i].get());
      graph.function().inputs.push_back(std::move(new_inputs[i]));
      graph.inputs.push_back(new_values[i]);
    }
    graph.exact[op.get()] = sample.exact;
    graph.function().body.ops.push_back(std::move(op));
    return true;
  }

  // What nothing reads leaves the function, and now and then something else does.
  void finish() {
    std::map<const ir::Var*, int> reads;
    for (const auto& op : graph.function().body.ops) {
      for (const auto& argument : op->inputs) {
        for (const auto& binding : argument.bindings) {
          if (const auto* var = std::get_if<ir::Var*>(&binding)) ++reads[*var];
        }
      }
    }
    for (const auto& op : graph.function().body.ops) {
      for (const auto& output : op->outputs) {
        if (reads[output.get()] == 0 || coin(8)) graph.function().body.outputs.push_back(output.get());
      }
    }
  }

 protected:
  ir::Var* reuse(const std::function<bool(DType, const Shape&)>& fits, bool exact) override {
    std::vector<ir::Var*> found;
    for (ir::Var* var : known_) {
      const auto shape = ir::shape_of(var->type.tensor());
      if (shape && (!exact || exact_[var]) && (zero_extents != 0 || element_count(*shape) != 0) &&
          fits(var->type.tensor().dtype, *shape))
        found.push_back(var);
    }
    if (found.empty() || coin(6)) return nullptr;
    const std::size_t recent = std::min<std::size_t>(found.size(), 4);  // long chains rather than wide graphs
    return coin() ? found[found.size() - 1 - uz(number(0, iz(recent) - 1))] : one_of(found);
  }

 private:
  std::vector<ir::Var*> known_;
  std::map<const ir::Var*, bool> exact_;
};

std::vector<Value> run(const ir::Function& function, const std::vector<Value>& inputs, const plan::Device* device,
                       bool passes) {
  static const auto pool = std::make_shared<ThreadPool>(2);
  if (passes) {
    unsetenv("TL_PASSES_OFF");
  } else {
    setenv("TL_PASSES_OFF", "all", 1);
  }
  const std::shared_ptr<const ir::Function> copy = ir::clone(function);
  auto outputs = plan::Session(copy, device, pool).run(inputs, {});
  unsetenv("TL_PASSES_OFF");
  return outputs;
}

// The reference with every rounded result moved by up to a unit: how far the outputs may lie apart.
std::vector<Value> run_shaken(const Graph& graph, const std::vector<Value>& inputs, std::mt19937& random) {
  std::map<const ir::Var*, Value> values;
  for (std::size_t i = 0; i < inputs.size(); ++i) values[graph.function().inputs[i].get()] = inputs[i];
  for (const auto& op : graph.function().body.ops) {
    std::vector<std::vector<Value>> arguments;
    for (const auto& argument : op->inputs) {
      auto& bound = arguments.emplace_back();
      for (const auto& binding : argument.bindings) {
        const auto* var = std::get_if<ir::Var*>(&binding);
        bound.push_back(var == nullptr ? std::get<ir::ConstantPtr>(binding)->value : values.at(*var));
      }
    }
    const auto results = ir::evaluate(*op, std::move(arguments));
    for (std::size_t i = 0; i < results.size(); ++i) {
      Tensor tensor = results[i].tensor();
      if (is_floating(tensor.dtype()) && !graph.exact.at(op.get())) {
        Tensor wide = tensor.cast(DType::f64).clone();
        const double step = unit(tensor.dtype());
        for (double& v : wide.mutable_values<double>()) v *= 1 + step * (random() % 2 == 0 ? 1 : -1);
        tensor = wide.cast(tensor.dtype());
      }
      values[op->outputs[i].get()] = tensor;
    }
  }
  std::vector<Value> outputs;
  for (const ir::Var* output : graph.function().body.outputs) outputs.push_back(values.at(output));
  return outputs;
}

bool same_kind(double a, double b) {
  return std::isnan(a) == std::isnan(b) && std::isinf(a) == std::isinf(b) && (!std::isinf(a) || a == b);
}

// Empty when the outputs agree.
std::string difference(const std::vector<Value>& want, const std::vector<std::vector<Value>>& shaken,
                       const std::vector<Value>& got, bool fused) {
  for (std::size_t k = 0; k < want.size(); ++k) {
    const Tensor& w = want[k].tensor();
    const Tensor& g = got[k].tensor();
    if (w.dtype() != g.dtype() || w.shape() != g.shape())
      return fmt::format("output {}: {} {}, expected {} {}", k, name(g.dtype()), to_string(g.shape()), name(w.dtype()),
                         to_string(w.shape()));
    double largest = 0, spread = 0;
    std::vector<bool> settled(uz(w.size()), true);
    for (std::int64_t i = 0; i < w.size() && is_floating(w.dtype()); ++i) {
      const double value = w.number_at(i);
      if (std::isfinite(value)) largest = std::max(largest, std::fabs(value));
      for (const auto& outputs : shaken) {
        const double other = outputs[k].tensor().number_at(i);
        if (!same_kind(value, other)) settled[uz(i)] = false;
        if (std::isfinite(value) && std::isfinite(other)) spread = std::max(spread, std::fabs(value - other));
      }
    }
    const double allowed = spread_factor * spread + 2 * unit(w.dtype()) * largest;
    for (std::int64_t i = 0; i < w.size(); ++i) {
      if (!is_floating(w.dtype())) {
        if (w.integer_at(i) != g.integer_at(i))
          return fmt::format("output {}[{}]: {}, expected {}", k, i, g.integer_at(i), w.integer_at(i));
        continue;
      }
      const double a = w.number_at(i), b = g.number_at(i);
      // A fused kernel keeps floats inside and may get past an overflow of fp16.
      if (!settled[uz(i)] || (!std::isfinite(a) && fused && w.dtype() == DType::f16)) continue;
      if (!same_kind(a, b) || (std::isfinite(a) && std::fabs(a - b) > allowed))
        return fmt::format("output {}[{}]: {}, expected {} within {}", k, i, b, a, allowed);
    }
  }
  return {};
}

// The same function for inputs of any extents; null where an op wants to know some of them before a run.
std::shared_ptr<ir::Function> with_open_extents(const ir::Function& function) {
  std::shared_ptr<ir::Function> open = ir::clone(function);
  const auto opened = [](const ir::Type& type) {
    const auto& tensor = type.tensor();
    return ir::Type(tensor.dtype, ir::Dims(tensor.dims->size(), ir::Dim::unknown()));
  };
  for (const auto& input : open->inputs) input->type = opened(input->type);
  for (const auto& op : open->body.ops) {
    for (const auto& output : op->outputs) output->type = opened(output->type);
  }
  try {
    ir::verify(*open);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::internal) throw;
    return nullptr;
  }
  return open;
}

// The inputs with some extents exchanged for others, everywhere where they stand; elements are taken round and round.
std::vector<Value> with_other_extents(const std::vector<Value>& inputs, Draw& draw) {
  std::map<std::int64_t, std::int64_t> other;
  std::vector<Value> result;
  for (const Value& input : inputs) {
    const Tensor& from = input.tensor();
    Shape shape = from.shape();
    for (std::int64_t& extent : shape) {
      const auto [at, fresh] = other.emplace(extent, extent);
      if (fresh && extent != 0 && extent < 100 && draw.coin()) at->second = draw.number(1, 9);
      extent = at->second;
    }
    Tensor to(from.dtype(), shape);
    const std::size_t element = uz(bits(from.dtype()) / 8);
    if (from.size() == 0 || element == 0 || element_count(shape) > 100000) {
      result.push_back(input);
      continue;
    }
    for (std::int64_t i = 0; i < to.size(); ++i)
      std::memcpy(to.mutable_data() + uz(i) * element, from.data() + uz(i % from.size()) * element, element);
    result.emplace_back(std::move(to));
  }
  return result;
}

// One session of the device and one of the reference give the same for the inputs, and for `others` in between: results, or
// errors.
std::string shapes_differ(const Graph& graph, const ir::Function& open, const std::vector<Value>& others, std::mt19937& random,
                          std::size_t& agreed) {
  static const auto pool = std::make_shared<ThreadPool>(2);
  const std::shared_ptr<const ir::Function> copy = ir::clone(open);
  const plan::Session reference(copy, nullptr, pool), device(copy, &plan::cpu_device(), pool);
  for (const std::vector<Value>* inputs : {&graph.inputs, &others, &graph.inputs}) {
    std::vector<Value> want;
    std::string refusal, error;
    try {
      want = reference.run(*inputs, {});
    } catch (const Error& fault) {
      if (fault.kind() == ErrorKind::internal) throw;
      refusal = fault.what();
    }
    try {
      const std::vector<Value> got = device.run(*inputs, {});
      if (!refusal.empty()) continue;  // by an op that nothing reads, which the device leaves out
      std::vector<std::vector<Value>> shaken;
      for (int i = 0; i < 3; ++i) shaken.push_back(run_shaken(graph, *inputs, random));
      if (std::string fault = difference(want, shaken, got, true); !fault.empty()) return fault;
      if (inputs == &others) ++agreed;
    } catch (const Error& fault) {
      if (fault.kind() == ErrorKind::internal) throw;
      error = fault.what();
    }
    if (refusal.empty() && !error.empty()) return "only the device refuses: " + error;
  }
  return {};
}

// What the text says is the program.
std::string text_difference(const ir::Program& program) {
  const std::string text = ir::print_mil(program);
  const auto again = ir::parse_mil(text);
  ir::verify(*again);
  return ir::print_mil(*again) == text ? "" : "the text, parsed and printed, differs";
}

struct Tally {
  std::size_t programs = 0, ops = 0, refused = 0, open = 0, empty = 0, others = 0;
  std::map<std::string, int> used;
};

void one_program(std::uint32_t seed, Tally& tally) {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const auto& [name, sample] : samples()) {
      if (name.rfind("tl.", 0) != 0 && name.rfind("random_", 0) != 0) list.push_back(name);
    }
    return list;
  }();
  std::mt19937 random(seed);
  GraphDraw draw(random);
  const std::int64_t wanted = draw.number(2, 14);
  for (std::int64_t i = 0; i < wanted * 2 && iz(draw.graph.function().body.ops.size()) < wanted; ++i) {
    const std::string& type = draw.one_of(names);
    const bool added = draw.add_op(type, samples().at(type));
    tally.refused += added ? 0 : 1;
    tally.used[type] += added ? 1 : 0;
  }
  draw.finish();
  const Graph& graph = draw.graph;
  std::string fault;
  try {
    ir::verify(graph.function());
    std::vector<Value> want;
    try {
      want = run(graph.function(), graph.inputs, nullptr, false);
    } catch (const Error& error) {
      if (draw.zero_extents == 0 || error.kind() == ErrorKind::internal) throw;
    }
    if (want.empty()) {  // refused for what is empty: by the device too
      ++tally.empty;
      for (const bool passes : {false, true}) {
        try {
          run(graph.function(), graph.inputs, &plan::cpu_device(), passes);
          fault = "only the reference refuses";
        } catch (const Error& error) {
          if (error.kind() == ErrorKind::internal) throw;
        }
      }
    }
    std::vector<std::vector<Value>> shaken;
    for (int i = 0; !want.empty() && i < 3; ++i) shaken.push_back(run_shaken(graph, graph.inputs, random));
    if (!want.empty()) {
      fault = difference(want, shaken, run(graph.function(), graph.inputs, &plan::cpu_device(), false), false);
      if (!fault.empty()) fault = "without passes: " + fault;
    }
    if (fault.empty() && !want.empty()) {
      fault = difference(want, shaken, run(graph.function(), graph.inputs, &plan::cpu_device(), true), true);
      if (!fault.empty()) fault = "with passes: " + fault;
    }
    if (const auto open = fault.empty() && !want.empty() ? with_open_extents(graph.function()) : nullptr) {
      ++tally.open;
      fault = difference(want, shaken, run(*open, graph.inputs, &plan::cpu_device(), true), true);
      if (!fault.empty()) fault = "with open extents: " + fault;
      if (fault.empty()) {
        const std::vector<Value> others = with_other_extents(graph.inputs, draw);
        fault = shapes_differ(graph, *open, others, random, tally.others);
        if (!fault.empty()) {
          fault = "with other extents: " + fault;
          for (const Value& input : others) fault += " " + to_string(input.tensor().shape());
        }
      }
    }
    if (fault.empty()) fault = text_difference(*graph.program);
  } catch (const std::exception& error) {
    fault = error.what();
  }
  ++tally.programs;
  tally.ops += graph.function().body.ops.size();
  if (!fault.empty()) ADD_FAILURE() << "TL_FUZZ_SEED=" << seed << "\n" << fault << "\n" << ir::print_mil(*graph.program);
}

TEST(GraphFuzz, DevicesAgree) {
  const char* seconds = std::getenv("TL_FUZZ_SECONDS");
  const char* start = std::getenv("TL_FUZZ_SEED");
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds == nullptr ? 0 : std::atoi(seconds));
  std::uint32_t seed = start != nullptr     ? static_cast<std::uint32_t>(std::strtoul(start, nullptr, 10))
                       : seconds != nullptr ? std::random_device()()
                                            : 1;
  const int least = seconds != nullptr || start != nullptr ? 1 : 400;
  if (seconds != nullptr) std::printf("from seed %u\n", seed);
  Tally tally;
  for (int i = 0; i < least || std::chrono::steady_clock::now() < end; ++i) {
    one_program(seed++, tally);
    if (testing::Test::HasFailure() && std::getenv("TL_FUZZ_ALL") == nullptr) break;
  }
  std::printf(
      "%zu programs, %zu with open extents, %zu ran with others, %zu refused for extents of 0, %zu ops, %zu draws refused\n",
      tally.programs, tally.open, tally.others, tally.empty, tally.ops, tally.refused);
  if (tally.programs < 400) return;
  EXPECT_GT(tally.others * 4, tally.open) << "other extents are too often refused";
  EXPECT_LT(tally.refused * 10, tally.ops) << "the samples are too often refused";
  for (const auto& [name, sample] : samples()) {
    if (name.rfind("tl.", 0) == 0 || name.rfind("random_", 0) == 0) continue;
    EXPECT_GT(tally.used[name], 0) << name << " was never in a program";
  }
}

}  // namespace
