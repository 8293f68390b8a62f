#include <gtest/gtest.h>

#include "lang/interpreter.hpp"
#include "tensorlogic/error.hpp"

namespace {

std::string run(const std::string& code) {
  std::string out;
  tl::lang::Options options;
  options.out = [&](std::string_view text) { out += text; };
  tl::lang::Interpreter interpreter(options);
  interpreter.run_source(code, "test");
  return out;
}

const std::string load =
    "let m = load_model(\"" + std::string(TL_SOURCE_DIR) + "/test/data/compare/softmax_by_hand.mlpackage\")\n";

TEST(CompareInScripts, NamesTheOpAndWhatToKeep) {
  // exp(16 * 31 / 32) is 5.4e6.
  EXPECT_EQ(run(load + "let r = compare(m, reshape(arange(32), [2, 16]) / 32.0)\n"
                       "print(r.passed)\nprint(r.first_op)\nprint(len(r.keep))"),
            "false\nexponents\n3\n");
  // exp(15 / 2) fits.
  EXPECT_EQ(run(load + "print(compare(m, x: reshape(arange(32), [2, 16]) / 66.0).passed)"), "true\n");
  EXPECT_EQ(run(load + "print(compare(m, m).psnr > 1000000.0)"), "true\n");
}

TEST(CompareInScripts, ChecksItsArguments) {
  EXPECT_THROW(run("compare(3)"), tl::Error);
  EXPECT_THROW(run(load + "compare(m, y: zeros([2, 16]))"), tl::Error);
}

}  // namespace
