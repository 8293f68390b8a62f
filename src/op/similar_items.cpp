#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>

#include "ir/op_def.hpp"

namespace tl::op {

using namespace ir;

namespace {

// Places of ids, as numbers or text.
class Ids {
 public:
  explicit Ids(Tensor ids) : ids_(std::move(ids)) {
    for (std::int64_t i = 0; i < ids_.size(); ++i) {
      if (ids_.dtype() == DType::string) {
        texts_.emplace(ids_.strings()[uz(i)], i);
      } else {
        numbers_.emplace(ids_.integer_at(i), i);
      }
    }
  }
  // -1: no such item.
  std::int64_t place(const Tensor& list, std::int64_t i) const {
    if ((list.dtype() == DType::string) != (ids_.dtype() == DType::string)) return -1;
    if (list.dtype() == DType::string) {
      const auto found = texts_.find(list.strings()[uz(i)]);
      return found == texts_.end() ? -1 : found->second;
    }
    const auto found = numbers_.find(list.integer_at(i));
    return found == numbers_.end() ? -1 : found->second;
  }
  Tensor chosen(const std::vector<std::int64_t>& places) const {
    if (ids_.dtype() == DType::string) {
      std::vector<std::string> result;
      for (const std::int64_t place : places) result.push_back(ids_.strings()[uz(place)]);
      return Tensor::of_strings({iz(places.size())}, std::move(result));
    }
    Tensor result(DType::i64, {iz(places.size())});
    auto out = result.mutable_values<std::int64_t>();
    for (std::size_t i = 0; i < places.size(); ++i) out[i] = ids_.integer_at(places[i]);
    return result;
  }

 private:
  Tensor ids_;
  std::unordered_map<std::string, std::int64_t> texts_;
  std::unordered_map<std::int64_t, std::int64_t> numbers_;
};

}  // namespace

// Items similar to those of x (ids with scores, or a list of ids that score 1 each), best first, equal ones by place:
//   score(k) = sum over i in x of similarity(i, k) (score(i) - shift(k))
// Row i of the similarities holds the entries [row_begin[i], row_begin[i + 1]) of `similar` (places in `ids`) and `similarity`.
// At most `count` of them (a negative number or none: all), only those of `restrict`, without those of `exclude` (not given,
// which an empty List says: without those of x). Outputs: ids, scores, a dictionary of both.
TL_OP(tl_similar_items) {
  constexpr DTypeSet keys = dt::string | dt::of(DType::i64);
  constexpr DTypeSet f64 = dt::of(DType::f64);
  op.in("x", dt::any).any_kind();
  op.in("count", f64).optional();
  op.in("restrict", dt::any).any_kind().optional();
  op.in("exclude", dt::any).any_kind().optional();
  op.in("ids", keys).constant();
  op.in("row_begin", dt::i32).constant();
  op.in("similar", dt::i32).constant();
  op.in("similarity", f64).constant();
  op.in("shift", f64).constant();
  op.infer = [](Infer& c) {
    const Dims ids = c.dims("ids"), rows = c.dims("row_begin"), entries = c.dims("similar");
    for (const char* param : {"ids", "row_begin", "similar", "similarity", "shift"}) {
      if (c.dims(param).size() != 1) c.reject(param, "expected a list, got shape {}", to_string(c.dims(param)));
    }
    const std::int64_t items = ids[0].extent();
    if (rows[0] != Dim(items + 1)) c.reject("row_begin", "{} entries for {} items", rows[0].extent(), items);
    if (c.dims("shift") != ids) c.reject("shift", "{} entries for {} items", c.dims("shift")[0].extent(), items);
    if (c.dims("similarity") != entries)
      c.reject("similarity", "shape {} for {}", to_string(c.dims("similarity")), to_string(entries));
    std::int64_t last = 0;
    const Tensor begins = c.known("row_begin");
    for (const std::int32_t begin : begins.values<std::int32_t>()) {
      if (begin < last || begin > entries[0].extent())
        c.reject("row_begin", "{} after {}, of {}", begin, last, entries[0].extent());
      last = begin;
    }
    const Tensor similar = c.known("similar");
    for (const std::int32_t place : similar.values<std::int32_t>()) {
      if (place < 0 || place >= items) c.reject("similar", "{} of {} items", place, items);
    }
    const Type id(c.dtype("ids"), {});
    c.out(c.dtype("ids"), {Dim::unknown()});
    c.out(DType::f64, {Dim::unknown()});
    c.out(DictType{std::make_shared<const Type>(id), std::make_shared<const Type>(DType::f64, Dims{})});
  };
  op.eval = [](Eval& c) {
    const Ids ids(c.in("ids"));
    const std::vector<std::int64_t> begin = c.integers("row_begin"), similar = c.integers("similar");
    const std::vector<double> similarity = c.doubles("similarity"), shift = c.doubles("shift");
    const std::size_t items = shift.size();
    std::vector<double> score(items, 0);
    std::vector<bool> allowed(items, true), seen(items, false);
    const auto add = [&](std::int64_t item, double given) {
      if (item < 0) return;
      seen[uz(item)] = true;
      for (std::int64_t i = begin[uz(item)]; i < begin[uz(item) + 1]; ++i) {
        const std::size_t k = uz(similar[uz(i)]);
        score[k] += similarity[uz(i)] * (given - shift[k]);
      }
    };
    if (const Value& x = c.value("x"); x.is_dict()) {
      for (const auto& [key, value] : x.dict().items) {
        if (key.tensor().size() != 1 || value.tensor().size() != 1 || value.tensor().dtype() == DType::string)
          c.reject("x", "an item needs one id and one score");
        add(ids.place(key.tensor(), 0), value.tensor().number_at(0));
      }
    } else {
      for (std::int64_t i = 0; i < x.tensor().size(); ++i) add(ids.place(x.tensor(), i), 1);
    }
    const auto listed = [&](std::string_view param) {
      std::vector<bool> result(items, false);
      const Tensor& list = c.value(param).tensor();
      for (std::int64_t i = 0; i < list.size(); ++i) {
        if (const std::int64_t place = ids.place(list, i); place >= 0) result[uz(place)] = true;
      }
      return result;
    };
    const auto is_given = [&](std::string_view param) { return c.has(param) && c.value(param).is_tensor(); };
    if (is_given("restrict")) allowed = listed("restrict");
    const std::vector<bool> excluded = is_given("exclude") ? listed("exclude") : seen;
    std::vector<std::int64_t> order;
    for (std::size_t i = 0; i < items; ++i) {
      if (allowed[i] && !excluded[i]) order.push_back(iz(i));
    }
    const auto better = [&](std::int64_t a, std::int64_t b) {
      const double x = score[uz(a)], y = score[uz(b)];
      return std::isnan(y) ? !std::isnan(x) : x > y;
    };
    std::stable_sort(order.begin(), order.end(), better);
    const double most = c.has("count") ? c.number("count") : -1;
    if (most >= 0 && most < static_cast<double>(order.size())) order.resize(static_cast<std::size_t>(most));
    const Tensor best = ids.chosen(order);
    Tensor scores(DType::f64, {iz(order.size())});
    Dict both;
    for (std::size_t i = 0; i < order.size(); ++i) {
      scores.mutable_values<double>()[i] = score[uz(order[i])];
      const std::vector<std::int64_t> one{order[i]};
      both.items.emplace_back(ids.chosen(one).reshaped({}), Tensor::scalar(score[uz(order[i])]));
    }
    c.set(0, best);
    c.set(1, std::move(scores));
    c.set(2, std::move(both));
  };
}

}  // namespace tl::op
