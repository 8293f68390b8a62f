#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <random>

#include "format/format.hpp"
#include "format/spec_bytes.hpp"
#include "ir/verify.hpp"
#include "scratch.hpp"
#include "tensorlogic/model.hpp"

namespace tl::format {
namespace {

namespace fs = std::filesystem;
using test::as_bytes;
using test::error_of;

// Bytes of protobuf messages.
std::string varint(std::uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}
std::string field(int number, const std::string& payload) {
  return varint(static_cast<std::uint64_t>(number) << 3 | 2) + varint(payload.size()) + payload;
}
std::string field(int number, std::uint64_t value) { return varint(static_cast<std::uint64_t>(number) << 3) + varint(value); }

std::string floats(std::initializer_list<float> values) {
  std::string out;
  for (const float value : values) out.append(reinterpret_cast<const char*>(&value), sizeof value);
  return field(1, out);
}

std::string feature(const std::string& name, std::initializer_list<std::uint64_t> shape) {
  std::string extents;
  for (const std::uint64_t extent : shape) extents += varint(extent);
  return field(1, name) + field(3, field(5, field(1, extents) + field(2, 65568)));
}

std::string layer(const std::string& name, std::initializer_list<std::string> inputs,
                  std::initializer_list<std::string> outputs, int kind, const std::string& params) {
  std::string out = field(1, name);
  for (const std::string& input : inputs) out += field(2, input);
  for (const std::string& output : outputs) out += field(3, output);
  return field(1, out + field(kind, params));
}

enum : int {
  convolution = 100,
  inner_product = 140,
  unary = 220,
  custom = 500,
  branch = 605,
  loop = 615,
  loop_break = 620,
  load_constant_nd = 1070,
  gru = 410,
  split_nd = 975
};
constexpr int neural_network = 500, classifier = 403;

// A network over x [2, 3] that gives y.
std::string model(const std::string& layers, int type = neural_network,
                  const std::string& inputs = field(1, feature("x", {2, 3}))) {
  return field(1, std::uint64_t{4}) + field(2, inputs + field(10, feature("y", {2, 3}))) +
         field(type, layers + field(5, std::uint64_t{1}));
}

void load(const std::string& bytes) {
  ir::Model model = read_spec(as_bytes(bytes), {});
  for (const StoredTensor& tensor : model.tensors) tensor.read();
  ir::verify(*model.program);
}

std::string refusal(const std::string& layers, int type = neural_network) {
  return error_of([&] { load(model(layers, type)); });
}

TEST(networks, give_what_numpy_gives) {
  int count = 0;
  for (const auto& entry : fs::directory_iterator(test::data_file("networks"))) {
    if (entry.path().extension() != ".mlmodel") continue;
    SCOPED_TRACE(entry.path().stem().string());
    const ir::Model io = read_safetensors(fs::path(entry.path()).replace_extension(".safetensors").string(), {});
    NamedValues inputs;
    for (const StoredTensor& tensor : io.tensors) {
      if (tensor.name.rfind("in.", 0) == 0) inputs[tensor.name.substr(3)] = tensor.read();
    }
    NamedValues outputs;
    const std::string error = error_of([&] { outputs = Model::load(entry.path().string()).predict(inputs); });
    ASSERT_EQ(error, "");
    for (const StoredTensor& tensor : io.tensors) {
      if (tensor.name.rfind("out.", 0) != 0) continue;
      const Tensor want = tensor.read();
      const Tensor got = outputs.at(tensor.name.substr(4)).tensor().cast(DType::f32);
      ASSERT_EQ(got.shape(), want.shape());
      for (std::int64_t i = 0; i < want.size(); ++i) {
        ASSERT_NEAR(got.number_at(i), want.number_at(i), 1e-5 * std::max(1.0, std::fabs(want.number_at(i)))) << i;
      }
    }
    ++count;
  }
  EXPECT_GT(count, 40);
}

TEST(networks, weights_stay_compressed) {
  const auto storage = [](const std::string& name) {
    return read_mlmodel(test::data_file("networks/" + name + ".mlmodel"), {}).info.quantization;
  };
  EXPECT_EQ(storage("linear_8_bit"), "W8");
  EXPECT_EQ(storage("linear_4_bit"), "W4");
  EXPECT_EQ(storage("table_6_bit"), "P6");
  EXPECT_EQ(storage("table_2_bit"), "P2");
  EXPECT_EQ(storage("half"), "F16");
}

TEST(networks, blobs_are_computed_before_use) {
  EXPECT_EQ(refusal(layer("a", {"z"}, {"y"}, unary, "")),
            "[bad model] layer 'a' (unary): blob 'z' is not computed before it is used");
  EXPECT_EQ(refusal(layer("a", {"y"}, {"y"}, unary, "")),
            "[bad model] layer 'a' (unary): blob 'y' is not computed before it is used");
  EXPECT_EQ(refusal(layer("a", {"x"}, {"z"}, unary, "")), "[bad model] output 'y': blob 'y' is not computed before it is used");
  EXPECT_EQ(refusal(layer("a", {}, {"y"}, unary, "")),
            "[bad model] layer 'a' (unary): 0 inputs are given, at least 1 are expected");
  EXPECT_EQ(refusal(layer("a", {"x"}, {"y", "z"}, unary, "")),
            "[bad model] layer 'a' (unary): 2 outputs are named, it gives 1");
}

TEST(networks, unknown_layers_are_named) {
  EXPECT_EQ(refusal(layer("a", {"x"}, {"y"}, 4000, "")),
            "[unsupported] layer 'a' (of an unknown kind): layers of this kind are not supported");
  EXPECT_EQ(refusal(layer("a", {"x"}, {"y"}, custom, field(10, std::string("Swish")))), "");
  EXPECT_EQ(refusal(layer("a", {"x"}, {"y"}, custom, "")),
            "[bad model] layer 'a' (custom): op 'a' (custom_layer): class_name: a class name is expected");
  EXPECT_EQ(refusal(layer("a", {}, {}, loop_break, "")), "[bad model] layer 'a' (loopBreak): stands outside of a loop");
}

// Op types of the program that stands for these layers, and why it does not run.
std::pair<std::vector<std::string>, std::string> looked_at(const std::string& layers, const std::string& inputs = "") {
  const std::string bytes = inputs.empty() ? model(layers) : model(layers, neural_network, inputs);
  const ir::Model read = read_spec(as_bytes(bytes), {}, {{}, false, 0, true});
  std::vector<std::string> types;
  ir::for_each_op(read.program->functions[0]->body, [&](const ir::Op& op) {
    if (op.type != "const") types.push_back(op.type);
    EXPECT_EQ(op.def == nullptr, op.type.rfind("nn.", 0) == 0) << op.type;
  });
  return {types, read.refusal};
}

TEST(networks, what_is_not_translated_can_be_looked_at) {
  using Types = std::vector<std::string>;
  const std::string first = layer("a", {"x"}, {"a"}, unary, ""), last = layer("c", {"b"}, {"y"}, unary, "");
  const auto [types, why] = looked_at(first + layer("odd", {"a"}, {"b"}, 4000, field(1, std::string("?"))) + last);
  EXPECT_EQ(types, (Types{"sqrt", "nn.unknown_4000", "sqrt"}));
  EXPECT_EQ(why, "layer 'odd' (of an unknown kind): layers of this kind are not supported");
  // A mode that nobody knows, and what no longer fits a guessed type.
  EXPECT_EQ(looked_at(first + layer("odd", {"a"}, {"b"}, unary, field(1, std::uint64_t{77})) + last).first,
            (Types{"sqrt", "nn.unary", "sqrt"}));
  EXPECT_EQ(looked_at(layer("odd", {"x"}, {"a", "b"}, 4000, "") + last).first, (Types{"nn.unknown_4000", "sqrt"}));
  EXPECT_EQ(looked_at(first + layer("b", {"a"}, {"b"}, unary, "") + last).second, "");
  // In a branch: the choice stays.
  const std::string choice = layer(
      "i", {"x"}, {}, branch, field(1, layer("odd", {"x"}, {"y"}, 4000, "")) + field(2, layer("b", {"x"}, {"y"}, unary, "")));
  const auto inside = looked_at(layer("n", {"x"}, {"y"}, unary, "") + choice, field(1, feature("x", {1})));
  EXPECT_EQ(std::count(inside.first.begin(), inside.first.end(), "cond"), 1);
  EXPECT_EQ(std::count(inside.first.begin(), inside.first.end(), "nn.unknown_4000"), 1);
  // What is damaged stays an error.
  EXPECT_EQ(error_of([&] { looked_at(layer("a", {"z"}, {"y"}, 4000, "")); }),
            "[bad model] layer 'a' (of an unknown kind): blob 'z' is not computed before it is used");
  EXPECT_NE(error_of([&] { looked_at(layer("a", {"x"}, {"y"}, convolution, "")); }).find("[bad model]"), std::string::npos);
}

TEST(networks, weights_hold_what_their_shape_needs) {
  const auto product = [](const std::string& weights, std::uint64_t in = 3) {
    return refusal(layer("a", {"x"}, {"y"}, inner_product, field(1, in) + field(2, std::uint64_t{3}) + field(20, weights)));
  };
  const auto bits = [](std::uint64_t n) { return field(40, field(1, n) + field(101, floats({1}))); };
  const std::string place = "layer 'a' (innerProduct): weights: ";
  EXPECT_EQ(product(floats({1, 2, 3})), "[bad model] " + place + "3 values are given, shape [3, 3] needs 9");
  EXPECT_EQ(product(""), "[bad model] " + place + "0 values are given, shape [3, 3] needs 9");
  EXPECT_EQ(product("", std::uint64_t{1} << 31),
            "[bad model] " + place + "0 values are given, shape [3, 2147483648] needs 6442450944");
  EXPECT_EQ(product("", 0), "[bad model] layer 'a' (innerProduct): inputChannels: 0 is out of range");
  EXPECT_EQ(product(field(2, std::string(17, 'x'))), "[bad model] " + place + "17 bytes are given, shape [3, 3] needs 18");
  EXPECT_EQ(product(floats({1}) + field(2, std::string(18, 'x'))), "[bad model] " + place + "its values are given in 2 forms");
  EXPECT_EQ(product(field(30, std::string(9, 'x'))), "[bad model] " + place + "0 bits per value, 1 to 8 are possible");
  EXPECT_EQ(product(field(30, std::string(9, 'x')) + bits(9)),
            "[bad model] " + place + "9 bits per value, 1 to 8 are possible");
  EXPECT_EQ(product(field(30, std::string(3, 'x')) + bits(3)),
            "[bad model] " + place + "3 bytes are given, shape [3, 3] needs 4");
  EXPECT_EQ(product(field(30, std::string(9, 'x')) + field(40, field(1, std::uint64_t{8}))),
            "[bad model] " + place + "quantized values without a quantization");
  EXPECT_EQ(product(field(30, std::string(9, 'x')) + field(40, field(1, std::uint64_t{8}) + field(101, floats({1, 2})))),
            "[bad model] " + place + "2 scales are given for a weight of shape [3, 3]");
  EXPECT_EQ(product(field(30, std::string(9, 'x')) + field(40, field(1, std::uint64_t{8}) + field(102, floats({1, 2})))),
            "[bad model] " + place + "a lookup table of 2 entries, expected 256");
}

TEST(networks, extents_are_checked_before_room_is_made) {
  const std::uint64_t huge = std::uint64_t{1} << 31;
  EXPECT_NE(refusal(layer("a", {}, {"y"}, load_constant_nd, field(1, varint(huge) + varint(huge) + varint(huge)))), "");
  EXPECT_NE(refusal(layer("a", {}, {"y"}, load_constant_nd, field(1, varint(~std::uint64_t{0})))), "");
  EXPECT_NE(refusal(layer("a", {"x"}, {"y"}, gru, field(1, huge) + field(2, huge))), "");
  EXPECT_NE(refusal(layer("a", {"x"}, {"y"}, convolution, field(1, huge) + field(2, huge))), "");
  EXPECT_EQ(refusal(layer("a", {"x"}, {"y"}, split_nd, field(2, huge))),
            "[bad model] layer 'a' (splitND): 2147483648 parts for 1 outputs");
}

TEST(networks, nesting_is_bounded) {
  std::string inner = layer("a", {"x"}, {"y"}, unary, "");
  for (int i = 0; i < 9; ++i) inner = layer("l", {}, {}, loop, field(1, std::uint64_t{2}) + field(4, inner));
  EXPECT_NE(refusal(inner).find("loops are nested over 8 deep"), std::string::npos);
  // Every loop translates its body several times.
  std::string wide;
  for (int i = 0; i < 2000; ++i) wide += layer("a", {"x"}, {"x"}, unary, "");
  for (int i = 0; i < 7; ++i) wide = layer("l", {}, {}, loop, field(1, std::uint64_t{2}) + field(4, wide));
  EXPECT_NE(refusal(wide), "");
}

TEST(networks, interfaces_are_checked) {
  const std::string twice = field(1, feature("x", {2})) + field(1, feature("x", {2}));
  EXPECT_EQ(error_of([&] { load(model(layer("a", {"x"}, {"y"}, unary, ""), neural_network, twice)); }),
            "[bad model] two inputs are named 'x'");
  EXPECT_EQ(refusal(layer("a", {"x"}, {"y"}, unary, ""), classifier), "[bad model] the classifier has no labels");
  const std::string labels = field(100, field(1, std::string("cat")));
  EXPECT_EQ(refusal(layer("a", {"x"}, {"y"}, unary, "") + labels, classifier), "[bad model] 1 labels for 6 probabilities");
}

TEST(networks, changed_bytes_give_an_error_or_a_model) {
  std::mt19937 random(11);  // NOLINT(cert-msc51-cpp): the same mutants every time
  int errors = 0, rounds = 0;
  for (const char* name : {"loop_1", "legacy_lstm", "table_3_bit", "image_bgr", "layer_pad_to", "layer_split"}) {
    const std::string bytes = read_text(test::data_file("networks/" + std::string(name) + ".mlmodel"));
    for (int i = 0; i < 1500; ++i, ++rounds) {
      std::string mutant = bytes;
      for (auto flips = 1 + random() % 3; flips > 0; --flips) {
        const auto value = i % 2 == 0 ? random() : random() % 4 * 85;
        mutant[random() % mutant.size()] = static_cast<char>(value);
      }
      const std::string error = error_of([&] {
        ir::Model model = read_spec(as_bytes(mutant), {}, {{}, false, 0, i % 3 == 0});
        if (model.program != nullptr) ir::verify(*model.program);
      });
      EXPECT_EQ(error.find("[internal]"), std::string::npos) << error;
      errors += error.empty() ? 0 : 1;
    }
  }
  EXPECT_GT(errors, rounds / 10);
}

}  // namespace
}  // namespace tl::format
