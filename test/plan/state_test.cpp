#include <gtest/gtest.h>

#include <algorithm>

#include "base/thread_pool.hpp"
#include "ir/text.hpp"
#include "ir/verify.hpp"
#include "plan/session.hpp"

// Slices written into states: on the device they are written in place where nothing still reads what was there.
namespace {

using namespace tl;
using namespace tl::ir;

struct Ran {
  std::vector<Value> outputs;
  Tensor state;
  std::vector<std::string> ops;
};

// Two runs on one state of [2, 4], which begins as 0, with `x` = 1 2 and then 3 4 written at `at` = 1 and 2.
Ran run(const std::string& body, const plan::Device* device) {
  const std::string text =
      "program(1.3)\n{\n  func main<ios18>(tensor<fp32, [2, 1]> x, tensor<int32, [2]> at, tensor<int32, [2]> to, "
      "state<tensor<fp32, [2, 4]>> held) {\n" +
      body + "}\n";
  const auto program = parse_mil(text);
  std::shared_ptr<Function> function = std::move(program->functions.front());
  verify(*function);
  const plan::Session session(function, device, std::make_shared<ThreadPool>(2));
  StateCell cell{Tensor::zeros(DType::f32, {2, 4})};
  Ran result;
  for (std::int32_t i = 1; i <= 2; ++i) {
    const float first = static_cast<float>(2 * i - 1);
    const std::vector<Value> inputs = {Tensor::of<float>({2, 1}, {first, first + 1}), Tensor::of<std::int32_t>({2}, {0, i}),
                                       Tensor::of<std::int32_t>({2}, {2, i + 1}), Value()};
    for (Value& value : session.run(inputs, {&cell})) result.outputs.push_back(std::move(value));
  }
  result.state = cell.value.tensor();
  std::vector<Type> types;
  for (const auto& input : function->inputs) types.push_back(input->type);
  for (const auto& op : session.executable(types)->function().body.ops) result.ops.push_back(op->type);
  return result;
}

void expect(const Tensor& got, const std::vector<float>& want) {
  ASSERT_EQ(uz(got.size()), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_EQ(got.number_at(static_cast<std::int64_t>(i)), want[i]) << i;
}

bool in_place(const Ran& ran) { return std::find(ran.ops.begin(), ran.ops.end(), "tl.update_state") != ran.ops.end(); }

const std::string read = "    tensor<fp32, [2, 4]> old = read_state(input = held)[name = string(\"old\")];\n";
const std::string put =
    "    tensor<fp32, [2, 4]> put = slice_update(x = old, update = x, begin = at, end = to)[name = string(\"put\")];\n";
const std::string write = "    write_state(input = held, data = put)[name = string(\"write\")];\n";
const std::string again = "    tensor<fp32, [2, 4]> now = read_state(input = held)[name = string(\"now\")];\n";

TEST(States, SlicesAreWrittenInPlace) {
  const std::string update =
      "    tensor<fp32, [2, 4]> now = coreml_update_state(state = held, value = put)[name = string(\"now\")];\n";
  const std::string sum = "    tensor<fp32, [2, 4]> sum = add(x = now, y = now)[name = string(\"sum\")];\n  } -> (sum);\n";
  for (const std::string& body : {read + put + write + again + sum, read + put + update + sum}) {
    for (const plan::Device* device : {static_cast<const plan::Device*>(nullptr), &plan::cpu_device()}) {
      const Ran ran = run(body, device);
      expect(ran.outputs[0].tensor(), {0, 2, 0, 0, 0, 4, 0, 0});
      expect(ran.outputs[1].tensor(), {0, 2, 6, 0, 0, 4, 8, 0});
      expect(ran.state, {0, 1, 3, 0, 0, 2, 4, 0});
      EXPECT_EQ(in_place(ran), device != nullptr);
    }
  }
}

TEST(States, WhatWasReadBeforeStaysAsItWas) {
  // The old value, or a view of it, is read after the write, or leaves the function.
  const std::string later = "    tensor<fp32, [2, 4]> late = add(x = old, y = now)[name = string(\"late\")];\n  } -> (late);\n";
  const Ran sum = run(read + put + write + again + later, &plan::cpu_device());
  expect(sum.outputs[1].tensor(), {0, 2, 3, 0, 0, 4, 4, 0});
  EXPECT_FALSE(in_place(sum));
  const Ran given = run(read + put + write + "  } -> (old);\n", &plan::cpu_device());
  expect(given.outputs[0].tensor(), {0, 0, 0, 0, 0, 0, 0, 0});
  expect(given.outputs[1].tensor(), {0, 1, 0, 0, 0, 2, 0, 0});
  const std::string view =
      "    tensor<fp32, [1, 4]> row = slice_by_index(x = old, begin = tensor<int32, [2]>([1, 0]), end = tensor<int32, "
      "[2]>([2, 4]))[name = string(\"row\")];\n";
  const std::string after = "    tensor<fp32, [1, 4]> late = add(x = row, y = row)[name = string(\"late\")];\n  } -> (late);\n";
  const Ran part = run(read + view + put + write + after, &plan::cpu_device());
  expect(part.outputs[1].tensor(), {0, 4, 0, 0});
  EXPECT_FALSE(in_place(part));
}

TEST(States, ResultsDoNotChangeWithTheState) {
  const Ran ran = run(read + put + write + again + "  } -> (now);\n", &plan::cpu_device());
  EXPECT_TRUE(in_place(ran));
  expect(ran.outputs[0].tensor(), {0, 1, 0, 0, 0, 2, 0, 0});
}

// The first run writes 1 2, the second 3 4: where masks, indices from the end and squeezed axes say.
TEST(States, SlicesOfEveryKindAreWrittenInPlace) {
  const std::string flat =
      "    tensor<fp32, [2]> flat = squeeze(x = x, axes = tensor<int32, [1]>([1]))[name = string(\"flat\")];\n";
  const auto put_by = [](const std::string& arguments) {
    return "    tensor<fp32, [2, 4]> put = slice_update(x = old, " + arguments + ")[name = string(\"put\")];\n";
  };
  struct Case {
    std::string put;
    std::vector<float> want;
  };
  const std::vector<Case> cases = {
      {put_by("update = x, begin = to, end = to, begin_mask = tensor<bool, [2]>([true, false]), end_mask = tensor<bool, "
              "[2]>([true, true])"),
       {}},                                                                                           // 3 columns, then 2
      {put_by("update = x, begin = at, end = at, end_mask = tensor<bool, [2]>([true, false])"), {}},  // no column
      {put_by("update = x, begin = tensor<int32, [2]>([0, 3]), end = to, begin_mask = tensor<bool, [2]>([true, false]), "
              "end_mask = tensor<bool, [2]>([false, true])"),
       {0, 0, 0, 3, 0, 0, 0, 4}},
      {put_by("update = x, begin = tensor<int32, [2]>([-2, -4]), end = tensor<int32, [2]>([9, -3])"), {3, 0, 0, 0, 4, 0, 0, 0}},
      {flat + put_by("update = flat, begin = at, end = at, end_mask = tensor<bool, [2]>([true, false]), squeeze_mask = "
                     "tensor<bool, [2]>([false, true])"),
       {0, 1, 3, 0, 0, 2, 4, 0}},
      {flat + put_by("update = flat, begin = tensor<int32, [2]>([1, -3]), end = tensor<int32, [2]>([0, -1]), squeeze_mask = "
                     "tensor<bool, [2]>([true, false])"),
       {0, 0, 0, 0, 0, 3, 4, 0}},
      {flat + put_by("update = flat, begin = tensor<int32, [2]>([0, 9]), end = to, end_mask = tensor<bool, [2]>([true, true]), "
                     "squeeze_mask = tensor<bool, [2]>([false, true])"),
       {}},  // outside
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE(i);
    for (const plan::Device* device : {static_cast<const plan::Device*>(nullptr), &plan::cpu_device()}) {
      const std::string body = read + cases[i].put + write + again + "  } -> (now);\n";
      if (cases[i].want.empty()) {
        EXPECT_THROW(run(body, device), Error);
      } else {
        const Ran ran = run(body, device);
        expect(ran.state, cases[i].want);
        EXPECT_EQ(in_place(ran), device != nullptr);
      }
    }
  }
}

}  // namespace
