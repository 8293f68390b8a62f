#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "base/thread_pool.hpp"
#include "ir/text.hpp"
#include "ir/verify.hpp"
#include "op/samples.hpp"
#include "plan/session.hpp"

// Hostile arguments of the ops that only a program can call: lists, states, blocks, dictionaries, labels. On the reference and
// on the CPU device a cell gives the values that its row says, or an Error that names the op.
namespace {

using namespace tl;
using namespace tl::ir;

constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr float inf = std::numeric_limits<float>::infinity();

struct Cell {
  const char* op;
  std::string body;         // what follows the inputs of `program`; the output is `out`
  std::vector<float> want;  // all elements of `out`; labels as their length
  std::string fault;        // part of the error's message; empty: there is none
};

// Inputs: x = 1 2; wide = 1 2 3; none = no element; at = -1; far = INT_MIN; yes; strange = NaN inf; held, a state of 5 6.
std::vector<Value> inputs() {
  return {Tensor::of<float>({2}, {1, 2}),
          Tensor::of<float>({3}, {1, 2, 3}),
          Tensor(DType::f32, {0}),
          Tensor::scalar(std::int32_t{-1}),
          Tensor::scalar(std::numeric_limits<std::int32_t>::min()),
          Tensor::scalar(true),
          Tensor::of<float>({2}, {nan, inf}),
          Value()};
}

std::string program(const std::string& body) {
  const char* out = body.find(" late = ") == std::string::npos ? "out" : "late";
  return "program(1.3)\n{\n  func main<ios18>(tensor<fp32, [2]> x, tensor<fp32, [3]> wide, tensor<fp32, [0]> none, int32 at, "
         "int32 far, bool yes, tensor<fp32, [2]> strange, state<tensor<fp32, [2]>> held) {\n" +
         body + "  } -> (" + out + ");\n}\n";
}

std::vector<float> numbers(const Value& value) {
  std::vector<float> result;
  const Tensor& tensor = value.tensor();
  for (std::int64_t i = 0; i < tensor.size(); ++i) {
    result.push_back(tensor.dtype() == DType::string ? static_cast<float>(tensor.strings()[uz(i)].size())
                                                     : static_cast<float>(tensor.number_at(i)));
  }
  return result;
}

void check(const Cell& cell, const plan::Device* device) {
  SCOPED_TRACE(std::string(cell.op) + (device == nullptr ? " on the reference\n" : " on the device\n") + cell.body);
  static const auto pool = std::make_shared<ThreadPool>(2);
  try {
    const auto parsed = parse_mil(program(cell.body));
    const std::shared_ptr<Function> function = std::move(parsed->functions.front());
    verify(*function);
    StateCell held{Tensor::of<float>({2}, {5, 6})};
    constexpr double seconds = 0.05;  // for loops without end
    const auto outputs = plan::Session(function, device, pool).run(inputs(), {&held}, nullptr, seconds);
    EXPECT_EQ(cell.fault, "") << "no error came";
    const std::vector<float> got = numbers(outputs.at(0));
    ASSERT_EQ(got.size(), cell.want.size());
    for (std::size_t i = 0; i < got.size(); ++i) {
      EXPECT_TRUE(got[i] == cell.want[i] || (std::isnan(cell.want[i]) && std::isnan(got[i]))) << got[i] << " at " << i;
    }
  } catch (const Error& error) {
    EXPECT_NE(cell.fault, "") << error.what();
    EXPECT_NE(error.kind(), ErrorKind::internal) << error.what();
    EXPECT_NE(error.message().find(cell.fault), std::string::npos) << error.what();
    EXPECT_NE(error.where().find(cell.op), std::string::npos) << error.what();
  }
}

std::string list_of(const std::string& length, const std::string& shape, const std::string& more = "") {
  return "    list<tensor<fp32, [2]>, ?> l = make_list(init_length = " + length + ", elem_shape = " + shape + more +
         ")[name = string(\"l\")];\n";
}
const std::string three = list_of("int32(3)", "tensor<int32, [1]>([2])");
std::string written(const std::string& index, const std::string& value) {
  return three + "    list<tensor<fp32, [2]>, ?> m = list_write(ls = l, index = " + index + ", value = " + value +
         ")[name = string(\"m\")];\n";
}
const std::string length_of = "    int32 out = list_length(ls = l)[name = string(\"out\")];\n";
const std::string length_of_m = "    int32 out = list_length(ls = m)[name = string(\"out\")];\n";
std::string read_of(const std::string& list, const std::string& index) {
  return "    tensor<fp32, [2]> out = list_read(ls = " + list + ", index = " + index + ")[name = string(\"out\")];\n";
}
std::string gathered(const std::string& indices) {
  return written("int32(2)", "x") + "    tensor<fp32, [?, 2]> out = list_gather(ls = m, indices = " + indices +
         ")[name = string(\"out\")];\n";
}
std::string scattered(const std::string& indices, const std::string& value, const std::string& then) {
  return three + "    list<tensor<fp32, [2]>, ?> m = list_scatter(ls = l, indices = " + indices + ", value = " + value +
         ")[name = string(\"m\")];\n" + then;
}
const std::string rows = "tensor<fp32, [2, 2]>([[1, 2], [3, 4]])";

TEST(ProgramMatrix, Lists) {
  const std::vector<Cell> cells = {
      {"make_list", list_of("int32(-1)", "tensor<int32, [1]>([2])") + length_of, {}, "a list of -1"},
      {"make_list", list_of("int32(-2147483648)", "tensor<int32, [1]>([2])") + length_of, {}, "a list of -2147483648"},
      {"make_list", list_of("int32(2147483647)", "tensor<int32, [1]>([2])") + length_of, {}, "a list of 2147483647"},
      {"make_list", list_of("far", "tensor<int32, [1]>([2])") + length_of, {}, "a list of -2147483648"},
      {"make_list", list_of("int32(0)", "tensor<int32, [1]>([2])") + length_of, {0}, ""},
      {"make_list", list_of("int32(3)", "tensor<int32, [1]>([2])", ", dtype = string(\"no such\")") + length_of, {}, "no such"},
      {"make_list",
       "    list<tensor<fp32, [?, ?]>, ?> l = make_list(init_length = int32(3), elem_shape = tensor<int32, [2]>([2147483647, "
       "2147483647]))[name = string(\"l\")];\n" +
           length_of,
       {},
       "tensor size"},
      {"list_length", "    int32 out = list_length(ls = x)[name = string(\"out\")];\n", {}, "expected a list"},
      {"list_write", written("at", "x") + length_of_m, {}, "index -1 of a list"},
      {"list_write", written("far", "x") + length_of_m, {}, "index -2147483648 of a list"},
      {"list_write", written("int32(2147483647)", "x") + length_of_m, {}, "index 2147483647 of a list"},
      {"list_write", written("int32(3)", "x") + length_of_m, {4}, ""},
      {"list_write", written("int32(0)", "strange") + read_of("m", "int32(0)"), {nan, inf}, ""},
      {"list_write", written("int32(0)", "wide") + length_of_m, {}, "does not fit a list of"},
      {"list_write", written("int32(0)", "none") + length_of_m, {}, "does not fit a list of"},
      {"list_write", written("int32(0)", "at") + length_of_m, {}, "does not fit a list of"},
      {"list_read", written("int32(2)", "x") + read_of("m", "at"), {1, 2}, ""},
      {"list_read", three + read_of("l", "int32(1)"), {0, 0}, ""},
      {"list_read", three + read_of("l", "int32(3)"), {}, "index 3 of a list of 3"},
      {"list_read", three + read_of("l", "int32(-4)"), {}, "of a list of 3"},
      {"list_read", three + read_of("l", "far"), {}, "of a list of 3"},
      {"list_read", read_of("x", "int32(0)"), {}, "expected a list"},
      {"list_gather", gathered("tensor<int32, [2]>([2, 0])"), {1, 2, 0, 0}, ""},
      {"list_gather", gathered("tensor<int32, [1]>([-1])"), {1, 2}, ""},
      {"list_gather", gathered("tensor<int32, [1]>([3])"), {}, "index 3 of a list of 3"},
      {"list_gather", gathered("tensor<int32, [0]>([])"), {}, "no elements"},
      {"list_scatter", scattered("tensor<int32, [2]>([2, 0])", rows, read_of("m", "int32(2)")), {1, 2}, ""},
      {"list_scatter", scattered("tensor<int32, [2]>([1, 1])", rows, read_of("m", "int32(1)")), {3, 4}, ""},
      {"list_scatter", scattered("tensor<int32, [2]>([0, -1])", rows, length_of_m), {}, "index -1 of a list"},
      {"list_scatter", scattered("tensor<int32, [2]>([0, 2147483647])", rows, length_of_m), {}, "index 2147483647 of a list"},
      {"list_scatter", scattered("tensor<int32, [1]>([0])", rows, length_of_m), {}, "for 1 indices"},
      {"list_scatter", scattered("tensor<int32, [0]>([])", "none", length_of_m), {}, "does not fit a list of"},
      {"list_scatter", scattered("tensor<int32, [2]>([0, 1])", "fp32(1)", length_of_m), {}, "does not fit a list of"},
  };
  for (const Cell& cell : cells) {
    check(cell, nullptr);
    check(cell, &plan::cpu_device());
  }
}

std::string branch(const std::string& pred, const std::string& yes, const std::string& no,
                   const std::string& type = "tensor<fp32, [?]>") {
  return "    " + type + " out = cond(pred = " + pred + ")[name = string(\"out\")] {\n      block0() {\n        " + yes +
         "\n      } -> (a);\n      block1() {\n        " + no + "\n      } -> (b);\n    };\n";
}
const std::string twice_a = "tensor<fp32, [2]> a = add(x = x, y = x)[name = string(\"a\")];";
const std::string wide_b = "tensor<fp32, [3]> b = add(x = wide, y = wide)[name = string(\"b\")];";
const std::string twice_b = "tensor<fp32, [2]> b = add(x = x, y = x)[name = string(\"b\")];";

// v starts as x; the condition and the body are the given lines, which give `go` and `next`.
std::string loop(const std::string& condition, const std::string& body, const std::string& type = "tensor<fp32, [?]>") {
  return "    " + type + " out = while_loop(loop_vars = (x))[name = string(\"out\")] {\n      block0(" + type +
         " v) {\n        " + condition + "\n      } -> (go);\n      block1(" + type + " w) {\n        " + body +
         "\n      } -> (next);\n    };\n";
}
const std::string below_100 =
    "fp32 s = reduce_sum(x = v)[name = string(\"s\")];\n        bool go = less(x = s, y = fp32(100))[name = string(\"go\")];";

TEST(ProgramMatrix, Blocks) {
  const std::string doubled = " next = add(x = w, y = w)[name = string(\"next\")];";
  const std::string joined = "tensor<fp32, [?]> next = concat(values = (w, w), axis = int32(0))[name = string(\"next\")];";
  std::vector<float> grown;  // 1 2 1 2 ... doubled, once their sum is over 100
  for (int i = 0; i < 64; ++i) grown.insert(grown.end(), {2, 4});
  const std::string whole = "tensor<int32, [?]> next = cast(x = w, dtype = string(\"int32\"))[name = string(\"next\")];";
  const std::vector<Cell> cells = {
      {"cond", branch("yes", twice_a, wide_b), {2, 4}, ""},
      {"cond", branch("yes", twice_a, twice_b, "tensor<fp32, [2]>"), {2, 4}, ""},
      {"cond", branch("tensor<bool, [1]>([false])", twice_a, wide_b), {2, 4, 6}, ""},
      {"cond", branch("tensor<bool, [2]>([true, true])", twice_a, wide_b), {}, "not one value"},
      {"cond", branch("tensor<bool, [0]>([])", twice_a, wide_b), {}, "not one value"},
      {"cond", branch("at", twice_a, wide_b), {}, "int32"},
      {"cond",
       branch("yes", twice_a, "int32 b = cast(x = yes, dtype = string(\"int32\"))[name = string(\"b\")];"),
       {},
       "branch"},
      {"cond", branch("yes", twice_a, wide_b, "tensor<fp32, [2]>"), {2, 4}, ""},
      // What the file says of the other branch's extents does not bind the result.
      {"cond",
       branch("tensor<bool, [1]>([false])", twice_a, wide_b, "tensor<fp32, [2]>") +
           "    tensor<fp32, [2]> late = add(x = out, y = out)[name = string(\"late\")];\n",
       {4, 8, 12},
       ""},
      {"while_loop", loop(below_100, "tensor<fp32, [?]>" + doubled), {64, 128}, ""},
      {"while_loop", loop(below_100, "tensor<fp32, [2]>" + doubled, "tensor<fp32, [2]>"), {64, 128}, ""},
      {"while_loop", loop(below_100, joined) + "    tensor<fp32, [?]> late = add(x = out, y = out)[name = string(\"late\")];\n",
       grown, ""},
      {"while_loop", loop(below_100, whole), {}, "in one branch"},
      {"while_loop",
       loop("tensor<bool, [?]> go = less(x = v, y = fp32(100))[name = string(\"go\")];", "tensor<fp32, [?]>" + doubled),
       {},
       "not one value"},
      {"while_loop",
       loop("tensor<bool, [0]> go = less(x = none, y = fp32(100))[name = string(\"go\")];", "tensor<fp32, [?]>" + doubled),
       {},
       "not one value"},
      {"while_loop",
       loop("bool go = logical_or(x = yes, y = yes)[name = string(\"go\")];", "tensor<fp32, [?]>" + doubled),
       {},
       "0.05 s"},
      {"while_loop", loop("bool go = logical_not(x = yes)[name = string(\"go\")];", "tensor<fp32, [?]>" + doubled), {1, 2}, ""},
  };
  for (const Cell& cell : cells) {
    check(cell, nullptr);
    check(cell, &plan::cpu_device());
  }
}

std::string put(const std::string& value, const std::string& state = "held") {
  return "    write_state(input = " + state + ", data = " + value + ")[name = string(\"put\")];\n" +
         "    tensor<fp32, [2]> out = read_state(input = held)[name = string(\"out\")];\n";
}
std::string updated(const std::string& value, const std::string& state = "held") {
  return "    tensor<fp32, [2]> out = coreml_update_state(state = " + state + ", value = " + value +
         ")[name = string(\"out\")];\n";
}
std::string sliced(const std::string& update, int begin, int end, int stride = 1) {
  const auto list = [](int value) { return fmt::format("tensor<int32, [1]>([{}])", value); };
  return "    tensor<fp32, [2]> old = read_state(input = held)[name = string(\"old\")];\n    tensor<fp32, [2]> new = "
         "slice_update(x = old, update = " +
         update + ", begin = " + list(begin) + ", end = " + list(end) + ", stride = " + list(stride) +
         ")[name = string(\"new\")];\n" + put("new");
}

TEST(ProgramMatrix, States) {
  const std::string one = "tensor<fp32, [1]>([9])";
  const std::vector<Cell> cells = {
      {"write_state", put("x"), {1, 2}, ""},
      {"write_state", put("strange"), {nan, inf}, ""},
      {"write_state", put("wide"), {}, "does not fit"},
      {"write_state", put("none"), {}, "does not fit"},
      {"write_state", put("at"), {}, "does not fit"},
      {"write_state", put("x", "wide"), {}, "expected a state"},
      {"read_state", "    tensor<fp32, [2]> out = read_state(input = x)[name = string(\"out\")];\n", {}, "expected a state"},
      {"coreml_update_state", updated("x"), {1, 2}, ""},
      {"coreml_update_state", updated("strange"), {nan, inf}, ""},
      {"coreml_update_state", updated("wide"), {}, "does not fit"},
      {"coreml_update_state", updated("at"), {}, "does not fit"},
      {"coreml_update_state", updated("x", "x"), {}, "expected a state"},
      {"slice_update", sliced(one, 1, 2), {5, 9}, ""},
      {"slice_update", sliced(one, -1, 2), {5, 9}, ""},
      {"slice_update", sliced(one, 0, 2, 2), {9, 6}, ""},
      {"slice_update", sliced(one, 1, 0, -1), {5, 9}, ""},
      {"slice_update", sliced(one, 0, 1, 0), {}, "stride"},
      {"slice_update", sliced(one, 0, 2), {}, "shape"},
      {"slice_update", sliced(one, std::numeric_limits<int>::min(), std::numeric_limits<int>::max()), {}, "shape"},
      {"slice_update", sliced("none", 2, 2), {5, 6}, ""},
  };
  for (const Cell& cell : cells) {
    check(cell, nullptr);
    check(cell, &plan::cpu_device());
  }
}

// Without the state that it keeps a model does not run.
TEST(ProgramMatrix, MissingStates) {
  for (const std::string& body : {put("x"), updated("x")}) {
    const auto parsed = parse_mil(program(body));
    const std::shared_ptr<Function> function = std::move(parsed->functions.front());
    verify(*function);
    try {
      plan::Session(function, &plan::cpu_device(), std::make_shared<ThreadPool>(1)).run(inputs(), {});
      ADD_FAILURE() << body;
    } catch (const Error& error) {
      EXPECT_NE(error.message().find("make_state"), std::string::npos) << error.what();
      EXPECT_NE(error.where().find("_state"), std::string::npos) << error.what();
    }
  }
}

std::string classified(const std::string& probabilities, const std::string& classes) {
  return "    string out, dict<string, fp64> all = classify(probabilities = " + probabilities + ", classes = " + classes +
         ")[name = string(\"out\")];\n";
}

TEST(ProgramMatrix, Labels) {
  const std::string two = "list<string, 2>([\"a\", \"bcd\"])";
  const std::vector<Cell> cells = {
      {"classify", classified("x", two), {3}, ""},
      {"classify", classified("strange", two), {1}, ""},  // NaN is the best, as of reduce_argmax
      {"classify", classified("wide", two), {}, "2 labels for 3 probabilities"},
      {"classify", classified("none", two), {}, "2 labels for 0 probabilities"},
      {"classify", classified("none", "list<string, 0>([])"), {}, "0 labels"},
      {"classify", classified("at", two), {}, "int32"},
      {"classify", classified("x", "list<string, 2>([\"a\", \"a\"])"), {1}, ""},
  };
  for (const Cell& cell : cells) {
    check(cell, nullptr);
    check(cell, &plan::cpu_device());
  }
}

// An op of the dialect on a dictionary or a list of ids.
std::vector<Value> on_value(const std::string& type, const Value& value, const std::string& op, const plan::Device* device) {
  const auto parsed = parse_mil("program(1.3)\n{\n  func main<ios18>(" + type + " d) {\n    " + op + "  } -> (out);\n}\n");
  const std::shared_ptr<Function> function = std::move(parsed->functions.front());
  verify(*function);
  const std::vector<Value> given{value};
  return plan::Session(function, device, std::make_shared<ThreadPool>(1)).run(given, {});
}

TEST(ProgramMatrix, Dictionaries) {
  const auto text = [](const char* t) { return Value(Tensor::scalar(std::string(t))); };
  const auto number = [](double v) { return Value(Tensor::scalar(v)); };
  const std::string op =
      "tensor<fp64, [3]> out = \"tl.dictionary_vector\"(x = d, keys = tensor<string, [3]>([\"a\", \"b\", \"\"]))[name = "
      "string(\"out\")];\n";
  struct Row {
    Value d;
    std::vector<float> want;
    std::string fault;
  };
  const std::vector<Row> table = {
      {Dict{{{text("b"), number(2)}, {text("no key"), number(7)}}}, {0, 2, 0}, ""},
      {Dict{}, {0, 0, 0}, ""},
      {Dict{{{text("a"), number(nan)}, {text(""), number(-inf)}}}, {nan, 0, -inf}, ""},
      {Dict{{{text("a"), number(1)}, {text("a"), number(2)}}}, {2, 0, 0}, ""},
      {Dict{{{text("a"), text("1")}}}, {}, "no number"},
      {Dict{{{text("a"), Tensor::of<double>({2}, {1, 2})}}}, {}, "no number"},
      {Dict{{{text("a"), Tensor(DType::f64, {0})}}}, {}, "no number"},
      {Dict{{{text("a"), List{}}}}, {}, ""},
      {Dict{{{List{}, number(1)}}}, {}, ""},
      {List{}, {}, ""},
  };
  for (const plan::Device* device : {static_cast<const plan::Device*>(nullptr), &plan::cpu_device()}) {
    for (const Row& row : table) {
      try {
        const std::vector<float> got = numbers(on_value("dict<string, fp64>", row.d, op, device).at(0));
        ASSERT_EQ(got.size(), row.want.size());
        for (std::size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(got[i] == row.want[i] || std::isnan(row.want[i])) << i;
      } catch (const Error& error) {
        EXPECT_TRUE(row.want.empty()) << error.what();
        EXPECT_NE(error.kind(), ErrorKind::internal) << error.what();
        EXPECT_NE(error.message().find(row.fault), std::string::npos) << error.what();
        EXPECT_NE(error.where().find("tl.dictionary_vector"), std::string::npos) << error.what();
      }
    }
  }
}

TEST(ProgramMatrix, ImputedDictionaries) {
  const auto id = [](std::int64_t v) { return Value(Tensor::scalar(v)); };
  const auto number = [](double v) { return Value(Tensor::scalar(v)); };
  const std::string op =
      "dict<int64, fp64> out = \"tl.impute_dictionary\"(x = d, keys = tensor<int64, [3]>([7, -1, 7]), values = tensor<fp64, "
      "[3]>([0.5, 2, 1.5]))[name = string(\"out\")];\n";
  struct Row {
    Value d;
    std::vector<std::pair<std::int64_t, double>> want;
    std::string fault;
  };
  const std::vector<Row> table = {
      {Dict{}, {{7, 1.5}, {-1, 2}}, ""},
      {Dict{{{id(-1), number(nan)}, {id(3), number(-inf)}}}, {{-1, 2}, {3, -inf}, {7, 1.5}}, ""},
      {Dict{{{id(7), number(0)}, {id(7), number(4)}}}, {{7, 0}, {7, 4}, {-1, 2}}, ""},
      {Dict{{{id(7), Tensor::of<double>({2}, {1, 2})}}}, {}, "not a key and a number"},
      {Dict{{{id(7), Tensor::scalar(std::string("1"))}}}, {}, "not a key and a number"},
      {Dict{{{Tensor(DType::i64, {0}), number(1)}}}, {}, "not a key and a number"},
      {Dict{{{id(7), List{}}}}, {}, ""},
      {List{}, {}, ""},
  };
  for (const plan::Device* device : {static_cast<const plan::Device*>(nullptr), &plan::cpu_device()}) {
    for (const Row& row : table) {
      try {
        const Dict got = on_value("dict<int64, fp64>", row.d, op, device).at(0).dict();
        ASSERT_EQ(got.items.size(), row.want.size());
        for (std::size_t i = 0; i < got.items.size(); ++i) {
          EXPECT_EQ(got.items[i].first.tensor().integer_at(0), row.want[i].first) << i;
          EXPECT_EQ(got.items[i].second.tensor().number_at(0), row.want[i].second) << i;
        }
      } catch (const Error& error) {
        EXPECT_TRUE(row.want.empty()) << error.what();
        EXPECT_NE(error.kind(), ErrorKind::internal) << error.what();
        EXPECT_NE(error.message().find(row.fault), std::string::npos) << error.what();
        EXPECT_NE(error.where().find("tl.impute_dictionary"), std::string::npos) << error.what();
      }
    }
  }
}

// Item 0 is like item 1 (0.5) and item 2 (0.25).
TEST(ProgramMatrix, Recommendations) {
  const auto number = [](double v) { return Value(Tensor::scalar(v)); };
  const auto id = [](std::int64_t v) { return Value(Tensor::scalar(v)); };
  const auto op = [](const std::string& count, const std::string& begin = "[0, 2, 2, 2]",
                     const std::string& similar = "[1, 2]") {
    return "tensor<int64, [?]> ids, tensor<fp64, [?]> out, dict<int64, fp64> all = \"tl.similar_items\"(x = d, " + count +
           "ids = tensor<int64, [3]>([10, 20, 30]), row_begin = tensor<int32, [4]>(" + begin +
           "), similar = tensor<int32, [2]>(" + similar +
           "), similarity = tensor<fp64, [2]>([0.5, 0.25]), shift = tensor<fp64, [3]>([0, 0, 0]))[name = string(\"out\")];\n";
  };
  struct Row {
    Value d;
    std::string op;
    std::vector<float> want;
    std::string fault;
  };
  const Value first = Dict{{{id(10), number(2)}}};
  const std::vector<Row> table = {
      {first, op(""), {1, 0.5}, ""},
      {first, op("count = fp64(1), "), {1}, ""},
      {first, op("count = fp64(0), "), {}, ""},
      {first, op("count = fp64(-1), "), {1, 0.5}, ""},
      {first, op("count = fp64(1e300), "), {1, 0.5}, ""},
      {Dict{{{id(99), number(2)}}}, op(""), {0, 0, 0}, ""},
      {Dict{}, op(""), {0, 0, 0}, ""},
      {Dict{{{id(10), number(nan)}}}, op(""), {nan, nan}, ""},
      {Dict{{{id(10), List{}}}}, op(""), {-1}, "list"},
      {List{}, op(""), {-1}, "list"},
      {first, op("", "[0, 3, 3, 3]"), {-1}, "3 after 0"},
      {first, op("", "[0, 2, 1, 2]"), {-1}, "1 after 2"},
      {first, op("", "[-1, 2, 2, 2]"), {-1}, "-1 after 0"},
      {first, op("", "[0, 2, 2, 2]", "[1, 3]"), {-1}, "3 of 3 items"},
      {first, op("", "[0, 2, 2, 2]", "[1, -1]"), {-1}, "-1 of 3 items"},
  };
  for (const plan::Device* device : {static_cast<const plan::Device*>(nullptr), &plan::cpu_device()}) {
    for (const Row& row : table) {
      SCOPED_TRACE(row.op);
      try {
        const std::vector<float> got = numbers(on_value("dict<int64, fp64>", row.d, row.op, device).at(0));
        EXPECT_EQ(row.fault, "");
        ASSERT_EQ(got.size(), row.want.size());
        for (std::size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(got[i] == row.want[i] || std::isnan(row.want[i])) << i;
      } catch (const Error& error) {
        EXPECT_NE(row.fault, "") << error.what();
        EXPECT_NE(error.kind(), ErrorKind::internal) << error.what();
        EXPECT_NE(error.message().find(row.fault), std::string::npos) << error.what();
        EXPECT_NE(error.where().find("tl.similar_items"), std::string::npos) << error.what();
      }
    }
  }
}

// What a block defines is not seen outside of it.
TEST(ProgramMatrix, NamesOfBlocksStayInside) {
  const std::string leaked =
      branch("yes", twice_a, wide_b) + "    tensor<fp32, [2]> late = add(x = a, y = x)[name = string(\"late\")];\n";
  EXPECT_THROW(verify(*parse_mil(program(leaked))), Error);
  // The same in memory, where no parser looks.
  const auto parsed = parse_mil(
      program(branch("yes", twice_a, wide_b) + "    tensor<fp32, [2]> late = add(x = x, y = x)[name = string(\"late\")];\n"));
  Function& function = *parsed->functions.front();
  Var* inner = function.body.ops[0]->blocks[0]->outputs[0];
  function.body.ops[1]->inputs[0].bindings[0] = inner;
  EXPECT_THROW(verify(function), Error);
}

// Every op that the matrix of arguments leaves out has its cells here, or in the tests of custom layers.
TEST(ProgramMatrix, LeavesNoOpOut) {
  const std::set<std::string> here = {"classify",
                                      "cond",
                                      "coreml_update_state",
                                      "list_gather",
                                      "list_length",
                                      "list_read",
                                      "list_scatter",
                                      "list_write",
                                      "make_list",
                                      "read_state",
                                      "write_state",
                                      "while_loop",
                                      "tl.dictionary_vector",
                                      "tl.impute_dictionary",
                                      "tl.similar_items",
                                      "tl.update_state"};
  const std::set<std::string> elsewhere = {"const", "custom_layer", "tl.custom_model"};
  for (const std::string& op : test::program_ops()) EXPECT_EQ(here.count(op) + elsewhere.count(op), 1U) << op;
}

}  // namespace
