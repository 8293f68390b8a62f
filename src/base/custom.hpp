#pragma once

#include <functional>
#include <memory>

#include "tensorlogic/custom.hpp"

namespace tl {

// Identifies one use in a loaded model: an object that lives as long as the model.
using CustomUse = std::shared_ptr<const void>;

// What is registered for the class of a use, made once per use and registration; null: nothing is registered.
// Exceptions of the registered code become Error{script}.
std::shared_ptr<const CustomLayer> find_custom_layer(const CustomUse& use, const std::string& class_name,
                                                     const std::function<CustomInfo()>& info);
std::shared_ptr<const CustomModel> find_custom_model(const CustomUse& use, const std::string& class_name,
                                                     const std::function<CustomInfo()>& info);

}  // namespace tl
