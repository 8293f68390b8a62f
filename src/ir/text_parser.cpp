#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "base/checked.hpp"
#include "ir/text_literal.hpp"

namespace tl::ir {
namespace {

class Parser {
 public:
  Parser(std::string_view text, const TextBlobReader& blobs) : in_(text), blobs_(blobs) {}

  std::unique_ptr<Program> program() {
    auto program = std::make_unique<Program>();
    in_.expect("program");
    in_.expect("(");
    program->style.version = std::string(in_.number());
    in_.expect(")");
    if (in_.accept("[")) program->attributes = parse_attributes(in_, blobs_);
    in_.expect("{");
    std::unordered_set<std::string> names;
    while (!in_.accept("}")) {
      in_.expect("func");
      program->functions.push_back(function());
      if (!names.insert(program->functions.back()->name).second)
        in_.stop("function '{}' is defined twice", program->functions.back()->name);
    }
    if (!in_.done()) in_.stop("text after the program");
    return program;
  }

 private:
  std::unique_ptr<Function> function() {
    auto function = std::make_unique<Function>();
    function->name = in_.name();
    in_.expect("<");
    function->opset = in_.name();
    opset_ = function->opset;
    in_.expect(">");
    scopes_.emplace_back();
    function->inputs = parameters();
    if (in_.accept("[")) function->attributes = parse_attributes(in_, blobs_);
    body(function->body, 0);
    scopes_.pop_back();
    return function;
  }

  std::vector<std::unique_ptr<Var>> parameters() {
    std::vector<std::unique_ptr<Var>> result;
    in_.expect("(");
    if (in_.accept(")")) return result;
    do result.push_back(define());
    while (in_.accept(","));
    in_.expect(")");
    return result;
  }

  std::unique_ptr<Var> define() {
    auto var = std::make_unique<Var>();
    var->type = parse_type(in_);
    var->name = in_.name();
    if (!scopes_.back().emplace(var->name, var.get()).second) in_.stop("value '{}' is defined twice", var->name);
    return var;
  }

  Var* find() {
    const std::size_t start = in_.position();
    const std::string name = in_.name();
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
      if (const auto found = scope->find(name); found != scope->end()) return found->second;
    }
    in_.rewind(start);
    in_.stop("value '{}' is not defined", name);
  }

  // { ops } -> (outputs);
  void body(Block& block, int depth) {
    if (depth > max_text_depth) throw Error(ErrorKind::limit, "blocks are nested too deep", in_.place());
    in_.expect("{");
    while (!in_.accept("}")) block.ops.push_back(operation(depth));
    in_.expect("->");
    in_.expect("(");
    if (!in_.accept(")")) {
      do block.outputs.push_back(find());
      while (in_.accept(","));
      in_.expect(")");
    }
    in_.expect(";");
  }

  bool outputs_follow() {
    const std::size_t start = in_.position();
    const std::string_view word = in_.word();
    const bool result = starts_type(word) && in_.peek() != '(';
    in_.rewind(start);
    return result;
  }

  std::unique_ptr<Op> operation(int depth) {
    auto op = std::make_unique<Op>();
    std::vector<std::pair<Type, std::string>> outputs;
    const std::size_t start = in_.position();
    if (outputs_follow()) {
      do {
        Type type = parse_type(in_);
        outputs.emplace_back(std::move(type), in_.name());
      } while (in_.accept(","));
      in_.expect("=");
    }
    op->type = in_.name();
    if (in_.accept("<")) {
      op->opset = in_.name();
      in_.expect(">");
    }
    arguments(*op);
    if (in_.accept("[")) op->attributes = parse_attributes(in_, blobs_);
    if (in_.accept("{")) {
      while (!in_.accept("}")) {
        op->blocks.push_back(std::make_unique<Block>());
        inner(*op->blocks.back(), depth + 1);
      }
    }
    in_.expect(";");
    for (auto& [type, name] : outputs) {
      auto var = std::make_unique<Var>();
      var->type = std::move(type);
      var->name = std::move(name);
      var->producer = op.get();
      if (!scopes_.back().emplace(var->name, var.get()).second) {
        in_.rewind(start);
        in_.stop("value '{}' is defined twice", var->name);
      }
      op->outputs.push_back(std::move(var));
    }
    if (op->type == "const") {
      const ConstantPtr value = op->attribute("val");
      if (value == nullptr || op->outputs.size() != 1) {
        in_.rewind(start);
        in_.stop("a const op needs a value and one output");
      }
      if (!value->value.empty()) op->outputs[0]->constant = value;
    }
    if (op->inputs.empty() && operands_are_attributes(op->type, op->opset.empty() ? opset_ : op->opset)) {
      for (auto& [name, value] : op->attributes) {
        if (name != "name") op->inputs.push_back({name, {value}});
      }
      std::erase_if(op->attributes, [](const auto& attribute) { return attribute.first != "name"; });
    }
    return op;
  }

  void inner(Block& block, int depth) {
    in_.word();
    scopes_.emplace_back();
    in_.expect("(");
    if (!in_.accept(")")) {
      do {
        block.params.push_back(define());
        if (in_.accept("=")) block.param_bindings.push_back(binding());
      } while (in_.accept(","));
      in_.expect(")");
    }
    if (!block.param_bindings.empty() && block.param_bindings.size() != block.params.size())
      in_.stop("some parameters have no start");
    if (in_.accept("[")) block.attributes = parse_attributes(in_, blobs_);
    body(block, depth);
    scopes_.pop_back();
  }

  Binding binding() {
    if (in_.peek() == '"') return find();
    const std::size_t start = in_.position();
    const std::string_view word = in_.word();
    const char next = in_.peek();
    in_.rewind(start);
    if (starts_type(word) && (next == '(' || next == '<')) return parse_literal(in_, blobs_);
    return find();
  }

  void arguments(Op& op) {
    in_.expect("(");
    if (in_.accept(")")) return;
    std::unordered_set<std::string> names;
    do {
      Argument& argument = op.inputs.emplace_back();
      argument.name = in_.name();
      if (!names.insert(argument.name).second) in_.stop("argument '{}' is given twice", argument.name);
      in_.expect("=");
      if (in_.accept("(")) {
        if (in_.accept(")")) continue;
        do argument.bindings.push_back(binding());
        while (in_.accept(","));
        in_.expect(")");
      } else {
        argument.bindings.push_back(binding());
      }
    } while (in_.accept(","));
    in_.expect(")");
  }

  TextScanner in_;
  const TextBlobReader& blobs_;
  std::string opset_;
  std::vector<std::unordered_map<std::string, Var*>> scopes_;
};

}  // namespace

bool operands_are_attributes(std::string_view op, std::string_view opset) {
  if (op == "constexpr_affine_dequantize" || op == "constexpr_cast") return true;
  return op.substr(0, 10) == "constexpr_" && (opset == "ios16" || opset == "ios17");
}

std::unique_ptr<Program> parse_mil(std::string_view text, const TextBlobReader& blobs) {
  auto program = Parser(text, blobs).program();
  program->style.final_newline = text.back() == '\n';
  // The older dialect writes the type of its build info in full.
  program->style.plain_scalars = text.substr(0, 4096).find("tensor<string, []>") == std::string_view::npos;
  return program;
}

}  // namespace tl::ir
