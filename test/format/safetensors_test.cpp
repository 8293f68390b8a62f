#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "format/format.hpp"
#include "scratch.hpp"

namespace tl::format {
namespace {

using test::bytes_of;
using test::data_file;
using test::error_of;
using test::Scratch;

std::string file_of(const std::string& header, std::size_t data, std::uint64_t length) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + std::string(data, '\1');
}
std::string file_of(const std::string& header, std::size_t data) { return file_of(header, data, header.size()); }

std::string read_error(const std::string& bytes) {
  const Scratch scratch;
  const std::string path = scratch.put("x.safetensors", bytes);
  std::string text = error_of([&] { read_model(path); });
  const auto at = text.find(path + ": ");
  EXPECT_TRUE(text.empty() || at != std::string::npos) << text;
  return at == std::string::npos ? text : text.erase(at, path.size() + 2);
}

const StoredTensor& find(const ir::Model& model, const std::string& name) {
  for (const StoredTensor& tensor : model.tensors) {
    if (tensor.name == name) return tensor;
  }
  throw std::runtime_error("no tensor " + name);
}

TEST(Safetensors, ReadsEveryTypeThatTheReferenceLibraryWrote) {
  const ir::Model model = read_model(data_file("safetensors/all_types.safetensors"));
  EXPECT_EQ(model.info.format, Format::safetensors);
  EXPECT_EQ(model.info.user_metadata.at("who"), "ünïcode");
  EXPECT_EQ(model.tensors.size(), 17U);
  const auto number = [&](const std::string& name, std::int64_t i = 0) { return find(model, name).read().number_at(i); };
  EXPECT_EQ(number("f64", 1), -2.25);
  EXPECT_EQ(number("f32", 2), 3);
  EXPECT_TRUE(std::isnan(number("f32", 3)));
  EXPECT_EQ(number("f16", 2), 65504);
  EXPECT_EQ(number("bf16"), 1);
  EXPECT_EQ(number("bf16", 1), -3);
  EXPECT_EQ(find(model, "i64").read().integer_at(0), -(std::int64_t{1} << 62));
  EXPECT_EQ(number("i32"), -7);
  EXPECT_EQ(number("i16"), -300);
  EXPECT_EQ(number("i8"), -128);
  EXPECT_EQ(find(model, "u64").read().values<std::uint64_t>()[0], 9223372036854775809U);
  EXPECT_EQ(number("u32"), 4294967295.0);
  EXPECT_EQ(number("u16"), 65535);
  EXPECT_EQ(number("u8", 1), 255);
  EXPECT_EQ(number("bool"), 1);
  EXPECT_EQ(number("e4m3"), 1);
  EXPECT_EQ(number("e5m2", 1), -1);
  EXPECT_EQ(find(model, "scalar").read().rank(), 0U);
  EXPECT_EQ(find(model, "empty").shape, (Shape{0, 4}));
}

TEST(Safetensors, WritesWhatItReads) {
  const Scratch scratch;
  const ir::Model model = read_model(data_file("safetensors/all_types.safetensors"));
  std::vector<std::pair<std::string, Tensor>> tensors;
  for (const StoredTensor& tensor : model.tensors) tensors.emplace_back(tensor.name, tensor.read());
  write_safetensors(tensors, scratch / "again.safetensors", {{"a \"quoted\" key", "b"}});
  const ir::Model again = read_model(scratch / "again.safetensors");
  ASSERT_EQ(again.tensors.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) EXPECT_TRUE(find(again, name).read().identical(tensor)) << name;
  EXPECT_EQ(again.info.user_metadata.at("a \"quoted\" key"), "b");
  EXPECT_EQ(again.info.name, "again");
}

TEST(Safetensors, RefusesToWriteWhatTheFormatCannotHold) {
  const Scratch scratch;
  const Tensor t = Tensor::scalar(1.0F);
  EXPECT_NE(error_of([&] { write_safetensors({{"a", t}, {"a", t}}, scratch / "x"); }), "");
  EXPECT_NE(error_of([&] { write_safetensors({{"__metadata__", t}}, scratch / "x"); }), "");
  EXPECT_NE(error_of([&] { write_safetensors({{"s", Tensor::scalar(std::string("text"))}}, scratch / "x"); }), "");
  EXPECT_NE(error_of([&] { write_safetensors({{"q", Tensor(DType::i4, {2})}}, scratch / "x"); }), "");
  EXPECT_NE(error_of([&] { write_safetensors({{"\xFF", t}}, scratch / "x"); }), "");
  EXPECT_FALSE(exists(scratch / "x"));
}

TEST(Safetensors, TheMajorityOfBytesNamesTheQuantization) {
  const Scratch scratch;
  write_safetensors({{"big", Tensor::zeros(DType::f16, {100})}, {"small", Tensor::zeros(DType::f32, {10})}}, scratch / "m");
  EXPECT_EQ(read_model(scratch / "m").info.quantization, "F16");
}

TEST(Safetensors, BooleansOtherThanZeroAndOneAreNormalised) {
  const Scratch scratch;
  const std::string path =
      scratch.put("b", file_of(R"({"b":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})", 0) + "\x7F" + '\0');
  const Tensor b = read_model(path).tensors[0].read();
  EXPECT_EQ(static_cast<int>(b.data()[0]), 1);
  EXPECT_EQ(static_cast<int>(b.data()[1]), 0);
}

TEST(Safetensors, MisalignedDataIsCopied) {
  const Scratch scratch;
  std::string header = R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  while (header.size() % 4 != 1) header += ' ';
  const float value = 2.5F;
  std::string bytes = file_of(header, 0);
  bytes.append(reinterpret_cast<const char*>(&value), 4);
  const Tensor x = read_model(scratch.put("x", bytes)).tensors[0].read();
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(x.data()) % 4, 0U);
  EXPECT_EQ(x.values<float>()[0], 2.5F);
}

