#include "lang/value.hpp"

#include <algorithm>

namespace tl::lang {

void Budget::spend(std::uint64_t steps) {
  if (steps > fuel) {
    fuel = 0;
    fail(ErrorKind::limit, "the script ran out of fuel (its step limit)");
  }
  fuel -= steps;
}

void Budget::reserve(std::uint64_t more) const {
  if (more > max_bytes || bytes > max_bytes - more) {
    fail(ErrorKind::limit, "{} more bytes exceed the memory limit of {} bytes", more, max_bytes);
  }
}

TensorBox::TensorBox(Tensor tensor, std::shared_ptr<Budget> budget)
    : data(std::move(tensor)), budget_(std::move(budget)), bytes_(data.bytes()) {
  if (budget_) {
    budget_->reserve(bytes_);
    budget_->bytes += bytes_;
  }
}

TensorBox::~TensorBox() {
  if (budget_) budget_->bytes -= bytes_;
}

namespace {

// Values that go are let go one by one: a chain of a million structs must not recurse.
void release(Datum& value) noexcept {
  const auto* array = value.as<ArrayPtr>();
  const auto* object = value.as<ObjectPtr>();
  const bool last =
      (array != nullptr && *array && array->use_count() == 1) || (object != nullptr && *object && object->use_count() == 1);
  if (!last) return;
  thread_local std::vector<Datum> waiting;
  thread_local bool draining = false;
  waiting.push_back(std::move(value));
  if (draining) return;
  draining = true;
  while (!waiting.empty()) {
    const Datum next = std::move(waiting.back());
    waiting.pop_back();
  }
  draining = false;
}

}  // namespace

Array::~Array() {
  for (Datum& item : items) release(item);
  if (budget_) budget_->bytes -= bytes_;
}

void Array::charge(const std::shared_ptr<Budget>& budget) {
  const std::uint64_t now = items.capacity() * sizeof(Datum);
  if (now <= bytes_) return;
  budget->reserve(now - bytes_);
  budget->bytes += now - bytes_;
  budget_ = budget;
  bytes_ = now;
}

Object::~Object() {
  for (auto& [name, value] : fields) release(value);
}

bool Array::all_integers() const noexcept {
  return std::all_of(items.begin(), items.end(), [](const Datum& d) { return d.as<std::int64_t>() != nullptr; });
}

Datum* Object::field(std::string_view name) noexcept {
  for (auto& [key, value] : fields) {
    if (key == name) return &value;
  }
  return nullptr;
}

std::string type_name(const Datum& value) {
  struct Namer {
    std::string operator()(std::monostate) const { return "void"; }
    std::string operator()(bool) const { return "bool"; }
    std::string operator()(std::int64_t) const { return "int"; }
    std::string operator()(double) const { return "float"; }
    std::string operator()(const std::string&) const { return "string"; }
    std::string operator()(const TensorPtr& t) const { return "tensor " + tl::to_string(t->data.shape()); }
    std::string operator()(const ArrayPtr& a) const { return a->kind; }
    std::string operator()(const ObjectPtr& o) const { return o->type; }
    std::string operator()(const std::shared_ptr<ImageBox>&) const { return "image"; }
    std::string operator()(const std::shared_ptr<ModelBox>&) const { return "model"; }
    std::string operator()(const Function&) const { return "function"; }
    std::string operator()(const EntityType&) const { return "entity type"; }
  };
  return std::visit(Namer{}, value.data);
}

}  // namespace tl::lang
