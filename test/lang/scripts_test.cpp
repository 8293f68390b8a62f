#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "lang/interpreter.hpp"
#include "tensorlogic/error.hpp"
#include "tensorlogic/model.hpp"

namespace {

namespace fs = std::filesystem;
const std::string scripts = std::string(TL_SOURCE_DIR) + "/scripts/";
const std::string models = std::string(TL_SOURCE_DIR) + "/models/";

std::string read(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// The comment lines after "// expected output".
std::string expected(const std::string& text) {
  std::istringstream lines(text.substr(text.find("// expected output")));
  std::string line, result;
  std::getline(lines, line);
  while (std::getline(lines, line)) {
    if (line.starts_with("// ")) result += line.substr(3) + "\n";
  }
  return result;
}

class Folder {
 public:
  Folder() : before_(fs::current_path()), path_(fs::temp_directory_path() / ("tl_scripts_" + std::to_string(::getpid()))) {
    fs::create_directories(path_);
    fs::current_path(path_);
  }
  ~Folder() {
    fs::current_path(before_);
    fs::remove_all(path_);
  }

 private:
  fs::path before_, path_;
};

class Script : public testing::TestWithParam<const char*> {};

TEST_P(Script, PrintsWhatItsCommentsSay) {
  const Folder folder;
  const std::string path = scripts + GetParam() + ".tl";
  std::string out;
  tl::lang::Options options;
  options.out = [&](std::string_view text) { out += text; };
  tl::lang::Interpreter interpreter(options);
  ASSERT_NO_THROW(
      try { interpreter.run_file(path); } catch (const tl::Error& e) {
        ADD_FAILURE() << e.what();
        throw;
      });
  EXPECT_EQ(out, expected(read(path)));
}

INSTANTIATE_TEST_SUITE_P(Language, Script,
                         testing::Values("01_hello", "02_tensors_broadcasting", "03_functions", "04_control_flow",
                                         "05_matmul_einsum", "06_softmax_attention", "07_linear_regression_learn",
                                         "08_xor_adam", "09_family_tree", "10_rule_as_einsum", "11_classify_image",
                                         "12_metadata", "13_safetensors_roundtrip", "14_export_coreml"),
                         [](const auto& info) { return std::string(info.param).substr(3); });

TEST(Language, TheGuideLoadsPackagesAndCompiledModels) {
  const Folder folder;
  fs::create_symlink(models + "EfficientNetLite0.mlpackage", "model.mlpackage");
  tl::compile_model("model.mlpackage", "model.mlmodelc");
  std::string out;
  tl::lang::Options options;
  options.out = [&](std::string_view text) { out += text; };
  tl::lang::Interpreter interpreter(options);
  interpreter.run_file(scripts + "guide_1.tl");
  EXPECT_EQ(out, "Model format: CoreML\nQuantization: F16\n");
}

TEST(Language, TheGuideClassifiesAndSaves) {
  const Folder folder;
  fs::create_symlink(models + "EfficientNetLite0.mlpackage", "resnet50.mlpackage");
  fs::create_symlink(models + "cat.jpg", "cat.jpg");
  std::string out;
  tl::lang::Options options;
  options.out = [&](std::string_view text) { out += text; };
  tl::lang::Interpreter interpreter(options);
  interpreter.run_file(scripts + "guide_2.tl");
  EXPECT_EQ(out, "Predicted class: 282\n");
  interpreter.run_source("struct M { w: float16[2] }\ntl_model = M { w: [1.0, 2.0] }", "model.tl");
  interpreter.run_file(scripts + "guide_3.tl");
  EXPECT_TRUE(fs::exists("model.safetensors"));
}

}  // namespace
