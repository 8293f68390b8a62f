#include <algorithm>
#include <cmath>

#include "lang/interpreter_impl.hpp"

namespace tl::lang {

Datum Interpreter::Impl::array(std::vector<Datum> items, const char* kind) {
  budget->spend(items.size());
  auto result = std::make_shared<Array>();
  result->kind = kind;
  result->items = std::move(items);
  result->charge(budget);
  return result;
}

Datum Interpreter::Impl::integers(const std::vector<std::int64_t>& values) { return array({values.begin(), values.end()}); }

bool Interpreter::Impl::is_tensor_like(const Datum& value) const {
  if (value.as<TensorPtr>() != nullptr) return true;
  const auto* a = value.as<ArrayPtr>();
  return a != nullptr && !(*a)->items.empty() && std::all_of((*a)->items.begin(), (*a)->items.end(), [](const Datum& d) {
           return d.is_number() || d.as<bool>() != nullptr;
         });
}

TensorPtr Interpreter::Impl::tensor(const Datum& value, const char* what, DType number_type) {
  if (const auto* t = value.as<TensorPtr>()) return *t;
  if (const auto* i = value.as<std::int64_t>()) {
    return ops.box(is_floating(number_type) ? Tensor::scalar(static_cast<double>(*i)).cast(number_type)
                                            : Tensor::scalar(*i).cast(number_type));
  }
  if (const auto* f = value.as<double>()) return ops.box(Tensor::scalar(*f).cast(number_type));
  if (const auto* b = value.as<bool>()) return ops.box(Tensor::scalar(*b));
  if (const auto* a = value.as<ArrayPtr>()) {
    const auto& items = (*a)->items;
    const bool flags = !items.empty() && items[0].as<bool>() != nullptr;
    const DType dtype = flags ? DType::boolean : number_type;
    budget->reserve(items.size() * 8);
    Tensor out(dtype, {iz(items.size())});
    visit_dtype(dtype, [&](auto element) {
      using T = decltype(element);
      auto values = out.mutable_values<T>();
      for (std::size_t i = 0; i < items.size(); ++i) {
        if (const auto* integer = items[i].as<std::int64_t>()) {
          values[i] = convert_element<T>(*integer);
        } else if (const auto* number = items[i].as<double>()) {
          values[i] = convert_element<T>(*number);
        } else if (const auto* flag = items[i].as<bool>()) {
          values[i] = convert_element<T>(*flag ? 1 : 0);
        } else if (const auto* t = items[i].as<TensorPtr>(); t != nullptr && (*t)->data.size() == 1) {
          values[i] = convert_element<T>((*t)->data.number_at(0));
        } else {
          fail(ErrorKind::invalid_argument, "{} is needed, an element of the array is {}", what, type_name(items[i]));
        }
      }
    });
    return ops.box(std::move(out));
  }
  fail(ErrorKind::invalid_argument, "{} is needed, this is {}", what, type_name(value));
}

std::int64_t Interpreter::Impl::integer(const Datum& value, const char* what) {
  if (const auto* i = value.as<std::int64_t>()) return *i;
  if (const auto* t = value.as<TensorPtr>(); t != nullptr && (*t)->data.size() == 1 && (*t)->data.dtype() != DType::string) {
    const double number = (*t)->data.number_at(0);
    if (is_integer((*t)->data.dtype())) return (*t)->data.integer_at(0);
    if (number == std::floor(number) && std::abs(number) < 9e15) return static_cast<std::int64_t>(number);
  }
  if (const auto* f = value.as<double>(); f != nullptr && *f == std::floor(*f) && std::abs(*f) < 9e15)
    return static_cast<std::int64_t>(*f);
  fail(ErrorKind::invalid_argument, "{} must be an integer, this is {}", what, type_name(value));
}

double Interpreter::Impl::number(const Datum& value, const char* what) {
  if (const auto* i = value.as<std::int64_t>()) return static_cast<double>(*i);
  if (const auto* f = value.as<double>()) return *f;
  if (const auto* t = value.as<TensorPtr>(); t != nullptr && (*t)->data.size() == 1 && (*t)->data.dtype() != DType::string) {
    return (*t)->data.number_at(0);
  }
  fail(ErrorKind::invalid_argument, "{} must be a number, this is {}", what, type_name(value));
}

std::string Interpreter::Impl::text(const Datum& value, const char* what) {
  if (const auto* s = value.as<std::string>()) return *s;
  fail(ErrorKind::invalid_argument, "{} must be a string, this is {}", what, type_name(value));
}

Shape Interpreter::Impl::shape_of(const Datum& value, const char* what) {
  if (value.is_number()) return {integer(value, what)};
  Shape shape;
  for (const Datum& item : elements(value, what)) shape.push_back(integer(item, what));
  if (shape.size() > 32) fail(ErrorKind::limit, "{} has {} dimensions, more than 32", what, shape.size());
  return shape;
}

bool Interpreter::Impl::truth(const Datum& value, const Place& place) {
  if (const auto* b = value.as<bool>()) return *b;
  if (const auto* t = value.as<TensorPtr>(); t != nullptr && (*t)->data.size() == 1 && (*t)->data.dtype() != DType::string) {
    return (*t)->data.number_at(0) != 0;
  }
  fail_at(place, "a condition must be true or false, this is {}", type_name(value));
}

Datum Interpreter::Impl::negate(const Datum& value) {
  if (const auto* i = value.as<std::int64_t>()) return checked_mul<std::int64_t>(*i, -1, "the integer");
  if (const auto* f = value.as<double>()) return -*f;
  TensorPtr x = tensor(value, "a number or tensor");
  return ops.binary("mul", x, tensor(Datum(std::int64_t{-1}), "", is_integer(x->data.dtype()) ? DType::i32 : x->data.dtype()));
}

namespace {

std::int64_t integer_power(std::int64_t base, std::int64_t exponent) {
  std::int64_t result = 1;
  while (exponent > 0) {
    if (exponent % 2 == 1) result = checked_mul(result, base, "the integer");
    exponent /= 2;
    if (exponent > 0) base = checked_mul(base, base, "the integer");
  }
  return result;
}

template <class T>
bool compare(const std::string& op, const T& a, const T& b) {
  if (op == "==") return a == b;
  if (op == "!=") return a != b;
  if (op == "<") return a < b;
  if (op == "<=") return a <= b;
  if (op == ">") return a > b;
  return a >= b;
}

bool is_comparison(const std::string& op) {
  return op == "==" || op == "!=" || op == "<" || op == "<=" || op == ">" || op == ">=";
}

std::string mil_name(const std::string& op) {
  static const std::map<std::string, std::string> names = {
      {"+", "add"},        {"-", "sub"},  {"*", "mul"},         {"/", "real_div"}, {"**", "pow"},          {"==", "equal"},
      {"!=", "not_equal"}, {"<", "less"}, {"<=", "less_equal"}, {">", "greater"},  {">=", "greater_equal"}};
  const auto found = names.find(op);
  if (found == names.end()) fail(ErrorKind::script, "'{}' does not apply here", op);
  return found->second;
}

Datum integer_arithmetic(const std::string& op, std::int64_t a, std::int64_t b) {
  if (op == "+") return checked_add(a, b, "the integer");
  if (op == "-") {
    std::int64_t result = 0;
    if (__builtin_sub_overflow(a, b, &result)) fail(ErrorKind::limit, "the integer overflows");
    return result;
  }
  if (op == "*") return checked_mul(a, b, "the integer");
  if (op == "/" || op == "%") {
    if (b == 0) fail(ErrorKind::script, "division by zero");
    if (b == -1) return op == "/" ? Datum(checked_mul<std::int64_t>(a, -1, "the integer")) : Datum(std::int64_t{0});
    return op == "/" ? a / b : a % b;
  }
  if (op == "**") return b >= 0 ? Datum(integer_power(a, b)) : Datum(std::pow(static_cast<double>(a), static_cast<double>(b)));
  if (op == "≈") return a == b;
  if (is_comparison(op)) return compare(op, a, b);
  fail(ErrorKind::script, "'{}' needs tensors", op);
}

Datum float_arithmetic(const std::string& op, double a, double b) {
  if (op == "+") return a + b;
  if (op == "-") return a - b;
  if (op == "*") return a * b;
  if (op == "/" || op == "%") {
    if (b == 0) fail(ErrorKind::script, "division by zero");
    return op == "/" ? a / b : std::fmod(a, b);
  }
  if (op == "**") return std::pow(a, b);
  if (op == "≈") return std::abs(a - b) <= 1e-3;
  if (is_comparison(op)) return compare(op, a, b);
  fail(ErrorKind::script, "'{}' needs tensors", op);
}

}  // namespace

Datum Interpreter::Impl::arithmetic(const std::string& op, const Datum& a, const Datum& b) {
  if (a.is_number() && b.is_number()) {
    const auto* ai = a.as<std::int64_t>();
    const auto* bi = b.as<std::int64_t>();
    if (ai != nullptr && bi != nullptr) return integer_arithmetic(op, *ai, *bi);
    return float_arithmetic(op, number(a, ""), number(b, ""));
  }
  const auto* as = a.as<std::string>();
  const auto* bs = b.as<std::string>();
  if (as != nullptr && bs != nullptr) {
    if (op == "+") {
      budget->reserve(as->size() + bs->size());
      budget->spend((as->size() + bs->size()) / 8);
      if (as->size() + bs->size() > (std::size_t{1} << 28)) fail(ErrorKind::limit, "a string of more than 256 MiB");
      return *as + *bs;
    }
    if (is_comparison(op)) return compare(op, *as, *bs);
    fail(ErrorKind::script, "'{}' does not apply to strings", op);
  }
  if (!(is_tensor_like(a) || a.is_number()) || !(is_tensor_like(b) || b.is_number())) {
    if (op == "==") return equal(a, b);
    if (op == "!=") return !equal(a, b);
    fail(ErrorKind::script, "'{}' does not apply to {} and {}", op, type_name(a), type_name(b));
  }
  const auto* ta = a.as<TensorPtr>();
  const auto* tb = b.as<TensorPtr>();
  // Two plain arrays compare as values, not element by element.
  if (ta == nullptr && tb == nullptr && (op == "==" || op == "!=") && !a.is_number() && !b.is_number())
    return equal(a, b) == (op == "==");
  // A number takes the type of the tensor beside it; a fraction turns an integer tensor into float16.
  const auto type_beside = [&](const TensorPtr* other, const Datum& own) {
    if (other == nullptr) return DType::f16;
    const DType t = (*other)->data.dtype();
    if (is_floating(t)) return t;
    return own.as<double>() == nullptr && is_integer(t) ? DType::i32 : DType::f16;
  };
  TensorPtr x = tensor(a, "a number or tensor", type_beside(tb, a));
  TensorPtr y = tensor(b, "a number or tensor", type_beside(ta, b));
  if (op == "@") return ops.matmul(x, y);
  if (op == "⊗") {
    Shape left = x->data.shape();
    left.insert(left.end(), y->data.rank(), 1);
    return ops.binary("mul", ops.reshape(x, left), y);
  }
  if (op == "≈") {
    TensorPtr gap = ops.unary("abs", ops.binary("sub", ops.cast(x, DType::f32), ops.cast(y, DType::f32)));
    return ops.binary("less_equal", gap, ops.box(Tensor::scalar(1e-3F)));
  }
  if (op == "%") {  // the sign of the left side: MIL's mod has that of the right one
    TensorPtr positive = ops.binary("mod", ops.unary("abs", x), ops.unary("abs", y));
    return ops.binary("mul", positive, ops.unary("sign", x));
  }
  return ops.binary(mil_name(op), x, y);
}

bool Interpreter::Impl::equal(const Datum& a, const Datum& b) {
  if (a.is_number() && b.is_number()) {
    const auto* ai = a.as<std::int64_t>();
    const auto* bi = b.as<std::int64_t>();
    return ai != nullptr && bi != nullptr ? *ai == *bi : number(a, "") == number(b, "");
  }
  if (a.as<TensorPtr>() != nullptr || b.as<TensorPtr>() != nullptr) {
    if (!(is_tensor_like(a) || a.is_number()) || !(is_tensor_like(b) || b.is_number())) return false;
    const Tensor x = tensor(a)->data;
    const Tensor y = tensor(b)->data;
    if (x.shape() != y.shape()) return false;
    for (std::int64_t i = 0; i < x.size(); ++i) {
      if (x.number_at(i) != y.number_at(i)) return false;
    }
    return true;
  }
  const auto* aa = a.as<ArrayPtr>();
  const auto* ba = b.as<ArrayPtr>();
  if (aa != nullptr && ba != nullptr) {
    check_stack({});
    budget->spend((*aa)->items.size());
    return std::equal((*aa)->items.begin(), (*aa)->items.end(), (*ba)->items.begin(), (*ba)->items.end(),
                      [&](const Datum& x, const Datum& y) { return equal(x, y); });
  }
  const auto* ao = a.as<ObjectPtr>();
  const auto* bo = b.as<ObjectPtr>();
  if (ao != nullptr && bo != nullptr) {
    check_stack({});
    budget->spend(1);
    return (*ao)->type == (*bo)->type &&
           std::equal((*ao)->fields.begin(), (*ao)->fields.end(), (*bo)->fields.begin(), (*bo)->fields.end(),
                      [&](const auto& x, const auto& y) { return equal(x.second, y.second); });
  }
  if (a.data.index() != b.data.index()) return false;
  if (const auto* s = a.as<std::string>()) return *s == *b.as<std::string>();
  if (const auto* f = a.as<bool>()) return *f == *b.as<bool>();
  return a.is_void();
}

// Shape and element type of a declaration; named dimensions must agree within one call.
Datum Interpreter::Impl::fit_tensor(TensorPtr value, const TypeSpec& type, const std::string& what) {
  if (const auto dtype = dtype_of_type(type.name)) value = ops.cast(value, *dtype);
  if (!type.has_dims) return value;
  const auto fits = [&](const Shape& shape) {
    if (shape.size() != type.dims.size()) return false;
    for (std::size_t i = 0; i < shape.size(); ++i) {
      const DimSpec& dim = type.dims[i];
      if (dim.kind == DimSpec::fixed && dim.extent != shape[i]) return false;
      if (dim.kind != DimSpec::named) continue;
      const auto known = frames.back().dims.find(dim.name);
      if (known != frames.back().dims.end() && known->second != shape[i]) {
        fail(ErrorKind::script, "{}: the dimension {} is {}, elsewhere in this call {}", what, dim.name, shape[i],
             known->second);
      }
      if (frames.back().fn != nullptr) frames.back().dims[dim.name] = shape[i];
    }
    return true;
  };
  if (fits(value->data.shape())) return value;
  Shape wanted;
  std::string text;
  bool fixed = true;
  for (const DimSpec& dim : type.dims) {
    fixed = fixed && dim.kind == DimSpec::fixed;
    wanted.push_back(dim.extent);
    text += (text.empty() ? "" : ", ") + (dim.kind == DimSpec::fixed ? fmt::format("{}", dim.extent)
                                          : dim.kind == DimSpec::any ? "?"
                                                                     : dim.name);
  }
  if (fixed && element_count(wanted) == value->data.size()) return ops.reshape(value, wanted);
  fail(ErrorKind::script, "{}: the shape is {}, expected [{}]", what, tl::to_string(value->data.shape()), text);
}

Datum Interpreter::Impl::convert(const Datum& value, const TypeSpec& type, const std::string& what) {
  const std::string& name = type.name;
  if (type.has_dims || (name == "Tensor" && (is_tensor_like(value) || value.is_number()))) {
    const auto dtype = dtype_of_type(name);
    if (!dtype && name != "Tensor" && name != "tensor") fail(ErrorKind::script, "{}: unknown element type '{}'", what, name);
    return fit_tensor(tensor(value, what.c_str(), dtype.value_or(DType::f16)), type, what);
  }
  const auto mismatch = [&]() { fail(ErrorKind::script, "{}: {} expected, this is {}", what, name, type_name(value)); };
  if (name == "int" || name == "i32" || name == "i64" || name == "int32" || name == "int64" || name == "int16") {
    if (what != "as" || value.as<std::string>() != nullptr) return integer(value, what.c_str());
    if (const auto* t = value.as<TensorPtr>(); t != nullptr && (*t)->data.rank() > 0) return ops.cast(*t, DType::i32);
    if (const auto* b = value.as<bool>()) return std::int64_t{*b ? 1 : 0};
    return convert_element<std::int64_t>(number(value, "the value"));
  }
  if (name == "float" || name == "f32" || name == "f64" || name == "f16" || name == "float16" || name == "float32" ||
      name == "float64") {
    const auto dtype = dtype_of_type(name);
    if (const auto* t = value.as<TensorPtr>()) return dtype ? Datum(ops.cast(*t, *dtype)) : value;
    if (what == "as" && is_tensor_like(value)) return ops.cast(tensor(value), dtype.value_or(DType::f32));
    const double plain = value.as<bool>() != nullptr ? (*value.as<bool>() ? 1 : 0) : number(value, what.c_str());
    return dtype ? Tensor::scalar(plain).cast(*dtype).number_at(0) : plain;
  }
  if (name == "bool") {
    if (value.as<bool>() == nullptr && !(value.as<TensorPtr>() != nullptr && (*value.as<TensorPtr>())->data.size() == 1))
      mismatch();
    return truth(value, type.place);
  }
  if (name == "string" || name == "entity" || name == "concept" || knowledge.entities.contains(name)) {
    if (value.as<std::string>() == nullptr) mismatch();
    return value;
  }
  if (structs.contains(name)) {
    const auto* object = value.as<ObjectPtr>();
    if (object == nullptr || (*object)->type != name) mismatch();
  }
  return value;
}

std::vector<Datum> Interpreter::Impl::elements(const Datum& value, const char* what) {
  if (const auto* a = value.as<ArrayPtr>()) return (*a)->items;
  std::vector<Datum> items;
  if (const auto* t = value.as<TensorPtr>(); t != nullptr && (*t)->data.rank() > 0) {
    const std::int64_t count = (*t)->data.dim(0);
    const bool whole = is_integer((*t)->data.dtype()) && (*t)->data.rank() == 1;
    for (std::int64_t i = 0; i < count; ++i) {
      if (whole) {
        items.emplace_back((*t)->data.integer_at(i));
        continue;
      }
      Expr at;
      at.kind = ExprKind::integer;
      at.integer = i;
      items.push_back(index(value, {&at}));
    }
    return items;
  }
  if (const auto* type = value.as<EntityType>()) {
    for (const std::string& member : knowledge.entities[type->name]) items.emplace_back(member);
    return items;
  }
  if (value.is_number() && std::string_view(what) == "the loop")
    fail(ErrorKind::script, "a loop needs something to go over; write range(n)");
  fail(ErrorKind::invalid_argument, "{} needs an array or tensor, this is {}", what, type_name(value));
}

}  // namespace tl::lang
