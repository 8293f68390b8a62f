#include <gtest/gtest.h>

#include <random>

#include "format/format.hpp"
#include "format/model_folder.hpp"
#include "format/spec_bytes.hpp"
#include "format/wire_scan.hpp"
#include "ir/verify.hpp"
#include "scratch.hpp"

namespace tl::format {
namespace {

using test::as_bytes;
using test::error_of;
using test::Scratch;

std::string package(const std::string& name) { return test::data_file("models/" + name); }

std::string delimited(int field, const std::string& payload) {
  std::string out;
  const auto varint = [&](std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
    out += static_cast<char>(value);
  };
  varint(static_cast<std::uint64_t>(field) << 3 | 2);
  varint(payload.size());
  return out + payload;
}

// What loading does with the specification of a model.
void load(std::string_view bytes, const std::string& folder) {
  const ir::Model model = read_spec(as_bytes(bytes), folder_blobs(folder, false));
  for (const StoredTensor& tensor : model.tensors) tensor.read();
  if (model.program != nullptr) ir::verify(*model.program);
}

TEST(wire_scan, nesting_and_count_are_bounded) {
  std::string nested = "x";
  for (int i = 0; i < 99; ++i) nested = delimited(2, nested);
  EXPECT_EQ(error_of([&] { scan_wire(as_bytes(nested)); }), "");
  for (int i = 0; i < 5; ++i) nested = delimited(2, nested);
  EXPECT_EQ(error_of([&] { scan_wire(as_bytes(nested)); }), "[limit] messages are nested over 100 deep");
  for (int i = 0; i < 10'000; ++i) nested = delimited(2, nested);
  EXPECT_EQ(error_of([&] { read_spec(as_bytes(nested), {}); }), "[limit] messages are nested over 100 deep");

  std::string many;
  for (int i = 0; i < 1000; ++i) many += delimited(1, "");
  EXPECT_EQ(error_of([&] { scan_wire(as_bytes(many), {.nodes = 1000}); }), "");
  EXPECT_EQ(error_of([&] { scan_wire(as_bytes(many), {.nodes = 999}); }), "[limit] the specification has over 999 parts");
}

TEST(wire_scan, lengths_past_the_end_are_refused) {
  EXPECT_EQ(error_of([&] { scan_wire({}); }), "");
  for (const std::string_view broken :
       {std::string_view("\x0a\x05xx"), std::string_view("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11),
        std::string_view("\x08"), std::string_view("\x09xxx"), std::string_view("\x0b"), std::string_view("\0\0", 2)}) {
    EXPECT_NE(error_of([&] { scan_wire(as_bytes(broken)); }).find("[bad file]"), std::string::npos);
  }
}

TEST(spec, a_cut_specification_is_refused) {
  const std::string folder = package("branches.mlpackage/Data/com.apple.CoreML");
  const std::string bytes = read_text(folder + "/model.mlmodel");
  EXPECT_EQ(error_of([&] { load(bytes, folder); }), "");
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_NE(error_of([&] { load(std::string_view(bytes).substr(0, size), folder); }), "") << size;
  }
}

TEST(spec, changed_bytes_give_an_error_or_a_model) {
  const std::string folder = package("branches.mlpackage/Data/com.apple.CoreML");
  const std::string bytes = read_text(folder + "/model.mlmodel");
  std::mt19937 random(7);  // NOLINT(cert-msc51-cpp): the same mutants every time
  int errors = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string mutant = bytes;
    for (auto flips = 1 + random() % 3; flips > 0; --flips) {
      const auto value = round % 2 == 0 ? random() : random() % 4 * 85;
      mutant[random() % mutant.size()] = static_cast<char>(value);
    }
    errors += error_of([&] { load(mutant, folder); }).empty() ? 0 : 1;
  }
  EXPECT_GT(errors, 2000);
}

TEST(mlpackage, paths_stay_inside) {
  const std::string good = read_text(package("branches.mlpackage/Manifest.json"));
  const std::string_view path = "com.apple.CoreML/model.mlmodel";
  for (const char* evil : {"/etc/passwd", "../model.mlmodel", "a/../../model.mlmodel", "..", ""}) {
    const Scratch scratch;
    std::string manifest = good;
    manifest.replace(manifest.find(path), path.size(), evil);
    scratch.put("m.mlpackage/Manifest.json", manifest);
    EXPECT_NE(error_of([&] { read_model(scratch / "m.mlpackage"); }).find("leaves the package"), std::string::npos) << evil;
  }
  const Scratch scratch;
  scratch.put("m.mlpackage/Manifest.json", good);
  EXPECT_NE(error_of([&] { read_model(scratch / "m.mlpackage"); }).find("which is missing"), std::string::npos);
  for (const char* text :
       {"", "[]", "{}", "{\"rootModelIdentifier\": 3}", "{\"rootModelIdentifier\": \"a\", \"itemInfoEntries\": []}"}) {
    scratch.put("m.mlpackage/Manifest.json", text);
    EXPECT_NE(error_of([&] { read_model(scratch / "m.mlpackage"); }).find("[bad file]"), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace tl::format