struct Refusal {
  const char* header;
  std::size_t data;
  const char* message;
};

TEST(Safetensors, HostileHeadersAreRefused) {
  const Refusal cases[] = {
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8,
       "twice"},
      {R"({"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 4, "'dtype' stands twice"},
      {R"({"__metadata__":{"k":"1","k":"2"}})", 0, "twice"},
      {R"({"__metadata__":{},"__metadata__":{}})", 0, "twice"},
      {R"({"__metadata__":{"k":1}})", 0, "a number"},
      {R"({"__metadata__":{"k":{}}})", 0, "an object"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 5, "1 bytes follow the last tensor"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", 3, "outside the 3 bytes"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8, "no holes"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8,
       "no overlap"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4, "takes 8 bytes"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", 4, "expected 0"},
      {R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551615]}})",
       4, "outside"},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]}})", 4, "overflows"},
      {R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0, "overflows"},
      {R"({"a":{"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,0]}})", 0, "out of range"},
      {R"({"a":{"dtype":"F32","shape":[18446744073709551616],"data_offsets":[0,0]}})", 0, "fraction"},
      {R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4, "negative"},
      {R"({"a":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", 4, "fraction"},
      {R"({"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}})", 4, "unknown dtype 'F99'"},
      {R"({"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}})", 1, "no whole bytes"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", 4, "expected 2"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,4]}})", 4, "expected 2"},
      {R"({"a":{"dtype":"F32","shape":[1]}})", 0, "are needed"},
      {R"({"a":{"dtype":"F32","shape":[[1]],"data_offsets":[0,4]}})", 4, "a list"},
      {R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}})", 4, "unknown key 'x'"},
      {R"({"a":[]})", 0, "a list"},
      {R"({"a":null})", 0, "null"},
      {R"({"a":{}})", 0, "are needed"},
      {R"({"a":{"dtype":)", 0, "not valid JSON"},
      {R"({} x)", 0, "not valid JSON"},
      {"{\"\xFF\":{}}", 0, "not valid JSON"},
  };
  for (const Refusal& refusal : cases) {
    const std::string error = read_error(file_of(refusal.header, refusal.data));
    EXPECT_NE(error.find(refusal.message), std::string::npos) << refusal.header << "\n  gave: " << error;
  }
}

TEST(Safetensors, HeaderLengthsAreCheckedBeforeAnythingIsRead) {
  for (const std::uint64_t length : {3UL, 100'000'001UL, 1UL << 31, 1UL << 32, 1UL << 39}) {
    EXPECT_NE(read_error(file_of("{}", 0, length)), "") << length;
  }
  EXPECT_NE(error_of([] { read_safetensors("/dev/null", {}); }), "");
  EXPECT_EQ(read_error(file_of("{}", 0)), "");
  EXPECT_EQ(read_error(file_of("{}      ", 0)), "");
}

TEST(Safetensors, DeepNestingStopsAtOnce) {
  std::string header = "{\"a\":";
  header += std::string(1'000'000, '[');
  EXPECT_NE(read_error(file_of(header, 0)).find("a list"), std::string::npos);
}

TEST(Safetensors, EveryTruncationIsRefused) {
  const std::string bytes = bytes_of(data_file("safetensors/all_types.safetensors"));
  const Scratch scratch;
  for (std::size_t size = 0; size < bytes.size(); size += 3) {
    const std::string path = scratch.put("cut.safetensors", bytes.substr(0, size));
    EXPECT_THROW(read_model(path), Error) << size;
  }
}

TEST(Safetensors, FlippedBitsNeverCrash) {
  const std::string bytes = bytes_of(data_file("safetensors/all_types.safetensors"));
  const Scratch scratch;
  for (std::size_t bit = 0; bit < bytes.size() * 8; bit += 7) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    const std::string path = scratch.put("flip.safetensors", damaged);
    error_of([&] {
      for (const StoredTensor& tensor : read_model(path).tensors) tensor.read();
    });
  }
}

}  // namespace
}  // namespace tl::format
