#include <gtest/gtest.h>

#include <cstring>

#include "format/format.hpp"
#include "format/gguf_blocks.hpp"
#include "scratch.hpp"

namespace tl::format {
namespace {

using test::bytes_of;
using test::data_file;
using test::error_of;
using test::Scratch;

std::map<std::string, Tensor> tensors_of(const std::string& file) {
  std::map<std::string, Tensor> result;
  for (const StoredTensor& tensor : read_model(data_file(file)).tensors) result.emplace(tensor.name, tensor.read());
  return result;
}

TEST(Gguf, BlocksDequantizeToTheNumbersOfTheReferencePackage) {
  const auto fixtures = tensors_of("gguf/blocks.safetensors");
  int types = 0;
  for (const auto& [key, expected] : fixtures) {
    if (!key.ends_with(".values")) continue;
    const std::string name = key.substr(0, key.size() - 7);
    const GgufType* type = gguf_type(name);
    ASSERT_NE(type, nullptr) << name;
    ASSERT_NE(type->dequantize, nullptr) << name;
    const Tensor& blocks = fixtures.at(name + ".blocks");
    const std::int64_t count = blocks.size() / type->block_bytes;
    ASSERT_EQ(count * type->block_elements, expected.size()) << name;
    std::vector<float> values(static_cast<std::size_t>(expected.size()));
    type->dequantize(blocks.values<std::uint8_t>().data(), values.data(), count);
    for (std::size_t i = 0; i < values.size(); ++i)
      ASSERT_EQ(values[i], expected.values<float>()[i]) << name << " element " << i;
    ++types;
  }
  EXPECT_EQ(types, 23);
}

TEST(Gguf, ReadsAFileOfTheReferenceWriter) {
  const ir::Model model = read_model(data_file("gguf/sample.gguf"));
  EXPECT_EQ(model.info.format, Format::gguf);
  EXPECT_EQ(model.info.model_type, "llama");
  EXPECT_EQ(model.info.author, "Nobody");
  EXPECT_EQ(model.info.license, "MIT");
  const auto& metadata = model.info.user_metadata;
  EXPECT_EQ(metadata.at("llama.block_count"), "2");
  EXPECT_EQ(metadata.at("llama.rope.freq_base"), "10000.5");
  EXPECT_EQ(metadata.at("tokenizer.ggml.add_bos_token"), "true");
  EXPECT_EQ(metadata.at("tokenizer.ggml.tokens"), "[t0, t1, t2, t3, t4, t5, t6, t7, ... 12 string in all]");
  EXPECT_EQ(metadata.at("small"), "[1, -2, 3]");
  EXPECT_EQ(metadata.at("neg"), "-5");
  EXPECT_EQ(model.info.quantization, "F32");
  const auto tensors = tensors_of("gguf/sample.gguf");
  EXPECT_EQ(tensors.at("plain.f32").shape(), (Shape{2, 32}));
  EXPECT_EQ(tensors.at("plain.f32").number_at(33), 13);
  EXPECT_EQ(tensors.at("plain.f16").shape(), (Shape{2, 3}));
  EXPECT_EQ(tensors.at("plain.f16").number_at(3), 12);
  EXPECT_EQ(tensors.at("ints").integer_at(1), -2);
  for (const auto& [name, expected] : tensors_of("gguf/sample.safetensors"))
    EXPECT_TRUE(tensors.at(name).identical(expected)) << name;
}

// Builds hostile files field by field.
class Builder {
 public:
  Builder& raw(std::string_view text) {
    bytes_ += text;
    return *this;
  }
  template <class T>
  Builder& number(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(T));
    return *this;
  }
  Builder& u32(std::uint32_t value) { return number(value); }
  Builder& u64(std::uint64_t value) { return number(value); }
  Builder& text(std::string_view value) { return u64(value.size()).raw(value); }
  Builder& header(std::uint64_t tensors, std::uint64_t pairs, std::uint32_t version = 3) {
    return raw("GGUF").u32(version).u64(tensors).u64(pairs);
  }
  Builder& tensor(std::string_view name, std::vector<std::uint64_t> extents, std::uint32_t type, std::uint64_t offset) {
    text(name).u32(static_cast<std::uint32_t>(extents.size()));
    for (const std::uint64_t extent : extents) u64(extent);
    return u32(type).u64(offset);
  }
  Builder& data(std::size_t size) {
    bytes_.resize((bytes_.size() + 31) / 32 * 32 + size);
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

std::string read_error(const Builder& builder) {
  const Scratch scratch;
  const std::string path = scratch.put("x.gguf", builder.bytes());
  return error_of([&] {
    for (const StoredTensor& tensor : read_model(path).tensors) tensor.read();
  });
}

constexpr std::uint64_t huge[] = {1ULL << 31, 1ULL << 32, (1ULL << 62) - 1, 1ULL << 62,
                                  1ULL << 63, ~0ULL - 31, ~0ULL - 1,        ~0ULL};

TEST(Gguf, HugeCountsAreRefusedBeforeAnythingIsAllocated) {
  for (const std::uint64_t n : huge) {
    EXPECT_NE(read_error(Builder().header(0, n)), "") << "pairs " << n;    // CVE-2024-25664, -23605
    EXPECT_NE(read_error(Builder().header(n, 0)), "") << "tensors " << n;  // CVE-2024-25666, -21836
    EXPECT_NE(read_error(Builder().header(0, 1).u64(n).raw(std::string(40, 'k'))), "")
        << "key " << n;  // CVE-2024-25665, -23496
    EXPECT_NE(read_error(Builder().header(0, 1).text("k").u32(8).u64(n).raw(std::string(40, 'v'))), "");  // string value
    EXPECT_NE(read_error(Builder().header(0, 1).text("k").u32(9).u32(10).u64(n).raw(std::string(40, 0))),
              "");  // CVE-2024-25667
    EXPECT_NE(read_error(Builder().header(0, 1).text("k").u32(9).u32(8).u64(n).raw(std::string(40, 0))),
              "");  // CVE-2024-25668, -21825
    EXPECT_NE(read_error(Builder().header(1, 0).u64(n).raw(std::string(40, 't'))), "") << "tensor name " << n;
    EXPECT_NE(read_error(Builder().header(1, 0).tensor("t", {n}, 0, 0).data(64)), "") << "extent " << n;     // CVE-2024-21802
    EXPECT_NE(read_error(Builder().header(1, 0).tensor("t", {4, n}, 0, 0).data(64)), "") << "extent " << n;  // CVE-2026-33298
    EXPECT_NE(read_error(Builder().header(1, 0).tensor("t", {n, n, n, n}, 0, 0).data(64)), "");
    EXPECT_NE(read_error(Builder().header(1, 0).tensor("t", {4}, 0, n / 32 * 32).data(64)), "") << "offset " << n;
    // CVE-2025-53630, -2026-27940: sizes that wrap when they are summed
    EXPECT_NE(read_error(Builder().header(2, 0).tensor("a", {n / 4 + 1}, 0, 0).tensor("b", {4}, 0, n / 32 * 32).data(64)), "");
  }
}

TEST(Gguf, WrongFieldsAreRefusedByName) {
  const auto refused = [](const Builder& builder, std::string_view message) {
    const std::string error = read_error(builder);
    EXPECT_NE(error.find(message), std::string::npos) << message << "\n  gave: " << error;
  };
  refused(Builder().raw("GGUF"), "version");
  refused(Builder().header(0, 0, 1), "version 1");
  refused(Builder().header(0, 0, 4), "version 4");
  refused(Builder().header(0, 0, 0x03000000), "big-endian");
  refused(Builder().header(0, 1).text("k").u32(13).raw(std::string(16, 0)), "value type 13");
  refused(Builder().header(0, 1).text("k").u32(0xFFFFFFFF).raw(std::string(16, 0)), "value type");
  refused(Builder().header(0, 1).text("k").u32(9).u32(77).u64(0), "value type 77");
  refused(Builder().header(0, 1).text("k").u32(7).raw("\x02"), "boolean");
  refused(Builder().header(0, 1).text("").u32(0).raw("\1\1\1"), "metadata key of 0 bytes");
  refused(Builder().header(0, 2).text("k").u32(0).raw("\1").text("k").u32(0).raw("\1"), "stands twice");
  refused(Builder().header(1, 0).tensor("t", {4}, 4, 0).data(64), "tensor type 4 is not known");
  refused(Builder().header(1, 0).tensor("t", {4}, 0xFFFFFFFF, 0).data(64), "not known");
  refused(Builder().header(1, 0).tensor("t", {32}, 9, 0).data(64), "Q8_1 are not read");
  refused(Builder().header(1, 0).tensor("t", {16}, 2, 0).data(64), "blocks of 32");
  refused(Builder().header(1, 0).tensor("t", {32}, 2, 0).data(17), "outside");
  refused(Builder().header(1, 0).tensor("t", {4}, 0, 8).data(64), "multiple of 32");
  refused(Builder().header(1, 0).tensor("t", {1, 1, 1, 1, 1}, 0, 0).data(64), "5 axes");
  refused(Builder().header(2, 0).tensor("t", {4}, 0, 0).tensor("t", {4}, 0, 32).data(64), "'t' stands twice");
  refused(Builder().header(2, 0).tensor("a", {16}, 0, 0).tensor("b", {4}, 0, 32).data(64), "overlap");
  for (const std::uint32_t alignment : {0U, 1U, 3U, 24U, 1U << 31, ~0U}) {
    refused(Builder().header(1, 1).text("general.alignment").u32(4).u32(alignment).tensor("t", {4}, 0, 0).data(64),
            "general.alignment");
  }
  refused(Builder().header(0, 1).text("general.alignment").u32(10).u64(32), "expected uint32");
}

TEST(Gguf, NestedListsAreBounded) {
  Builder builder;
  builder.header(0, 1).text("k").u32(9);
  for (int i = 0; i < 1000; ++i) builder.u32(9).u64(1);
  builder.u32(0).u64(0);
  EXPECT_NE(read_error(builder).find("nest"), std::string::npos);
}

TEST(Gguf, EmptyAndScalarTensorsAreLegal) {
  EXPECT_EQ(read_error(Builder().header(0, 0)), "");
  EXPECT_EQ(read_error(Builder().header(2, 0).tensor("none", {0, 4}, 0, 0).tensor("one", {}, 0, 0).data(4)), "");
}

TEST(Gguf, EveryTruncationIsRefused) {
  const std::string bytes = bytes_of(data_file("gguf/sample.gguf"));
  const Scratch scratch;
  std::size_t last = bytes.size() - 32;  // the file ends with padding
  for (std::size_t size = 0; size < last; size += 5) {
    const std::string path = scratch.put("cut.gguf", bytes.substr(0, size));
    EXPECT_THROW(read_model(path), Error) << size;
  }
}

TEST(Gguf, FlippedBitsNeverCrash) {
  const std::string bytes = bytes_of(data_file("gguf/sample.gguf"));
  const Scratch scratch;
  for (std::size_t bit = 0; bit < bytes.size() * 8; bit += 5) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    const std::string path = scratch.put("flip.gguf", damaged);
    error_of([&] {
      for (const StoredTensor& tensor : read_model(path).tensors) tensor.read();
    });
  }
}

}  // namespace
}  // namespace tl::format
