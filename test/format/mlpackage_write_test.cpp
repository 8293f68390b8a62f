#include <gtest/gtest.h>

#include <filesystem>

#include "format/format.hpp"
#include "ir/text.hpp"
#include "scratch.hpp"

namespace tl::format {
namespace {

using test::error_of;
using test::Scratch;

std::string model_file(const std::string& name) { return std::string(TL_SOURCE_DIR) + "/models/" + name; }

// The text of a program with its literals; a blob prints as its place, which may differ.
std::vector<Tensor> literals(const ir::Program& program) {
  std::vector<Tensor> result;
  const auto keep = [&](const ir::ConstantPtr& constant) {
    if (constant != nullptr && constant->value.is_tensor()) result.push_back(constant->value.tensor());
  };
  for (const auto& function : program.functions) {
    ir::for_each_op(function->body, [&](const ir::Op& op) {
      for (const auto& [name, value] : op.attributes) keep(value);
      for (const auto& argument : op.inputs) {
        for (const auto& binding : argument.bindings) {
          if (const auto* constant = std::get_if<ir::ConstantPtr>(&binding)) keep(*constant);
        }
      }
    });
  }
  return result;
}

std::string without_offsets(std::string text) {
  constexpr std::string_view mark = "offset = tensor<uint64, []>(";
  for (std::size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at + mark.size())) {
    text.erase(at + mark.size(), text.find(')', at) - at - mark.size());
  }
  return text;
}

class Packages : public testing::TestWithParam<const char*> {};

TEST_P(Packages, what_is_written_reads_back_the_same) {
  const Scratch scratch;
  const ir::Model model = read_model(model_file(GetParam()));
  write_mlpackage(model, scratch / "copy.mlpackage");
  const ir::Model copy = read_model(scratch / "copy.mlpackage");
  EXPECT_EQ(without_offsets(ir::print_mil(*copy.program)), without_offsets(ir::print_mil(*model.program)));
  const auto before = literals(*model.program);
  const auto after = literals(*copy.program);
  ASSERT_EQ(after.size(), before.size());
  for (std::size_t i = 0; i < before.size(); ++i) EXPECT_TRUE(after[i].identical(before[i])) << i;
  EXPECT_EQ(copy.info.user_metadata, model.info.user_metadata);
  EXPECT_EQ(copy.info.specification_version, model.info.specification_version);
  EXPECT_EQ(copy.info.string_labels, model.info.string_labels);
  EXPECT_EQ(copy.info.quantization, model.info.quantization);
  ASSERT_EQ(copy.info.interfaces.size(), model.info.interfaces.size());
  for (std::size_t i = 0; i < copy.info.interfaces[0].inputs.size(); ++i) {
    EXPECT_EQ(describe(copy.info.interfaces[0].inputs[i]), describe(model.info.interfaces[0].inputs[i]));
  }
}

INSTANTIATE_TEST_SUITE_P(models, Packages,
                         testing::Values("EfficientNetLite0.mlpackage", "EfficientNetLite0_W8.mlpackage",
                                         "EfficientNetLite0_P6.mlpackage", "basic_pitch.mlpackage", "crepe_tiny.mlpackage"));

TEST(mlpackage, the_same_model_gives_the_same_bytes) {
  const Scratch scratch;
  const ir::Model model = read_model(model_file("crepe_tiny.mlpackage"));
  write_mlpackage(model, scratch / "a.mlpackage");
  write_mlpackage(model, scratch / "a.mlpackage");  // replaces
  write_mlpackage(model, scratch / "b.mlpackage");
  for (const char* file :
       {"Manifest.json", "Data/com.apple.CoreML/model.mlmodel", "Data/com.apple.CoreML/weights/weight.bin"}) {
    EXPECT_EQ(read_text(scratch / "a.mlpackage/" + file), read_text(scratch / "b.mlpackage/" + file)) << file;
  }
}

TEST(mlpackage, ops_that_core_ml_lacks_are_refused_by_name) {
  const Scratch scratch;
  ir::Model model = read_model(model_file("crepe_tiny.mlpackage"));
  model.program->functions[0]->body.ops.back()->type = "tl.gradient";
  EXPECT_NE(error_of([&] { write_mlpackage(model, scratch / "a.mlpackage"); }).find("(tl.gradient) is not of Core ML"),
            std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(scratch / "a.mlpackage"));
  model.program.reset();
  EXPECT_NE(error_of([&] { write_mlpackage(model, scratch / "a.mlpackage"); }).find("[unsupported]"), std::string::npos);
}

}  // namespace
}  // namespace tl::format
