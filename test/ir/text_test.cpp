#include "ir/text.hpp"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.hpp"
#include "base/file.hpp"

namespace tl::ir {
namespace {

std::string in_main(const std::string& body) {
  return "program(1.3)\n{\n    func main<ios18>(tensor<fp16, [2]> x) {\n" + body + "}\n";
}

std::string error_of(const std::string& text) {
  try {
    parse_mil(text);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(mil_text, prints_what_apple_wrote) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(TL_SOURCE_DIR "/test/data/mil")) {
    if (entry.path().extension() != ".mil") continue;
    const std::string text = read_text(entry.path().string());
    const auto program = parse_mil(text);
    EXPECT_EQ(print_mil(*program), text) << entry.path();
    ++count;
  }
  EXPECT_EQ(count, 15);
}

TEST(mil_text, literals_survive) {
  const std::string text = in_main(
      "            fp16 a = const()[name = string(\"a\\\"\\\\\"), val = fp16(0x1.8p-1)];\n"
      "            tensor<int4, [2, 2]> b = const()[val = tensor<int4, [2, 2]>([[-8, 7], [0, 1]])];\n"
      "            tensor<fp32, [0]> c = const()[val = tensor<fp32, [0]>([])];\n"
      "            tensor<bool, [2]> d = const()[val = tensor<bool, [2]>([true, false])];\n"
      "            uint64 e = const()[val = uint64(18446744073709551615)];\n"
      "            write_state(data = x, input = x);\n"
      "            tensor<fp16, [4]> f = concat(axis = int32(0), values = (x, x));\n"
      "            tensor<fp16, [2]> g = cond(pred = d) {\n"
      "                block0() {\n"
      "                } -> (x);\n"
      "                block1(tensor<fp16, [?]> y = x) {\n"
      "                    tensor<fp16, [?]> z = relu(x = y);\n"
      "                } -> (z);\n"
      "            };\n"
      "            fp32 h = const()[val = fp32(-inf)];\n"
      "            int32 i = const()[t = tuple<string, dict<string, tensor<int32, [?]>>>((\"k\", {{\"x\", [1, 2]}})), val = "
      "int32(3)];\n"
      "        } -> (f, g);\n");
  const auto program = parse_mil(text);
  EXPECT_EQ(print_mil(*program), text);
  const auto& ops = program->functions[0]->body.ops;
  EXPECT_EQ(ops[0]->outputs[0]->constant->value.tensor().number_at(0), 0.75);
  EXPECT_EQ(ops[0]->label(), "a\"\\");
  EXPECT_EQ(ops[1]->outputs[0]->constant->value.tensor().integer_at(0), -8);
  EXPECT_EQ(ops[6]->inputs[1].bindings.size(), 2u);
}

TEST(mil_text, blobs_are_read_with_their_declared_type) {
  const std::string text = in_main(
      "            tensor<fp16, [2, 3]> w = const()[val = tensor<fp16, [2, 3]>(BLOBFILE(path = string(\"@model_path/w.bin\"), "
      "offset = uint64(64)))];\n"
      "        } -> (w);\n");
  const auto program = parse_mil(text, [](const BlobRef& ref, DType dtype, const Shape& shape) {
    EXPECT_EQ(ref.file, "@model_path/w.bin");
    EXPECT_EQ(ref.offset, 64u);
    return Tensor::zeros(dtype, shape);
  });
  EXPECT_EQ(program->functions[0]->body.ops[0]->outputs[0]->constant->value.tensor().shape(), (Shape{2, 3}));
  EXPECT_EQ(print_mil(*program), text);
}

TEST(mil_text, long_literals_are_elided) {
  const auto program = parse_mil(in_main("tensor<int32, [3]> a = const()[val = tensor<int32, [3]>([1, 2, 3])]; } -> (a);"));
  EXPECT_NE(print_mil(*program, {2}).find("tensor<int32, [3]>(...)"), std::string::npos);
}

TEST(mil_text, errors_name_line_and_column) {
  EXPECT_EQ(error_of(""), "line 1, column 1: expected 'program'");
  EXPECT_EQ(error_of(in_main("  tensor<fp16, [2]> y = relu(x = z);\n} -> (y);")),
            "line 4, column 34: value 'z' is not defined");
  EXPECT_NE(error_of(in_main("int32 a = const()[val = tensor<int32, [3]>([1, 2])]; } -> (a);")).find("2 values"),
            std::string::npos);
  EXPECT_NE(error_of(in_main("int8 a = const()[val = int8(200)]; } -> (a);")).find("does not fit int8"), std::string::npos);
  EXPECT_NE(error_of(in_main("tensor<int32, [2, 2]> a = const()[val = tensor<int32, [2, 2]>([[1], [2, 3, 4]])]; } -> (a);"))
                .find("row of 3"),
            std::string::npos);
  EXPECT_NE(error_of(in_main("string a = const()[val = string(\"b)]; } -> (a);")).find("does not end"), std::string::npos);
}

TEST(mil_text, deep_nesting_is_refused) {
  std::string type;
  for (int i = 0; i < 100000; ++i) type += "list<";
  EXPECT_NE(error_of("program(1.0)\n{func main<ios16>(" + type).find("too deep"), std::string::npos);
  EXPECT_NE(error_of(in_main("int32 a = const()[val = int32(" + std::string(100000, '['))).find("too deep"), std::string::npos);
  EXPECT_NE(error_of(in_main("int32 a = const()[val = tensor<int32, [9000000000, 9000000000]>([1])]; } -> (a);")), "no error");
}

}  // namespace
}  // namespace tl::ir
