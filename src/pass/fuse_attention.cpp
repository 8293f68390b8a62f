#include <cmath>

#include "pass/graph.hpp"

namespace tl::pass {

using namespace ir;

namespace {

using Order = std::vector<std::int64_t>;

// softmax(scale * q k^T + mask) v, found around a softmax or given as one op.
struct Match {
  Var* query = nullptr;
  Var* key = nullptr;  // [..., S, E], or [..., E, S] when it is transposed
  Var* value = nullptr;
  bool key_transposed = false;
  const Binding* mask = nullptr;
  double scale = 1;
};

class Fuser {
 public:
  explicit Fuser(Function& function) : function_(function), uses_(function) {}

  void run() {
    for (auto& op : function_.body.ops) {
      if (op == nullptr) continue;
      if (const auto match = find(*op)) {
        emit(*op, *match);
      } else {
        ops_.push_back(std::move(op));
      }
    }
    set_ops(function_, std::move(ops_));
    remove_dead(function_);
  }

 private:
  static bool flag(const Op& op, std::string_view param) { return binding(op, param) != nullptr && Infer(op).boolean(param); }

  // The op that made `var`, when nothing else reads it.
  const Op* sole_producer(const Var* var, std::string_view type) const {
    const Op* op = var == nullptr || uses_.count(*var) != 1 ? nullptr : var->producer;
    return op != nullptr && op->type == type && op->outputs.size() == 1 ? op : nullptr;
  }

  static bool rank4(const Var* var) {
    const auto shape = var == nullptr ? std::nullopt : shape_of(*var);
    return shape && shape->size() == 4 && is_floating(var->type.tensor().dtype);
  }

  std::optional<Match> find(const Op& op) const {
    Match match;
    if (op.type == "scaled_dot_product_attention") {
      match.query = variable(op, "query");
      match.key = variable(op, "key");
      match.value = variable(op, "value");
      match.mask = binding(op, "attn_mask");
      if (!rank4(match.query)) return std::nullopt;
      match.scale = 1 / std::sqrt(static_cast<double>(shape_of(*match.query)->back()));
    } else if (op.type == "matmul") {
      if (!around_softmax(op, match)) return std::nullopt;
    } else {
      return std::nullopt;
    }
    if (!rank4(match.query) || !rank4(match.key) || !rank4(match.value)) return std::nullopt;
    take_factor(match);
    if (match.mask != nullptr) {
      const Type& type = type_of(*match.mask);
      if (!type.is_tensor() || !is_floating(type.tensor().dtype)) return std::nullopt;
    }
    const Shape q = *shape_of(*match.query);
    for (const Var* other : {match.key, match.value}) {
      const Shape shape = *shape_of(*other);
      if (shape[0] != q[0] || shape[1] != q[1] || other->type.tensor().dtype != match.query->type.tensor().dtype)
        return std::nullopt;
    }
    return match;
  }

  bool around_softmax(const Op& last, Match& match) const {
    if (flag(last, "transpose_x") || flag(last, "transpose_y")) return false;
    const Op* softmax = sole_producer(variable(last, "x"), "softmax");
    match.value = variable(last, "y");
    if (softmax == nullptr || match.value == nullptr || !rank4(softmax->outputs[0].get())) return false;
    if (Infer(*softmax).axis("axis", 4) != 3) return false;
    const Var* scores = variable(*softmax, "x");
    if (const Op* add = sole_producer(scores, "add")) {
      const bool first = inner(variable(*add, "x"));
      match.mask = binding(*add, first ? "y" : "x");
      scores = variable(*add, first ? "x" : "y");
    }
    if (const Op* mul = sole_producer(scores, "mul")) {
      const bool first = variable(*mul, "x") != nullptr;
      const std::vector<float> factor = constant_floats(*mul, first ? "y" : "x");
      if (factor.size() != 1) return false;
      match.scale = static_cast<double>(factor[0]);
      scores = variable(*mul, first ? "x" : "y");
    } else if (const Op* div = sole_producer(scores, "real_div")) {
      const std::vector<float> divisor = constant_floats(*div, "y");
      if (divisor.size() != 1 || divisor[0] == 0) return false;
      match.scale = 1 / static_cast<double>(divisor[0]);
      scores = variable(*div, "x");
    }
    const Op* product = sole_producer(scores, "matmul");
    if (product == nullptr || flag(*product, "transpose_x")) return false;
    match.query = variable(*product, "x");
    match.key = variable(*product, "y");
    match.key_transposed = !flag(*product, "transpose_y");
    return true;
  }

  // True for a variable that scores come from rather than a mask.
  static bool inner(const Var* var) {
    const Op* op = var == nullptr ? nullptr : var->producer;
    return op != nullptr && (op->type == "matmul" || op->type == "mul" || op->type == "real_div");
  }

