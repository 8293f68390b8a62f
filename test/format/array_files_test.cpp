#include "format/array_files.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "format/zip.hpp"
#include "scratch.hpp"

namespace tl::format {
namespace {

using test::bytes_of;
using test::data_file;
using test::error_of;
using test::Scratch;

Tensor array(const std::string& name) { return read_array(data_file("arrays/" + name)).tensor(); }
std::map<std::string, Tensor> arrays(const std::string& path) {
  std::map<std::string, Tensor> result;
  for (auto& [name, tensor] : read_arrays(path)) result.emplace(name, tensor);
  return result;
}

TEST(Arrays, ReadsWhatNumPyWrote) {
  const auto expected = arrays(data_file("arrays/expected.safetensors"));
  const Tensor& a = expected.at("a");
  EXPECT_TRUE(array("c.npy").identical(a));
  EXPECT_TRUE(array("fortran.npy").identical(a));
  EXPECT_TRUE(array("big.npy").identical(a));
  EXPECT_EQ(array("scalar.npy").integer_at(0), -7);
  EXPECT_EQ(array("scalar.npy").rank(), 0U);
  EXPECT_EQ(array("bool.npy").dtype(), DType::boolean);
  EXPECT_EQ(array("text.npy").strings(), (std::vector<std::string>{"ab", "ü猫"}));
  for (const char* name : {"arrays/stored.npz", "arrays/deflated.npz"})
    EXPECT_TRUE(arrays(data_file(name)).at("x").identical(a)) << name;
  EXPECT_EQ(arrays(data_file("arrays/stored.npz")).at("y").integer_at(4), 4);
  EXPECT_EQ(arrays(data_file("arrays/deflated.npz")).at("y").shape(), (Shape{3000}));
  EXPECT_NE(error_of([] { array("object.npy"); }).find("'|O'"), std::string::npos);
  EXPECT_NE(error_of([] { array("stored.npz"); }).find("holds 2 arrays"), std::string::npos);
}

TEST(Arrays, ReadsSoundAsFloats) {
  const auto expected = arrays(data_file("arrays/expected.safetensors"));
  for (const char* name : {"stereo16", "mono8", "mono24", "float"}) {
    EXPECT_TRUE(array(std::string(name) + ".wav").identical(expected.at(name))) << name;
  }
}

TEST(Arrays, ImagesArePixels) { EXPECT_EQ(read_array(data_file("images/rgb.png")).tensor().shape(), (Shape{21, 33, 3})); }

TEST(Arrays, JsonNumbersAndObjects) {
  EXPECT_TRUE(decode_json("[[1, 2], [3, -4]]").tensor().identical(Tensor::of<std::int64_t>({2, 2}, {1, 2, 3, -4})));
  EXPECT_TRUE(decode_json("[1, 2.5]").tensor().identical(Tensor::of<double>({2}, {1, 2.5})));
  EXPECT_TRUE(decode_json(" true").tensor().identical(Tensor::scalar(true)));
  EXPECT_EQ(decode_json("\"x\"").tensor().strings()[0], "x");
  EXPECT_EQ(decode_json("[]").tensor().shape(), (Shape{0}));
  const Value dict = decode_json(R"({"b": 1, "a": 2})");
  EXPECT_EQ(dict.dict().items[0].first.tensor().strings()[0], "b");
  EXPECT_EQ(dict.dict().items[1].second.tensor().integer_at(0), 2);
  for (const char* text :
       {"", "[1, [2]]", "[[1], [2, 3]]", "[[1], 2]", "[1, \"a\"]", "null", "[null]", "[1,]", "1e999", "{1: 2}"}) {
    EXPECT_NE(error_of([&] { decode_json(text); }), "") << text;
  }
  EXPECT_NE(error_of([] { decode_json(std::string(1'000'000, '[')); }).find("deep"), std::string::npos);
}

TEST(Arrays, JsonTextGivesTheFloatsBack) {
  EXPECT_EQ(encode_json(Tensor::of<float>({2, 1}, {0.1F, NAN})), "[[0.1],[null]]");
  EXPECT_EQ(encode_json(Dict{{{Tensor::scalar(std::int64_t{3}), Tensor::scalar(2.5)}}}), R"({"3":2.5})");
  EXPECT_EQ(encode_json(Tensor::scalar(std::string("a\xFF"))), "\"a\xEF\xBF\xBD\"");
}

TEST(Arrays, EveryWriterIsReadBack) {
  const Scratch scratch;
  const NamedTensors tensors = {{"x", Tensor::of<float>({2, 2}, {1, 2, 3, 4.5F})}, {"n", Tensor::of<std::int32_t>({1}, {-3})}};
  for (const char* name : {"a.npz", "a.safetensors"}) {
    write_arrays(scratch / name, tensors);
    const auto again = arrays(scratch / name);
    for (const auto& [key, tensor] : tensors) EXPECT_TRUE(again.at(key).identical(tensor)) << name << key;
  }
  write_arrays(scratch / "a.npy", {tensors[0]});
  EXPECT_TRUE(read_array(scratch / "a.npy").tensor().identical(tensors[0].second));
  write_arrays(scratch / "a.json", tensors);
  EXPECT_EQ(bytes_of(scratch / "a.json"), "{\"x\":[[1.0,2.0],[3.0,4.5]],\"n\":[-3]}\n");
  EXPECT_NE(error_of([&] { write_arrays(scratch / "b.npy", tensors); }).find("one array"), std::string::npos);
  EXPECT_NE(error_of([&] { write_arrays(scratch / "b.txt", tensors); }), "");
  EXPECT_NE(error_of([&] { write_arrays(scratch / "b.png", {tensors[0]}); }), "");
  write_arrays(scratch / "h.npy", {{"", Tensor::of<float>({2}, {1, -2}).cast(DType::bf16)}});
  EXPECT_EQ(read_array(scratch / "h.npy").tensor().number_at(1), -2);
}

std::string npy(const std::string& header, std::size_t data) {
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes += static_cast<char>(header.size() & 255);
  bytes += static_cast<char>(header.size() >> 8);
  return bytes + header + std::string(data, '\0');
}

TEST(Arrays, HostileNpyIsRefused) {
  for (const char* header :
       {"", "{", "{}", "{'descr': '<f4'}", "{'descr': '<f4', 'fortran_order': False, 'shape': (5,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
        "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9223372036854775807), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387905,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296,), }",
        "{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }",
        "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }",
        "{'descr': '<U4611686018427387904', 'fortran_order': False, 'shape': (4,), }",
        "{'descr': '<U0', 'fortran_order': False, 'shape': (4611686018427387904,), }",
        "{'descr': 'x', 'fortran_order': False, 'shape': ()}", "{'evil': 'x', 'fortran_order': False, 'shape': ()}"}) {
    const std::string bytes = npy(header, 8);
    EXPECT_NE(error_of([&] { decode_npy(test::as_bytes(bytes)); }), "") << header;
  }
}

TEST(Arrays, DamagedFilesAreErrorsNotCrashes) {
  const Scratch scratch;
  for (const char* name : {"fortran.npy", "text.npy", "stored.npz", "deflated.npz", "stereo16.wav", "float.wav"}) {
    const std::string bytes = bytes_of(data_file(std::string("arrays/") + name));
    for (std::size_t size = 0; size < bytes.size(); size += 1 + bytes.size() / 150) {
      const std::string path = scratch.put(name, bytes.substr(0, size));
      EXPECT_NE(error_of([&] { read_arrays(path); }), "") << name << " cut to " << size;
    }
    for (std::size_t bit = 0; bit < bytes.size() * 8; bit += 1 + bytes.size() / 60) {
      std::string damaged = bytes;
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
      const std::string path = scratch.put(name, damaged);
      error_of([&] { read_arrays(path); });
    }
  }
}

TEST(Arrays, ZipBombsAreRefusedBeforeTheyAreUnpacked) {
  const std::string bytes = bytes_of(data_file("arrays/deflated.npz"));
  ZipMember member = list_zip(test::as_bytes(bytes)).at(1);
  EXPECT_EQ(unpack_member(test::as_bytes(bytes), member, 1 << 20).size(), member.size);
  EXPECT_NE(error_of([&] { unpack_member(test::as_bytes(bytes), member, 100); }).find("at most 100"), std::string::npos);
  member.size = std::uint64_t{1} << 40;
  EXPECT_NE(error_of([&] { unpack_member(test::as_bytes(bytes), member, ~0ULL); }).find("cannot hold"), std::string::npos);
}

}  // namespace
}  // namespace tl::format
