#include "plan/device.hpp"

namespace tl::plan {
namespace {

class CpuDevice final : public Device {
 public:
  std::string_view name() const noexcept override { return "cpu"; }
  std::unique_ptr<Kernel> compile(const ir::Op& /*op*/) const override { return nullptr; }
};

}  // namespace

const Device& cpu_device() {
  static const CpuDevice device;
  return device;
}

}  // namespace tl::plan
