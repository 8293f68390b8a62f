#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "ir/model.hpp"
#include "plan/session.hpp"
#include "tensorlogic/model.hpp"

namespace tl {

struct Model::Impl {
  LoadOptions options;
  std::string_view device;
  ir::Model model;
  const Interface* interface = nullptr;
  std::unique_ptr<plan::Session> session;
  double load_seconds = 0;
  mutable std::atomic<double> last_predict_seconds{0};
};

// Model::predict; with a recorder its steps are timed.
NamedValues run_model(const Model::Impl& model, const NamedValues& inputs, State* state, plan::Recorder* recorder);

struct State::Impl {
  std::mutex mutex;
  std::vector<std::string> names;
  std::vector<ir::StateCell> cells;
  ir::StateCell* cell(std::string_view name);
};

}  // namespace tl
