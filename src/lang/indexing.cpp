#include <algorithm>

#include "lang/interpreter_impl.hpp"

namespace tl::lang {

namespace {

struct Cut {
  std::int64_t begin = 0, end = 0;
  bool whole = true;  // a slice; else one entry, and the axis goes
};

std::int64_t entry(std::int64_t at, std::int64_t count) {
  if (at < -count || at >= count) fail(ErrorKind::script, "index {} is outside of {} elements", at, count);
  return at < 0 ? at + count : at;
}

}  // namespace

namespace {

Cut cut_of(Interpreter::Impl& session, const Expr& subscript, std::int64_t count) {
  Cut cut{0, count, true};
  if (subscript.kind != ExprKind::slice) {
    cut.begin = entry(session.integer(session.eval(subscript), "an index"), count);
    cut.end = cut.begin + 1;
    cut.whole = false;
    return cut;
  }
  const auto bound = [&](const ExprPtr& expr, std::int64_t fallback) {
    if (!expr) return fallback;
    const std::int64_t at = session.integer(session.eval(*expr), "a bound of the slice");
    return std::clamp<std::int64_t>(at < -count ? 0 : at < 0 ? at + count : at, 0, count);
  };
  cut.begin = bound(subscript.kids[0], 0);
  cut.end = std::max(cut.begin, bound(subscript.kids[1], count));
  return cut;
}

}  // namespace

Datum Interpreter::Impl::index(const Datum& object, const std::vector<const Expr*>& subscripts) {
  if (const auto* a = object.as<ArrayPtr>()) {
    const auto& items = (*a)->items;
    const Cut cut = cut_of(*this, *subscripts[0], iz(items.size()));
    if (!cut.whole) {
      const Datum& item = items[uz(cut.begin)];
      return subscripts.size() == 1 ? item : index(item, {subscripts.begin() + 1, subscripts.end()});
    }
    if (subscripts.size() > 1) fail(ErrorKind::script, "an array has one axis");
    return array({items.begin() + cut.begin, items.begin() + cut.end}, (*a)->kind.c_str());
  }
  if (const auto* s = object.as<std::string>()) {
    const Cut cut = cut_of(*this, *subscripts[0], iz(s->size()));
    return s->substr(uz(cut.begin), uz(cut.end - cut.begin));
  }
  if (const auto* m = object.as<std::shared_ptr<ModelBox>>()) {
    ModelBox inner = **m;
    inner.prefix += fmt::format(".{}", integer(eval(*subscripts[0]), "a layer's index"));
    return std::make_shared<ModelBox>(inner);
  }
  const auto* t = object.as<TensorPtr>();
  if (t == nullptr) fail(ErrorKind::script, "{} cannot be indexed", type_name(object));
  const Shape& shape = (*t)->data.shape();
  if (subscripts.size() > shape.size()) {
    fail(ErrorKind::script, "{} indices for a tensor of {} axes", subscripts.size(), shape.size());
  }
  std::vector<std::int64_t> begin(shape.size(), 0), end(shape), gone;
  Shape cut_shape;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i < subscripts.size()) {
      const Cut cut = cut_of(*this, *subscripts[i], shape[i]);
      begin[i] = cut.begin;
      end[i] = cut.end;
      if (!cut.whole) {
        gone.push_back(iz(i));
        continue;
      }
    }
    cut_shape.push_back(end[i] - begin[i]);
  }
  if (element_count(cut_shape) == 0) return ops.fill((*t)->data.dtype(), cut_shape, 0);
  TensorPtr part = ops.run("slice_by_index", {in("x", *t), in("begin", begin), in("end", end)});
  if (gone.empty()) return part;
  return ops.run("squeeze", {in("x", part), in("axes", gone)});
}

Datum Interpreter::Impl::eval_index(const Expr& expr) {
  const Expr& target = *expr.kids[0];
  if (target.kind == ExprKind::name && knowledge.embeddings.contains(target.text)) {
    const Expr& key = *expr.kids[1];
    const bool bare = key.kind == ExprKind::name && find(key.text) == nullptr;
    const Datum row = bare ? Datum(key.text) : eval(key);
    if (const auto* label = row.as<std::string>()) {
      const auto& names = knowledge.embeddings[target.text];
      const auto at = std::find(names.begin(), names.end(), *label);
      if (at == names.end()) fail(ErrorKind::script, "{} has no row '{}'", target.text, *label);
      Expr position;
      position.integer = at - names.begin();
      return index(eval(target), {&position});
    }
  }
  const Datum object = eval(target);
  std::vector<const Expr*> subscripts;
  for (std::size_t i = 1; i < expr.kids.size(); ++i) subscripts.push_back(expr.kids[i].get());
  return index(object, subscripts);
}

void Interpreter::Impl::assign_index(const Expr& target, Datum value) {
  const Datum object = eval(*target.kids[0]);
  at_place(target.place, [&] {
    if (const auto* a = object.as<ArrayPtr>()) {
      auto copy = std::make_shared<Array>(**a);
      const Cut cut = cut_of(*this, *target.kids[1], iz(copy->items.size()));
      if (target.kids.size() > 2 || cut.whole) fail(ErrorKind::script, "one element of an array can be set at a time");
      if (const auto* inner = value.as<ArrayPtr>(); inner != nullptr && *inner == *a) value = std::make_shared<Array>(**inner);
      if ((*a)->kind.ends_with("Vec")) {
        if (value.as<ArrayPtr>() != nullptr || value.as<ObjectPtr>() != nullptr)
          fail(ErrorKind::script, "an element of {} is a plain value", (*a)->kind);
        (*a)->items[uz(cut.begin)] = std::move(value);
        return;
      }
      budget->spend(copy->items.size());
      copy->items[uz(cut.begin)] = std::move(value);
      assign(*target.kids[0], copy);
      return;
    }
    const auto* t = object.as<TensorPtr>();
    if (t == nullptr) fail(ErrorKind::script, "{} cannot be indexed", type_name(object));
    const Shape& shape = (*t)->data.shape();
    if (target.kids.size() - 1 > shape.size())
      fail(ErrorKind::script, "{} indices for a tensor of {} axes", target.kids.size() - 1, shape.size());
    std::vector<std::int64_t> begin(shape.size(), 0), end(shape);
    Shape part, kept;
    for (std::size_t i = 0; i < shape.size(); ++i) {
      bool whole = true;
      if (i + 1 < target.kids.size()) {
        const Cut cut = cut_of(*this, *target.kids[i + 1], shape[i]);
        begin[i] = cut.begin;
        end[i] = cut.end;
        whole = cut.whole;
      }
      part.push_back(end[i] - begin[i]);
      if (whole) kept.push_back(part.back());
    }
    const DType dtype = (*t)->data.dtype();
    TensorPtr update = ops.cast(tensor(value, "the value", dtype), dtype);
    if (element_count(part) == 0) return;
    if (update->data.shape() != kept) update = ops.binary("add", ops.fill(dtype, kept, 0), update);
    update = ops.reshape(update, part);
    assign(*target.kids[0], ops.run("slice_update", {in("x", *t), in("update", update), in("begin", begin), in("end", end)}));
  });
}

}  // namespace tl::lang
