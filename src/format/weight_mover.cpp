#include "format/weight_mover.hpp"

#include <map>
#include <tuple>
#include <unordered_map>

#include "base/error.hpp"
#include "format/weight_blob.hpp"

namespace tl::format {
namespace {

constexpr std::int64_t smallest_blob = 10;  // elements; coremltools' threshold

class WeightMover {
 public:
  explicit WeightMover(const std::string& file) : weight_path_("@model_path/weights/" + file) {}
  void function(ir::Function& function) {
    // Runtimes before iOS 18 read four types from the file.
    only_old_types_ = function.opset < "ios18";
    block(function.body);
  }
  std::vector<std::byte> take() { return blobs_.empty() ? std::vector<std::byte>() : blobs_.take(); }

 private:
  void block(ir::Block& block) {
    for (const auto& op : block.ops) {
      if (op->type.rfind("tl.", 0) == 0) fail(ErrorKind::unsupported, "op '{}' ({}) is not of Core ML", op->label(), op->type);
      for (auto& [name, value] : op->attributes) value = moved(value);
      for (const auto& output : op->outputs) output->constant = moved(output->constant);
      for (ir::Argument& argument : op->inputs) {
        for (ir::Binding& binding : argument.bindings) {
          if (const auto* constant = std::get_if<ir::ConstantPtr>(&binding)) binding = moved(*constant);
        }
      }
      for (const auto& inner : op->blocks) this->block(*inner);
    }
  }

  bool goes_to_file(const ir::Constant& constant) const {
    const Tensor& tensor = constant.value.tensor();
    if (!fits_blob(tensor.dtype())) return false;
    if (constant.blob) return true;
    const DType t = tensor.dtype();
    const bool old_type = t == DType::f16 || t == DType::f32 || t == DType::i8 || t == DType::u8 || is_sub_byte(t);
    return tensor.size() >= smallest_blob && (old_type || !only_old_types_);
  }

  ir::ConstantPtr moved(const ir::ConstantPtr& constant) {
    if (constant == nullptr || !constant->value.is_tensor()) return constant;
    if (const auto found = done_.find(constant.get()); found != done_.end()) return found->second;
    auto copy = std::make_shared<ir::Constant>(*constant);
    copy->blob.reset();
    if (goes_to_file(*constant)) copy->blob = ir::BlobRef{weight_path_, offset_of(constant->value.tensor())};
    kept_.push_back(constant);
    done_[copy.get()] = copy;
    return done_[constant.get()] = copy;
  }

  // Functions that share a weight name the same bytes.
  std::uint64_t offset_of(const Tensor& tensor) {
    const auto [found, fresh] = offsets_.try_emplace({tensor.data(), tensor.bytes(), tensor.dtype()}, 0);
    if (fresh) found->second = blobs_.add(tensor);
    return found->second;
  }

  std::string weight_path_;
  bool only_old_types_ = false;
  BlobWriter blobs_;
  std::vector<ir::ConstantPtr> kept_;  // so that no address in the maps is used twice
  std::unordered_map<const ir::Constant*, ir::ConstantPtr> done_;
  std::map<std::tuple<const std::byte*, std::size_t, DType>, std::uint64_t> offsets_;
};

}  // namespace

std::vector<std::byte> move_weights(ir::Program& program, const std::string& file) {
  WeightMover mover(file);
  for (const auto& function : program.functions) {
    within([&] { return fmt::format("function '{}'", function->name); }, [&] { mover.function(*function); });
  }
  return mover.take();
}

}  // namespace tl::format
