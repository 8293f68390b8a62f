#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/error.hpp"
#include "base/file.hpp"
#include "format/coremldata.hpp"
#include "format/format.hpp"
#include "format/weight_blob.hpp"
#include "ir/text.hpp"

namespace tl::format {
namespace {

namespace fs = std::filesystem;

struct Folder {
  Folder() : path(fs::temp_directory_path() / ("tl_mlmodelc_" + std::to_string(getpid()))) { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
  std::string file(const std::string& name) const { return (path / name).string(); }
  fs::path path;
};

const std::string source = TL_SOURCE_DIR;

// Constants of all ops, in order: values of attributes and literal arguments.
std::vector<Tensor> constants(const ir::Program& program) {
  std::vector<Tensor> result;
  for (const auto& function : program.functions) {
    ir::for_each_op(function->body, [&](const ir::Op& op) {
      for (const auto& [name, value] : op.attributes) {
        if (value->value.is_tensor()) result.push_back(value->value.tensor());
      }
      for (const auto& argument : op.inputs) {
        for (const auto& binding : argument.bindings) {
          const auto* constant = std::get_if<ir::ConstantPtr>(&binding);
          if (constant != nullptr && (*constant)->value.is_tensor()) result.push_back((*constant)->value.tensor());
        }
      }
    });
  }
  return result;
}

TEST(mlmodelc, reads_what_apple_compiled) {
  const ir::Model model = read_model(source + "/models/add_model.mlmodelc");
  EXPECT_EQ(model.info.specification_version, 7);
  EXPECT_EQ(model.info.container, "mlmodelc");
  EXPECT_EQ(model.info.user_metadata.at("com.github.apple.coremltools.version"), "8.1");
  ASSERT_EQ(model.info.interfaces.size(), 1u);
  const Interface& interface = model.info.interfaces[0];
  ASSERT_EQ(interface.inputs.size(), 2u);
  EXPECT_EQ(interface.inputs[1].name, "y");
  EXPECT_EQ(describe(interface.inputs[0]), "fp16 [1, 10]");
  EXPECT_EQ(interface.outputs[0].name, "var_3");
}

TEST(mlmodelc, metadata_json_tells_the_same_interface) {
  ModelInfo info;
  read_metadata_json(read_text(source + "/models/add_model.mlmodelc/metadata.json"), info);
  EXPECT_EQ(info.specification_version, 7);
  ASSERT_EQ(info.interfaces.at(0).inputs.size(), 2u);
  EXPECT_EQ(describe(info.interfaces[0].inputs[0]), "fp16 [1, 10]");
  EXPECT_THROW(read_metadata_json("[]", info), Error);
  EXPECT_THROW(read_metadata_json("[{\"inputSchema\": 3}]", info), Error);
}

TEST(mlmodelc, coremldata_cut_short_is_refused) {
  const auto file = FileBytes::open(source + "/models/add_model.mlmodelc/coremldata.bin");
  for (std::size_t size = 0; size < 83 + 220; size += 7) {
    ModelInfo info;
    EXPECT_THROW(read_coremldata(file->bytes().first(size), info), Error) << size;
  }
}

TEST(mlmodelc, without_program_text_says_what_to_do) {
  Folder folder;
  try {
    read_mlmodelc(folder.path.string(), {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::unsupported);
    EXPECT_NE(std::string(error.what()).find("compiled from"), std::string::npos);
  }
}

TEST(mlmodelc, packages_survive_writing_and_reading) {
  Folder folder;
  int count = 0;
  for (const auto& entry : fs::directory_iterator(source + "/models")) {
    if (entry.path().extension() != ".mlpackage" && entry.path().extension() != ".mlmodelc") continue;
    SCOPED_TRACE(entry.path().string());
    const ir::Model first = read_model(entry.path().string());
    write_mlmodelc(first, folder.file("a.mlmodelc"));
    const ir::Model second = read_model(folder.file("a.mlmodelc"));
    write_mlmodelc(second, folder.file("b.mlmodelc"));
    for (const char* name : {"model.mil", "coremldata.bin", "metadata.json"}) {
      EXPECT_EQ(read_text(folder.file("a.mlmodelc/") + name), read_text(folder.file("b.mlmodelc/") + name)) << name;
    }
    if (first.info.model_type == "mlprogram") {  // Apple's compiler: up to iOS 17 scalars are tensors of rank 0
      const bool plain = first.info.specification_version >= 9;
      const std::string text = read_text(folder.file("a.mlmodelc/model.mil"));
      EXPECT_EQ(text.substr(0, 13), plain ? "program(1.3)\n" : "program(1.0)\n");
      EXPECT_EQ(text.find("tensor<string, []>") == std::string::npos, plain);
    }
    const auto before = constants(*first.program);
    const auto after = constants(*second.program);
    ASSERT_EQ(before.size(), after.size());
    for (std::size_t i = 0; i < before.size(); ++i) {
      ASSERT_TRUE(before[i].dtype() == DType::string ? before[i].strings() == after[i].strings()
                                                     : before[i].identical(after[i]))
          << i;
    }
    ASSERT_EQ(first.info.interfaces.size(), second.info.interfaces.size());
    for (std::size_t i = 0; i < first.info.interfaces.size(); ++i) {
      const Interface& a = first.info.interfaces[i];
      const Interface& b = second.info.interfaces[i];
      ASSERT_EQ(a.inputs.size(), b.inputs.size());
      for (std::size_t k = 0; k < a.inputs.size(); ++k) EXPECT_EQ(describe(a.inputs[k]), describe(b.inputs[k]));
      ASSERT_EQ(a.outputs.size(), b.outputs.size());
      for (std::size_t k = 0; k < a.outputs.size(); ++k) EXPECT_EQ(describe(a.outputs[k]), describe(b.outputs[k]));
    }
    EXPECT_EQ(first.info.string_labels, second.info.string_labels);
    ++count;
  }
  EXPECT_GE(count, 1);
}

TEST(mlmodelc, ops_of_our_own_are_not_written) {
  Folder folder;
  ir::Model model;
  model.program = ir::parse_mil("program(1.3)\n{func main<ios15>(fp32 x) { fp32 y = tl.secret(x = x); } -> (y);}");
  EXPECT_THROW(write_mlmodelc(model, folder.file("c.mlmodelc")), Error);
}

TEST(weight_blob, round_trip_and_refusals) {
  Folder folder;
  BlobWriter writer;
  const Tensor values = Tensor::of<float>({3}, {1, 2, 3});
  const auto offset = writer.add(values);
  const auto nibbles = writer.add(Tensor::of<std::int32_t>({5}, {1, 2, 3, 4, 5}).cast(DType::u4));
  EXPECT_EQ(offset % 64, 0u);
  write_file(folder.file("w.bin"), std::span<const std::byte>(writer.take()));
  const auto file = BlobFile::open(folder.file("w.bin"));
  EXPECT_TRUE(file->read(offset, DType::f32, {3}).identical(values));
  EXPECT_EQ(file->read(nibbles, DType::u4, {5}).integer_at(4), 5);
  EXPECT_THROW(file->read(offset, DType::f16, {3}), Error);
  EXPECT_THROW(file->read(offset, DType::f32, {4}), Error);
  EXPECT_THROW(file->read(offset + 1, DType::f32, {3}), Error);
  EXPECT_THROW(file->read(offset + 64, DType::f32, {3}), Error);
  EXPECT_THROW(file->read(std::uint64_t{1} << 62, DType::f32, {3}), Error);
}

}  // namespace
}  // namespace tl::format
