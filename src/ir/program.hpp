#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "ir/type.hpp"
#include "tensorlogic/value.hpp"

namespace tl::ir {

struct OpDef;
struct Op;
struct Block;

// Where a constant's bytes stand in a weight file, as the program spells it ("@model_path/weights/weight.bin").
struct BlobRef {
  std::string file;
  std::uint64_t offset = 0;
};

// A literal: `value` is always readable (blobs are mapped when the model is loaded).
struct Constant {
  Type type;
  Value value;
  std::optional<BlobRef> blob;
};
using ConstantPtr = std::shared_ptr<const Constant>;

ConstantPtr make_constant(Tensor value);
ConstantPtr make_constant(std::string value);

// A named SSA value: the output of an op, or a parameter of a function or block.
struct Var {
  std::string name;
  Type type;
  Op* producer = nullptr;  // null: a parameter
  ConstantPtr constant;    // set when the value is known without running anything (`const` ops, folded ops)
};

// What an argument is bound to: a variable or a literal.
using Binding = std::variant<Var*, ConstantPtr>;

const Type& type_of(const Binding& binding);
// The literal, or the variable's known value; null otherwise.
ConstantPtr constant_of(const Binding& binding);

struct Argument {
  std::string name;
  std::vector<Binding> bindings;  // one; several for variadic parameters (`values` of concat)
};

using Attributes = std::vector<std::pair<std::string, ConstantPtr>>;

struct Op {
  std::string type;            // MIL name: "conv", "tl.gguf_dequantize"
  const OpDef* def = nullptr;  // null: not an op we define (it still prints); resolved by `verify`
  std::string opset;           // "ios17" where the text names one per op, else empty
  std::vector<Argument> inputs;
  std::vector<std::unique_ptr<Var>> outputs;
  Attributes attributes;  // "name", "val" of const ops, placement annotations
  std::vector<std::unique_ptr<Block>> blocks;

  const Argument* argument(std::string_view name) const noexcept;
  ConstantPtr attribute(std::string_view name) const noexcept;
  // The `name` attribute, else the first output's name, else the type.
  std::string label() const;
};

struct Block {
  std::vector<std::unique_ptr<Var>> params;
  // For while_loop and cond in MIL: the values that the parameters start from, parallel to `params`; often empty.
  std::vector<Binding> param_bindings;
  std::vector<std::unique_ptr<Op>> ops;
  std::vector<Var*> outputs;
  Attributes attributes;
};

struct Function {
  std::string name = "main";
  std::string opset = "ios15";  // the active specialization
  std::vector<std::unique_ptr<Var>> inputs;
  Block body;
  Attributes attributes;
};

// How MIL text spelled what the IR doesn't distinguish, kept so that printing gives the same bytes back.
struct TextStyle {
  bool plain_scalars = true;  // string("x") rather than tensor<string, []>("x")
  bool final_newline = true;
  std::string version = "1.3";  // program(1.3)
};

struct Program {
  std::int64_t version = 1;
  Attributes attributes;  // buildInfo
  std::vector<std::unique_ptr<Function>> functions;
  TextStyle style;

  Function* function(std::string_view name) const noexcept;
};

// A deep copy; literals are shared.
std::unique_ptr<Program> clone(const Program& program);
std::unique_ptr<Function> clone(const Function& function);

// Visits the ops of a block and of the blocks nested in them, outer before inner.
template <class Visit>
void for_each_op(const Block& block, Visit&& visit) {
  for (const auto& op : block.ops) {
    visit(*op);
    for (const auto& inner : op->blocks) for_each_op(*inner, visit);
  }
}

}  // namespace tl::ir
