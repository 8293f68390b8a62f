#include <cmath>
#include <map>
#include <optional>

#include "ir/op_def.hpp"

namespace tl::op {

using namespace ir;

namespace {

constexpr DTypeSet keys = dt::string | dt::of(DType::i64);

void expect_list(const Infer& c, std::string_view param) {
  if (c.dims(param).size() != 1) c.reject(param, "expected a list, got shape {}", to_string(c.dims(param)));
}

// True when element `i` of a list of keys is the only element of `key`. A number is the text that spells it.
bool matches(const Tensor& list, std::size_t i, const Tensor& key) {
  const bool listed_text = list.dtype() == DType::string, text = key.dtype() == DType::string;
  if (listed_text != text) {
    const std::string number = std::to_string(listed_text ? key.integer_at(0) : list.integer_at(iz(i)));
    return number == (listed_text ? list.strings()[i] : key.strings()[0]);
  }
  return text ? key.strings()[0] == list.strings()[i] : key.integer_at(0) == list.integer_at(iz(i));
}

std::optional<std::size_t> place_of(const Tensor& list, const Tensor& key) {
  if (key.size() != 1) return std::nullopt;
  for (std::size_t i = 0; i < uz(list.size()); ++i) {
    if (matches(list, i, key)) return i;
  }
  return std::nullopt;
}

std::string text_of(const Tensor& key) {
  return key.dtype() == DType::string ? "'" + key.strings()[0] + "'" : std::to_string(key.integer_at(0));
}

void one_hot_parameters(OpDef& op) {
  op.in("x", keys);
  op.in("categories", keys).constant();
  op.in("ignore_unknown", dt::boolean).constant().def(false);
}

void check_one_hot(const Infer& c) {
  expect_list(c, "categories");
  if (c.dtype("x") != c.dtype("categories"))
    c.reject("x", "{} among categories of {}", name(c.dtype("x")), name(c.dtype("categories")));
}

std::optional<std::size_t> hot(const Eval& c) {
  const auto place = place_of(c.in("categories"), c.in("x"));
  if (!place && !c.boolean("ignore_unknown")) c.reject("x", "{} is no category", text_of(c.in("x")));
  return place;
}

}  // namespace

// A vector with 1 at the place of the category, else 0.
TL_OP(tl_one_hot_category) {
  one_hot_parameters(op);
  op.infer = [](Infer& c) {
    check_one_hot(c);
    c.out(DType::f64, {c.dims("categories")[0]});
  };
  op.eval = [](Eval& c) {
    std::vector<double> values(uz(c.in("categories").size()), 0);
    if (const auto place = hot(c)) values[*place] = 1;
    c.store(0, values);
  };
}

// The same as a dictionary from place to 1.
TL_OP(tl_one_hot_dictionary) {
  one_hot_parameters(op);
  op.infer = [](Infer& c) {
    check_one_hot(c);
    c.out(DictType{std::make_shared<const Type>(DType::i64, Dims{}), std::make_shared<const Type>(DType::f64, Dims{})});
  };
  op.eval = [](Eval& c) {
    Dict dict;
    if (const auto place = hot(c)) dict.items.emplace_back(Tensor::scalar(iz(*place)), Tensor::scalar(1.0));
    c.set(0, std::move(dict));
  };
}

// The value of a key; `fallback` of others, which without it are refused.
TL_OP(tl_map_category) {
  op.in("x", keys);
  op.in("keys", keys).constant();
  op.in("values", keys).constant();
  op.in("fallback", keys).optional();
  op.infer = [](Infer& c) {
    expect_list(c, "keys");
    expect_list(c, "values");
    if (c.dims("keys") != c.dims("values"))
      c.reject("values", "shape {} for keys {}", to_string(c.dims("values")), to_string(c.dims("keys")));
    if (c.dtype("x") != c.dtype("keys")) c.reject("x", "{} among keys of {}", name(c.dtype("x")), name(c.dtype("keys")));
    if (c.has("fallback") && c.dtype("fallback") != c.dtype("values"))
      c.reject("fallback", "{} among values of {}", name(c.dtype("fallback")), name(c.dtype("values")));
    c.out(c.dtype("values"), {});
  };
  op.eval = [](Eval& c) {
    const Tensor values = c.in("values");
    const auto place = place_of(c.in("keys"), c.in("x"));
    if (!place && !c.has("fallback")) c.reject("x", "{} is not mapped", text_of(c.in("x")));
    if (!place) return c.set(0, c.in("fallback"));
    if (values.dtype() == DType::string) return c.set(0, Tensor::scalar(values.strings()[*place]));
    c.set(0, Tensor::scalar(values.integer_at(iz(*place))));
  };
}

// The numbers of a dictionary in the order of `keys`; 0 for keys that it lacks.
TL_OP(tl_dictionary_vector) {
  op.in("x", dt::any).any_kind();
  op.in("keys", keys).constant();
  op.infer = [](Infer& c) {
    expect_list(c, "keys");
    if (c.type("x").as<DictType>() == nullptr) c.reject("x", "expected a dictionary, got {}", to_string(c.type("x")));
    c.out(DType::f64, {c.dims("keys")[0]});
  };
  op.eval = [](Eval& c) {
    const Tensor list = c.in("keys");
    std::vector<double> values(uz(list.size()), 0);
    for (const auto& [key, value] : c.value("x").dict().items) {
      const auto place = place_of(list, key.tensor());
      if (!place) continue;
      if (value.tensor().size() != 1 || value.tensor().dtype() == DType::string)
        c.reject("x", "{} has no number", text_of(key.tensor()));
      values[*place] = value.tensor().number_at(0);
    }
    c.store(0, values);
  };
}

// A dictionary with the `values` of those `keys` that it lacks or that are NaN in it; they follow what it has.
TL_OP(tl_impute_dictionary) {
  op.in("x", dt::any).any_kind();
  op.in("keys", keys).constant();
  op.in("values", dt::of(DType::f64)).constant();
  op.infer = [](Infer& c) {
    expect_list(c, "keys");
    if (c.dims("keys") != c.dims("values"))
      c.reject("values", "shape {} for keys {}", to_string(c.dims("values")), to_string(c.dims("keys")));
    const Type type = c.type("x");
    const DictType* dict = type.as<DictType>();
    if (dict == nullptr || !dict->key->is_tensor() || dict->key->tensor().dtype != c.dtype("keys"))
      c.reject("x", "expected a dictionary by {}, got {}", name(c.dtype("keys")), to_string(type));
    c.out(type);
  };
  op.eval = [](Eval& c) {
    const Tensor list = c.in("keys"), values = c.in("values");
    const auto spelled = [](const Tensor& key, std::int64_t i) {
      return key.dtype() == DType::string ? key.strings()[uz(i)] : std::to_string(key.integer_at(i));
    };
    std::map<std::string, double> missing;
    for (std::int64_t i = 0; i < list.size(); ++i) missing[spelled(list, i)] = values.number_at(i);
    Dict dict = c.value("x").dict();
    for (auto& [key, value] : dict.items) {
      if (key.tensor().size() != 1 || value.tensor().size() != 1 || value.tensor().dtype() == DType::string)
        c.reject("x", "an entry is not a key and a number");
      const auto found = missing.find(spelled(key.tensor(), 0));
      if (found == missing.end()) continue;
      if (std::isnan(value.tensor().number_at(0))) value = Tensor::scalar(found->second);
      missing.erase(found);
    }
    for (std::int64_t i = 0; i < list.size(); ++i) {
      const auto found = missing.find(spelled(list, i));
      if (found == missing.end()) continue;
      const Tensor key =
          list.dtype() == DType::string ? Tensor::scalar(list.strings()[uz(i)]) : Tensor::scalar(list.integer_at(i));
      dict.items.emplace_back(key, Tensor::scalar(found->second));
      missing.erase(found);
    }
    c.set(0, std::move(dict));
  };
}

}  // namespace tl::op
