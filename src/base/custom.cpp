#include "base/custom.hpp"

#include <map>
#include <mutex>

#include "base/error.hpp"

namespace tl {
namespace {

class FunctionLayer : public CustomLayer {
 public:
  FunctionLayer(CustomLayerFunction function, CustomInfo info) : function_(std::move(function)), info_(std::move(info)) {}
  std::vector<Tensor> evaluate(const std::vector<Tensor>& inputs) const override { return function_(inputs, info_); }

 private:
  CustomLayerFunction function_;
  CustomInfo info_;
};

class FunctionModel : public CustomModel {
 public:
  FunctionModel(CustomModelFunction function, CustomInfo info) : function_(std::move(function)), info_(std::move(info)) {}
  NamedValues predict(const NamedValues& inputs) const override { return function_(inputs, info_); }

 private:
  CustomModelFunction function_;
  CustomInfo info_;
};

// Class names -> factories, and what they made per use. Code of the user is not called, and its objects do not end, under the
// lock: they may take locks of their own (Python's).
template <class Object>
class Registry {
 public:
  using ObjectPtr = std::shared_ptr<const Object>;
  using Factory = std::function<ObjectPtr(const CustomInfo&)>;
  using FactoryPtr = std::shared_ptr<const Factory>;

  // Lives for ever: what it holds may need Python, which ends before the statics do.
  static Registry& get() {
    static auto* instance = new Registry;
    return *instance;
  }

  bool set(const std::string& class_name, Factory factory) {
    FactoryPtr fresh = factory ? std::make_shared<const Factory>(std::move(factory)) : nullptr;
    std::vector<ObjectPtr> dropped;
    const std::lock_guard lock(mutex_);
    drop([&](const auto& entry) { return entry.second.class_name == class_name; }, dropped);
    factories_[class_name].swap(fresh);
    if (factories_[class_name] == nullptr) factories_.erase(class_name);
    return fresh != nullptr;
  }

  ObjectPtr find(const CustomUse& use, const std::string& class_name, const std::function<CustomInfo()>& info) {
    FactoryPtr factory;
    {
      const std::lock_guard lock(mutex_);
      if (const auto found = made_.find(use); found != made_.end()) return found->second.object;
      const auto found = factories_.find(class_name);
      if (found == factories_.end()) return nullptr;
      factory = found->second;
    }
    ObjectPtr object;
    try {
      object = (*factory)(info());
    } catch (const Error&) {
      throw;
    } catch (const std::exception& error) {
      fail(ErrorKind::script, "{}", error.what());
    }
    if (object == nullptr) fail(ErrorKind::script, "the factory of class '{}' gives nothing", class_name);
    std::vector<ObjectPtr> dropped;
    const std::lock_guard lock(mutex_);
    drop([](const auto& entry) { return entry.first.expired(); }, dropped);
    // Another thread may have made it meanwhile, or the class may have been registered anew.
    if (const auto found = factories_.find(class_name); found == factories_.end() || found->second != factory) return object;
    return made_.try_emplace(use, Made{class_name, object}).first->second.object;
  }

 private:
  struct Made {
    std::string class_name;
    ObjectPtr object;
  };

  template <class Condition>
  void drop(Condition&& condition, std::vector<ObjectPtr>& dropped) {
    for (auto entry = made_.begin(); entry != made_.end();) {
      if (condition(*entry)) {
        dropped.push_back(std::move(entry->second.object));
        entry = made_.erase(entry);
      } else {
        ++entry;
      }
    }
  }

  std::mutex mutex_;
  std::map<std::string, FactoryPtr> factories_;
  std::map<std::weak_ptr<const void>, Made, std::owner_less<>> made_;
};

using Layers = Registry<CustomLayer>;
using Models = Registry<CustomModel>;

template <class Callable>
void require(const std::string& class_name, const Callable& callable) {
  if (class_name.empty()) fail(ErrorKind::invalid_argument, "a class name is expected");
  if (!callable) fail(ErrorKind::invalid_argument, "class '{}': an implementation is expected", class_name);
}

}  // namespace

void register_custom_layer(const std::string& class_name, CustomLayerFactory factory) {
  require(class_name, factory);
  Layers::get().set(class_name, std::move(factory));
}

void register_custom_layer(const std::string& class_name, CustomLayerFunction function) {
  require(class_name, function);
  Layers::get().set(class_name, [function = std::move(function)](const CustomInfo& info) {
    return std::make_shared<const FunctionLayer>(function, info);
  });
}

void register_custom_model(const std::string& class_name, CustomModelFactory factory) {
  require(class_name, factory);
  Models::get().set(class_name, std::move(factory));
}

void register_custom_model(const std::string& class_name, CustomModelFunction function) {
  require(class_name, function);
  Models::get().set(class_name, [function = std::move(function)](const CustomInfo& info) {
    return std::make_shared<const FunctionModel>(function, info);
  });
}

bool unregister_custom_layer(const std::string& class_name) { return Layers::get().set(class_name, nullptr); }
bool unregister_custom_model(const std::string& class_name) { return Models::get().set(class_name, nullptr); }

std::shared_ptr<const CustomLayer> find_custom_layer(const CustomUse& use, const std::string& class_name,
                                                     const std::function<CustomInfo()>& info) {
  return Layers::get().find(use, class_name, info);
}

std::shared_ptr<const CustomModel> find_custom_model(const CustomUse& use, const std::string& class_name,
                                                     const std::function<CustomInfo()>& info) {
  return Models::get().find(use, class_name, info);
}

}  // namespace tl
