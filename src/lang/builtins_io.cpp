#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdlib>

#include "lang/interpreter_impl.hpp"

namespace tl::lang {

namespace {

// Each `{}` or `{:.n}` takes the next argument.
std::string formatted(const std::string& pattern, const std::vector<Datum>& args, std::size_t next) {
  std::string text;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    int decimals = -1;
    std::size_t end = 0;
    if (pattern.compare(i, 2, "{}") == 0) {
      end = i + 1;
    } else if (pattern.compare(i, 3, "{:.") == 0) {
      end = pattern.find('}', i);
      const char* last = end == std::string::npos ? nullptr : pattern.data() + end;
      if (last == nullptr || std::from_chars(pattern.data() + i + 3, last, decimals).ptr != last || decimals < 0 ||
          decimals > 40)
        end = 0;
    }
    if (end == 0) {
      text += pattern[i];
      continue;
    }
    if (next >= args.size()) fail(ErrorKind::script, "more {{}} in the text than values after it");
    text += to_text(args[next++], false, decimals);
    i = end;
  }
  for (; next < args.size(); ++next) text += " " + to_text(args[next]);
  return text;
}

std::string joined(const std::vector<Datum>& args) {
  const auto* first = args.empty() ? nullptr : args[0].as<std::string>();
  if (first != nullptr && args.size() > 1 &&
      (first->find("{}") != std::string::npos || first->find("{:.") != std::string::npos)) {
    return formatted(*first, args, 1);
  }
  std::string text;
  for (std::size_t i = 0; i < args.size(); ++i) text += (i > 0 ? " " : "") + to_text(args[i]);
  return text;
}

Array& vector_of(Call& c) {
  const auto* a = c.args[0].as<ArrayPtr>();
  if (a == nullptr) fail(ErrorKind::invalid_argument, "{} needs an array, this is {}", c.name, type_name(c.args[0]));
  return **a;
}

std::size_t place_in(const Array& a, std::int64_t at) {
  const std::int64_t count = iz(a.items.size());
  if (at < -count || at >= count) fail(ErrorKind::script, "index {} is outside of {} elements", at, count);
  return uz(at < 0 ? at + count : at);
}

Datum checked_element(Call& c, const Array& a, const Datum& value) {
  if (a.kind == "IntVec") return c.session.integer(value, "an element of an IntVec");
  if (a.kind == "FloatVec") return c.session.number(value, "an element of a FloatVec");
  if (a.kind == "StringVec") return c.session.text(value, "an element of a StringVec");
  if (a.kind == "BoolVec") return c.session.truth(value, {});
  // A container that held itself, at any depth, could never be printed or freed.
  if (value.as<ArrayPtr>() != nullptr || value.as<ObjectPtr>() != nullptr) {
    fail(ErrorKind::unsupported, "{} into a plain array takes numbers, strings and tensors; use append(v, x)", c.name);
  }
  return value;
}

double gap(const Tensor& a, const Tensor& b) {
  double most = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) {
    const double one = std::abs(a.number_at(i) - b.number_at(i));
    if (a.number_at(i) == b.number_at(i)) continue;
    most = one <= most ? most : one;
    if (std::isnan(one)) return one;
  }
  return most;
}

}  // namespace