  static Order order_of(const Op* op) {
    Order order;
    if (op == nullptr || op->type != "transpose") return order;
    const auto perm = Infer(*op).maybe_ints("perm");
    if (!perm) return order;
    for (const std::int64_t axis : *perm) order.push_back(axis < 0 ? axis + iz(perm->size()) : axis);
    return order;
  }

  // The source of a transposition that moved heads before positions: [B, L, H, E]. Of one image it may be of three axes.
  Var* heads_last(Var* var, const Order& order) {
    const Op* op = var->producer;
    if (op == nullptr) return nullptr;
    if (order_of(op) == order) return variable(*op, "x");
    const Var* heads = op->type == "reshape" ? variable(*op, "x") : nullptr;
    if (heads == nullptr || heads->producer == nullptr || order_of(heads->producer) != Order{1, 0, 2}) return nullptr;
    Var* source = variable(*heads->producer, "x");
    const auto from = source == nullptr ? std::nullopt : shape_of(*source);
    const Shape shape = *shape_of(*var);
    const bool rows = order == Order{0, 2, 1, 3};
    if (!rows || !from || shape != Shape{1, (*from)[1], (*from)[0], (*from)[2]}) return nullptr;
    const Binding extents = ints_binding({1, (*from)[0], (*from)[1], (*from)[2]});
    ops_.push_back(make_op("reshape", {{"x", source}, {"shape", extents}}, var->name + "_heads_last"));
    return ops_.back()->outputs[0].get();
  }

  // A number that the query was multiplied with goes into the scale.
  void take_factor(Match& match) const {
    const Op* mul = sole_producer(match.query, "mul");
    if (mul == nullptr) return;
    const bool first = variable(*mul, "x") != nullptr;
    Var* query = variable(*mul, first ? "x" : "y");
    const std::vector<float> factor = constant_floats(*mul, first ? "y" : "x");
    if (factor.size() != 1 || query == nullptr || shape_of(*query) != shape_of(*match.query)) return;
    match.scale *= static_cast<double>(factor[0]);
    match.query = query;
  }

  void emit(Op& op, const Match& match) {
    Var* query = heads_last(match.query, {0, 2, 1, 3});
    Var* key = heads_last(match.key, match.key_transposed ? Order{0, 2, 3, 1} : Order{0, 2, 1, 3});
    Var* value = heads_last(match.value, {0, 2, 1, 3});
    const bool last = query != nullptr && key != nullptr && value != nullptr;
    if (!last) {
      query = match.query;
      key = match.key;
      value = match.value;
      if (match.key_transposed) {
        ops_.push_back(make_op("transpose", {{"x", key}, {"perm", ints_binding({0, 1, 3, 2})}}, key->name + "_rows"));
        key = ops_.back()->outputs[0].get();
      }
    }
    std::vector<std::pair<std::string, Binding>> inputs = {{"query", query},
                                                           {"key", key},
                                                           {"value", value},
                                                           {"scale", float_binding(match.scale)},
                                                           {"heads_last", bool_binding(last)}};
    if (match.mask != nullptr) inputs.emplace_back("attn_mask", *match.mask);
    auto fused = make_op("tl.attention", std::move(inputs), op.label());
    if (!last) {
      give_output(*fused, std::move(op.outputs[0]));
      ops_.push_back(std::move(fused));
      return;
    }
    fused->outputs[0]->name = op.outputs[0]->name + "_heads_last";
    Var* result = fused->outputs[0].get();
    ops_.push_back(std::move(fused));
    // A transposition back by the reader cancels against ours.
    Op* user = uses_.only_user(*op.outputs[0]);
    const bool one_image = shape_of(*result)->front() == 1;
    if (user != nullptr && (order_of(user) == Order{0, 2, 1, 3} || (one_image && order_of(user) == Order{2, 0, 1, 3}))) {
      auto view = make_op("reshape", {{"x", result}, {"shape", ints_binding(*shape_of(*user->outputs[0]))}}, user->label());
      give_output(*view, std::move(user->outputs[0]));
      ops_.push_back(std::move(view));
      for (auto& other : function_.body.ops) {
        if (other.get() == user) {
          kept_.push_back(std::move(op.outputs[0]));
          other = nullptr;
        }
      }
      return;
    }
    auto back = make_op("transpose", {{"x", result}, {"perm", ints_binding({0, 2, 1, 3})}}, op.label());
    give_output(*back, std::move(op.outputs[0]));
    ops_.push_back(std::move(back));
  }

  Function& function_;
  Uses uses_;
  std::vector<std::unique_ptr<Op>> ops_;
  std::vector<std::unique_ptr<Var>> kept_;
};

}  // namespace

void fuse_attention(Function& function) { Fuser(function).run(); }

}  // namespace tl::pass
