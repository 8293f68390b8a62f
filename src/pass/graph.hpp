#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ir/build.hpp"
#include "ir/op_def.hpp"

namespace tl::pass {

// Which ops of the outermost block read a variable. Reads by nested blocks and by the function's outputs count as `other`.
class Uses {
 public:
  explicit Uses(const ir::Function& function);
  std::size_t count(const ir::Var& var) const;
  // The op that alone reads it; null when others do, or none.
  ir::Op* only_user(const ir::Var& var) const;
  // The ops that read it, nested blocks and the function's outputs apart.
  std::vector<ir::Op*> users(const ir::Var& var) const;
  // `next` reads `var` in place of `old`.
  void replace(const ir::Var& var, const ir::Op* old, ir::Op* next);

 private:
  struct Entry {
    std::vector<ir::Op*> users;
    std::size_t other = 0;
  };
  std::unordered_map<const ir::Var*, Entry> entries_;
};

// The variable that an argument is bound to; null when it is a literal, absent, or one of several.
ir::Var* variable(const ir::Op& op, std::string_view param);
// True for a constant and for what a constexpr op makes.
bool is_weight(const ir::Binding& binding);
// A constant argument as floats (a default counts); empty when it is absent or not constant.
std::vector<float> constant_floats(const ir::Op& op, std::string_view param);
// The shape when the variable is a tensor with concrete extents.
std::optional<Shape> shape_of(const ir::Var& var);
// The argument's binding; null when absent.
const ir::Binding* binding(const ir::Op& op, std::string_view param);
// Replaces the ops of `function` by `ops`, leaving out the null ones.
void set_ops(ir::Function& function, std::vector<std::unique_ptr<ir::Op>> ops);
// Makes `op` the producer of `var`, in place of its own first output.
void give_output(ir::Op& op, std::unique_ptr<ir::Var> var);
// Drops pure ops whose outputs are constants or unread.
void remove_dead(ir::Function& function);

}  // namespace tl::pass
