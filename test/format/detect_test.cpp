#include "format/detect.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "format/format.hpp"
#include "scratch.hpp"

namespace tl::format {
namespace {

using test::error_of;
using test::Scratch;

std::string refusal(std::string_view bytes, const std::string& name = "model.bin") {
  return error_of([&] { detect_file(test::as_bytes(bytes), name); });
}

template <std::size_t N>
std::string raw(const char (&text)[N]) {
  return {text, N - 1};
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST(Detect, FoldersByWhatStandsInThem) {
  const Scratch scratch;
  scratch.put("a/Manifest.json", "{}");
  scratch.put("b/model.mil", "");
  scratch.put("c/coremldata.bin", "");
  EXPECT_EQ(detect(scratch / "a"), Container::mlpackage);
  EXPECT_EQ(detect(scratch / "b"), Container::mlmodelc);
  EXPECT_EQ(detect(scratch / "b/"), Container::mlmodelc);
  EXPECT_EQ(detect(scratch / "c"), Container::mlmodelc);
}

TEST(Detect, FilesByTheirFirstBytesWhateverTheirName) {
  EXPECT_EQ(detect_file(test::as_bytes("GGUF"), "x.mlmodel"), Container::gguf);
  EXPECT_EQ(detect_file(test::as_bytes(raw("\x02\0\0\0\0\0\0\0{}")), "x"), Container::safetensors);
  const std::string spec = raw("\x08\x07\x12\x00\xb2\x1f\x00");  // version 7, description, mlProgram (502)
  EXPECT_EQ(detect_file(test::as_bytes(spec), "x.safetensors"), Container::mlmodel);
}

TEST(Detect, FormatsOfOthersAreNamedWithAdvice) {
  const std::string onnx = raw("\x08\x08\x12\x04test\x3a\x02\x0a\x00");
  EXPECT_TRUE(has(refusal(onnx), "ONNX"));
  EXPECT_TRUE(has(refusal(raw("\x80\x02}q")), "pickle"));
  EXPECT_TRUE(has(refusal(raw("\x10\0\0\0ET12\0\0")), "ExecuTorch"));
  EXPECT_TRUE(has(refusal(raw("\x1c\0\0\0TFL3\0\0")), "TensorFlow Lite"));
  EXPECT_TRUE(has(refusal(raw("\x89HDF\r\n\x1a\n")), "HDF5"));
  EXPECT_TRUE(has(refusal("version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"));
  EXPECT_TRUE(has(refusal("<!DOCTYPE html>"), "web page"));
  EXPECT_TRUE(has(refusal("abc", "x.aimodel"), "Core AI"));
  EXPECT_TRUE(has(refusal(R"({"metadata":{},"weight_map":{}})"), "several safetensors"));
  for (const std::string& text : {refusal(onnx), refusal(raw("\x80\x02}q"))}) EXPECT_TRUE(has(text, "[unsupported]")) << text;
}

TEST(Detect, ZipArchivesByTheirMembers) {
  // One empty stored member named archive/data.pkl, then the central directory.
  const std::string name = "archive/data.pkl";
  const std::string local = raw("PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0\0\0") + name;
  const std::string central =
      raw("PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0") + name;
  std::string end = raw("PK\x05\x06\0\0\0\0\x01\0\x01\0");
  end += static_cast<char>(central.size());
  end += raw("\0\0\0");
  end += static_cast<char>(local.size());
  end += raw("\0\0\0\0\0");
  EXPECT_TRUE(has(refusal(local + central + end), "PyTorch checkpoint"));
  EXPECT_TRUE(has(refusal(local + central), "zip"));
  EXPECT_TRUE(has(refusal("PK\x03\x04"), "zip"));
}

TEST(Detect, CompiledNeuralNetworksAreRefused) {
  const Scratch scratch;
  scratch.put("old.mlmodelc/model.espresso.net", "{}");
  scratch.put("old.mlmodelc/coremldata.bin", "x");
  EXPECT_TRUE(has(error_of([&] { detect(scratch / "old.mlmodelc"); }), "neuralnetwork"));
}

TEST(Detect, ErrorsStartWithThePath) {
  const Scratch scratch;
  const std::string pipe = scratch / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  scratch.put("folder/x", "");
  for (const std::string& path : {scratch.put("empty", ""), scratch.put("noise", "\x01\x02\x03"), pipe, scratch / "missing",
                                  scratch / "folder", scratch / "empty/below"}) {
    try {
      read_model(path);
      ADD_FAILURE() << path;
    } catch (const Error& error) {
      EXPECT_TRUE(error.where().starts_with(path)) << error.what();
      EXPECT_EQ(std::string(error.what()).find(path, 1), std::string::npos) << error.what();
    }
  }
  EXPECT_TRUE(has(error_of([&] { read_model(scratch / "missing"); }), "[not found]"));
  EXPECT_TRUE(has(error_of([&] { read_model(scratch / "empty"); }), "empty"));
  EXPECT_TRUE(has(error_of([&] { read_model(pipe); }), "not a regular file"));
}

TEST(Detect, AMangledMessageNeverEndsTheProcess) {
  std::string bytes = raw("\x08\x07\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f");
  EXPECT_NE(refusal(bytes), "");
  bytes.assign(100, '\xff');
  EXPECT_NE(refusal(bytes), "");
}

}  // namespace
}  // namespace tl::format
