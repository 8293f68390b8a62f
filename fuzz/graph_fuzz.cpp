#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/error.hpp"
#include "base/thread_pool.hpp"
#include "ir/text.hpp"
#include "ir/verify.hpp"
#include "plan/session.hpp"

namespace {

using namespace tl;

// Programs of known, small sizes without loops: what they may cost is bounded.
bool small(const ir::Function& function) {
  std::size_t ops = 0, bytes = 0;
  bool loops = false;
  const auto count = [&](const ir::Type& type) {
    const auto shape = type.is_tensor() ? ir::shape_of(type.tensor()) : std::nullopt;
    bytes +=
        shape && element_count(*shape) < (1 << 16) ? static_cast<std::size_t>(element_count(*shape)) * 8 : std::size_t{1} << 24;
  };
  ir::for_each_op(function.body, [&](const ir::Op& op) {
    loops = loops || !op.blocks.empty();
    ++ops;
    for (const auto& output : op.outputs) count(output->type);
  });
  for (const auto& input : function.inputs) count(input->type);
  return ops <= 64 && bytes < (1 << 23) && !loops;
}

}  // namespace

// MIL text that is verified, compiled for the CPU device with all passes, and run on zeros.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto pool = std::make_shared<ThreadPool>(1);
  try {
    const auto program = ir::parse_mil({reinterpret_cast<const char*>(data), size});
    ir::verify(*program);
    for (const auto& function : program->functions) {
      if (!small(*function)) continue;
      const std::shared_ptr<const ir::Function> copy = ir::clone(*function);
      std::vector<Value> inputs;
      for (const auto& input : copy->inputs)
        inputs.emplace_back(Tensor::zeros(input->type.tensor().dtype, *ir::shape_of(input->type.tensor())));
      plan::Session(copy, &plan::cpu_device(), pool).run(inputs, {});
    }
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::internal) __builtin_trap();
  }
  return 0;
}