Datum builtin_print(Call& c) {
  c.session.out(joined(c.args) + "\n");
  return {};
}
Datum builtin_str(Call& c) { return to_text(c.args[0]); }
Datum builtin_panic(Call& c) { fail(ErrorKind::script, "panic: {}", joined(c.args)); }
Datum builtin_assert(Call& c) {
  if (!c.session.truth(c.args[0], {})) fail(ErrorKind::script, "assertion failed{}", c.has(1) ? ": " + to_text(c.args[1]) : "");
  return {};
}
Datum builtin_assert_eq(Call& c) {
  if (!c.session.equal(c.args[0], c.args[1]))
    fail(ErrorKind::script, "assertion failed: {} is not {}", to_text(c.args[0], true), to_text(c.args[1], true));
  return {};
}
Datum builtin_assert_about_eq(Call& c) {
  const double eps = c.number(2, 1e-3);
  const Tensor a = c.session.tensor(c.args[0], "a number or tensor", DType::f64)->data;
  const Tensor b = c.session.tensor(c.args[1], "a number or tensor", DType::f64)->data;
  if (a.shape() != b.shape())
    fail(ErrorKind::script, "assertion failed: the shapes are {} and {}", to_string(a.shape()), to_string(b.shape()));
  const double most = gap(a, b);
  if (!(most <= eps))
    fail(ErrorKind::script, "assertion failed: {} and {} differ by {:.6g}, more than {}", to_text(c.args[0]),
         to_text(c.args[1]), most, to_text(eps));
  return {};
}
Datum builtin_cleanup(Call&) { return {}; }
Datum builtin_input(Call& c) {
  if (c.has(0)) c.session.out(c.text(0));
  std::string line;
  if (!c.session.options.read || !c.session.options.read(line)) return std::string();
  return line;
}
Datum builtin_args(Call& c) {
  std::vector<Datum> items(c.session.options.args.begin(), c.session.options.args.end());
  return c.session.array(std::move(items), "StringVec");
}
Datum builtin_env(Call& c) {
  const char* value = std::getenv(c.text(0).c_str());
  return std::string(value == nullptr ? "" : value);
}
Datum builtin_now(Call&) { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
Datum builtin_to_int(Call& c) {
  if (const auto* s = c.args[0].as<std::string>()) {
    std::int64_t value = 0;
    const auto result = std::from_chars(s->data(), s->data() + s->size(), value);
    if (result.ec != std::errc() || result.ptr != s->data() + s->size()) fail(ErrorKind::script, "\"{}\" is no integer", *s);
    return value;
  }
  if (const auto* b = c.args[0].as<bool>()) return std::int64_t{*b ? 1 : 0};
  return convert_element<std::int64_t>(c.number(0));
}
Datum builtin_to_float(Call& c) {
  if (const auto* s = c.args[0].as<std::string>()) {
    double value = 0;
    const auto result = std::from_chars(s->data(), s->data() + s->size(), value);
    if (result.ec != std::errc() || result.ptr != s->data() + s->size()) fail(ErrorKind::script, "\"{}\" is no number", *s);
    return value;
  }
  return c.number(0);
}
Datum builtin_string_length(Call& c) { return iz(c.text(0).size()); }
Datum builtin_string_substring(Call& c) {
  const std::string s = c.text(0);
  const std::int64_t start = c.integer(1), length = c.integer(2);
  if (start < 0 || length < 0 || start > iz(s.size()))
    fail(ErrorKind::script, "bytes {} to {}+{} of a string of {}", start, start, length, s.size());
  return s.substr(uz(start), uz(length));
}
Datum builtin_repeat(Call& c) {
  const std::string s = c.text(0);
  const std::int64_t times = std::max<std::int64_t>(c.integer(1), 0);
  const std::int64_t size = checked_mul(iz(s.size()), times, "the string");
  if (size > (std::int64_t{1} << 28)) fail(ErrorKind::limit, "a string of more than 256 MiB");
  c.ops().budget().spend(static_cast<std::uint64_t>(times));
  std::string text;
  for (std::int64_t i = 0; i < times; ++i) text += s;
  return text;
}

Datum builtin_push(Call& c) {
  Array& a = vector_of(c);
  if (a.items.size() >= (std::size_t{1} << 26)) fail(ErrorKind::limit, "an array of more than 2^26 elements");
  a.items.push_back(checked_element(c, a, c.args[1]));
  a.charge(c.session.budget);
  return {};
}
Datum builtin_pop(Call& c) {
  Array& a = vector_of(c);
  if (a.items.empty()) fail(ErrorKind::script, "pop from an empty array");
  Datum last = std::move(a.items.back());
  a.items.pop_back();
  return last;
}
Datum builtin_set(Call& c) {
  Array& a = vector_of(c);
  a.items[place_in(a, c.integer(1))] = checked_element(c, a, c.args[2]);
  return {};
}
Datum builtin_get(Call& c) {
  const Array& a = vector_of(c);
  return a.items[place_in(a, c.integer(1))];
}
Datum builtin_clear(Call& c) {
  vector_of(c).items.clear();
  return {};
}
Datum builtin_is_empty(Call& c) { return vector_of(c).items.empty(); }
Datum builtin_append(Call& c) {
  const Array& a = vector_of(c);
  std::vector<Datum> items = a.items;
  items.push_back(c.args[1]);
  return c.session.array(std::move(items), a.kind.c_str());
}

}  // namespace tl::lang
