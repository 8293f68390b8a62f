#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "format/format.hpp"
#include "insight/diff.hpp"
#include "insight/energy.hpp"
#include "insight/layout.hpp"
#include "insight/model_graph.hpp"
#include "insight/page.hpp"
#include "insight/scopes.hpp"
#include "insight/svg.hpp"
#include "ir/build.hpp"
#include "ir/text.hpp"
#include "plan/cost.hpp"
#include "scratch.hpp"

namespace tl::insight {
namespace {

std::string program(const std::string& body, const std::string& inputs, const std::string& outputs) {
  return "program(1.3)\n[buildInfo = dict<string, string>({})]\n{\n    func main<ios16>(" + inputs + ") {\n" + body +
         "        } -> (" + outputs + ");\n}\n";
}

ir::Model model_of(const std::string& text) {
  ir::Model model;
  model.program = ir::parse_mil(text);
  model.info.name = "m";
  return model;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) text.replace(at, from.size(), to);
  return text;
}

// Every edge goes down one rank, each item stands in one rank, and what shares a rank keeps its distance.
void check_layout(const std::vector<Pin>& pins, const std::vector<LayoutEdge>& edges) {
  const Layered layered = layer(pins, edges);
  std::vector<std::size_t> rank(pins.size() + layered.dummies.size(), 1000000);
  std::size_t placed = 0;
  for (std::size_t r = 0; r < layered.ranks.size(); ++r) {
    for (const std::size_t item : layered.ranks[r]) {
      rank.at(item) = r;
      ++placed;
    }
  }
  EXPECT_EQ(placed, rank.size());
  for (const LayoutEdge& segment : layered.segments) EXPECT_EQ(rank[segment.from] + 1, rank[segment.to]);
  // From the source of each edge its target is reached by segments of its value, or it is named as distant.
  for (const LayoutEdge& edge : edges) {
    std::set<std::size_t> reached = {edge.from};
    for (std::size_t r = 0; r < layered.ranks.size(); ++r) {
      for (const LayoutEdge& s : layered.segments) {
        if (s.value == edge.value && rank[s.from] == r && reached.count(s.from) != 0) reached.insert(s.to);
      }
    }
    const bool distant = std::any_of(layered.distant.begin(), layered.distant.end(),
                                     [&](const LayoutEdge& d) { return d.from == edge.from && d.to == edge.to; });
    EXPECT_TRUE(distant || reached.count(edge.to) != 0) << edge.from << " -> " << edge.to;
  }
  const std::vector<double> widths(rank.size(), 10);
  const std::vector<double> x = place(layered, widths, 4);
  for (const auto& items : layered.ranks) {
    for (std::size_t i = 1; i < items.size(); ++i) EXPECT_GE(x[items[i]] - x[items[i - 1]], 14 - 1e-6);
  }
}

TEST(Layout, DiamondWithALongEdge) {
  //   0 -> 1 -> 2 -> 3,  0 -> 4 -> 3,  0 -> 3
  check_layout(std::vector<Pin>(5, Pin::none), {{0, 1, 0}, {1, 2, 1}, {2, 3, 2}, {0, 4, 0}, {4, 3, 4}, {0, 3, 0}});
}

TEST(Layout, PinsAndBackwardEdges) {
  const std::vector<Pin> pins = {Pin::top, Pin::none, Pin::none, Pin::bottom};
  const std::vector<LayoutEdge> edges = {{0, 2, 0}, {2, 1, 1}, {1, 3, 2}, {1, 2, 3}};
  check_layout(pins, edges);
  const Layered layered = layer(pins, edges);
  EXPECT_EQ(layered.ranks.front(), std::vector<std::size_t>{0});
  EXPECT_EQ(layered.ranks.back(), std::vector<std::size_t>{3});
}

TEST(Layout, AChainWithSkipsStaysNarrow) {
  std::vector<LayoutEdge> edges;
  constexpr std::size_t blocks = 200;
  for (std::size_t b = 0; b < blocks; ++b) {
    edges.push_back({2 * b, 2 * b + 1, 2 * b});
    edges.push_back({2 * b + 1, 2 * b + 2, 2 * b + 1});
    edges.push_back({2 * b, 2 * b + 2, 2 * b});
  }
  const std::vector<Pin> pins(2 * blocks + 1, Pin::none);
  const Layered layered = layer(pins, edges);
  const std::vector<double> x = place(layered, std::vector<double>(pins.size() + layered.dummies.size(), 100), 20);
  const auto [low, high] = std::minmax_element(x.begin(), x.end());
  EXPECT_LT(*high - *low, 1200);
}

TEST(Layout, ManyLongEdgesKeepToTheBudget) {
  std::vector<LayoutEdge> edges;
  constexpr std::size_t count = 3000;
  for (std::size_t i = 0; i + 1 < count; ++i) {
    edges.push_back({i, i + 1, i});
    if (i + 2 < count) edges.push_back({i, count - 1, i});
  }
  const Layered layered = layer(std::vector<Pin>(count, Pin::none), edges);
  EXPECT_LE(layered.dummies.size(), 200 + 4 * (count + edges.size()));
  EXPECT_FALSE(layered.distant.empty());
}

TEST(Scopes, FoldByPrefix) {
  const std::vector<std::string> names = {"net_layer_0_q_weight", "net_layer_0_k_weight", "", "net_layer_0_v_weight",
                                          "net_layer_1_q_weight", "net_layer_1_k_weight", "", "net_layer_1_v_weight"};
  const auto scopes = scopes_of(names);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(scopes[i], std::vector<std::string>{"layer 0"}) << i;
  for (std::size_t i = 4; i < 8; ++i) EXPECT_EQ(scopes[i], std::vector<std::string>{"layer 1"}) << i;
}

TEST(Scopes, ScatteredNamesMakeNoGroup) {
  std::vector<std::string> names(40);
  for (std::size_t i = 0; i < names.size(); ++i)
    names[i] = (i % 4 == 0 ? "input_" : "odd" + std::to_string(i) + "_") + std::to_string(i) + "_weight";
  for (const auto& scope : scopes_of(names)) EXPECT_TRUE(scope.empty());
}

TEST(Page, NamesAreNeverMarkup) {
  EXPECT_EQ(escape_html("<a href='x'>&\"\x01"), "&lt;a href=&#39;x&#39;&gt;&amp;&quot;");
  const std::string hostile = "</script><img src=x onerror=alert(1)>";
  const std::string json = script_json(Json{{"name", hostile}, {"broken", "\xff"}});
  EXPECT_EQ(json.find('<'), std::string::npos);
  EXPECT_EQ(Json::parse(json)["name"], hostile);
  Graph graph;
  graph.name = hostile;
  graph.nodes.push_back({hostile, hostile, {hostile}, {{hostile, hostile}}, {}});
  graph.values.push_back({hostile, 0, {}});
  Page page(hostile, hostile);
  page.facts({{hostile, hostile, hostile}}).section(hostile, hostile).graphs({graph}).findings({{"error", hostile, hostile}});
  Table table;
  table.columns = {{hostile}};
  table.rows = {{hostile}};
  const std::string html = page.table(table).code(hostile).html();
  EXPECT_EQ(html.find("<img"), std::string::npos);
  EXPECT_NE(html.find("\\u003c/script\\u003e"), std::string::npos);
  const std::string svg = graph_svg({graph});
  EXPECT_EQ(svg.find("<img"), std::string::npos);
  EXPECT_EQ(replaced(html, "http://www.w3.org/2000/svg", "").find("http"), std::string::npos);
  for (const char* way_out : {"@import", "url(", "fetch(", "XMLHttp", "innerHTML"})
    EXPECT_EQ(html.find(way_out), std::string::npos) << way_out;
}

TEST(ModelGraph, UnknownOps) {
  const auto text = program(
      "            tensor<fp16, [2]> a = nosuch_op(x = x, k = tensor<int32, [2]>([3, 4]))[name = string(\"a\")];\n"
      "            tensor<fp16, [2]> b = relu(x = a)[name = string(\"b\")];\n",
      "tensor<fp16, [2]> x", "b");
  const auto model = model_of(text);
  const ModelGraph graph = model_graph(*model.program->functions[0]);
  ASSERT_EQ(graph.graph.nodes.size(), 4U);  // input, two ops, output
  EXPECT_EQ(graph.graph.nodes[1].type, "nosuch_op");
  const auto& details = graph.graph.nodes[1].details;
  EXPECT_NE(std::find(details.begin(), details.end(), std::pair<std::string, std::string>("k", "[3, 4]")), details.end());
  const Colouring& families = graph.graph.colourings.at(0);
  EXPECT_EQ(families.classes.at(static_cast<std::size_t>(families.of_node[1])).name, "not defined here");
  EXPECT_EQ(graph_json(graph.graph)["groups"].size(), 1U);
}

TEST(ModelGraph, NestedBlocksAreGroups) {
  const ir::Model model = format::read_model(std::string(TL_SOURCE_DIR) + "/test/data/models/branches.mlpackage");
  const ModelGraph graph = model_graph(*model.program->functions[0]);
  std::set<std::string> groups, types;
  for (const GraphNode& node : graph.graph.nodes) {
    types.insert(node.type);
    for (const std::string& group : node.scope) groups.insert(group);
  }
  EXPECT_EQ(types.count("cond"), 1U);
  EXPECT_EQ(types.count("result"), 1U);
  EXPECT_EQ(groups.count("then"), 1U);
  EXPECT_EQ(groups.count("else"), 1U);
  for (const GraphValue& value : graph.graph.values) {
    for (const std::size_t to : value.to) EXPECT_LT(to, graph.graph.nodes.size());
  }
}

TEST(ModelGraph, Histogram) {
  std::vector<float> values(40, 0.0F);
  values[0] = -1;
  values[39] = 3;
  const Histogram histogram = histogram_of("w", Tensor::of<float>({40}, std::span<const float>(values)));
  EXPECT_EQ(histogram.low, -1);
  EXPECT_EQ(histogram.high, 3);
  std::uint64_t total = 0;
  for (const std::uint64_t count : histogram.bins) total += count;
  EXPECT_EQ(total, 40U);
  EXPECT_EQ(histogram.bins.front(), 1U);
  EXPECT_EQ(histogram.bins.back(), 1U);
}

plan::Cost cost_of_only(const std::string& body, const std::string& inputs) {
  const auto model = model_of(program(body, inputs, "y"));
  return plan::cost_of(*model.program->functions[0]->body.ops.back());
}

TEST(Cost, CountsByHand) {
  // The first convolution of a ResNet: 112 * 112 * 64 outputs of 3 * 7 * 7 multiplications and additions.
  const plan::Cost conv =
      cost_of_only("            tensor<fp16, [1, 64, 112, 112]> y = conv(x = x, weight = w)[name = string(\"y\")];\n",
                   "tensor<fp16, [1, 3, 224, 224]> x, tensor<fp16, [64, 3, 7, 7]> w");
  EXPECT_EQ(conv.flops, 236027904.0);
  EXPECT_EQ(conv.written, 64.0 * 112 * 112 * 2);
  EXPECT_EQ(conv.read, (3.0 * 224 * 224 + 64 * 3 * 7 * 7) * 2);
  // [4, 8] by [8, 16]
  EXPECT_EQ(cost_of_only("            tensor<fp32, [4, 16]> y = matmul(x = a, y = b)[name = string(\"y\")];\n",
                         "tensor<fp32, [4, 8]> a, tensor<fp32, [8, 16]> b")
                .flops,
            2.0 * 4 * 8 * 16);
  EXPECT_EQ(cost_of_only("            tensor<fp32, [4, 16]> y = linear(x = a, weight = b)[name = string(\"y\")];\n",
                         "tensor<fp32, [4, 8]> a, tensor<fp32, [16, 8]> b")
                .flops,
            2.0 * 4 * 8 * 16);
  EXPECT_EQ(cost_of_only("            tensor<fp32, [5]> y = add(x = a, y = b)[name = string(\"y\")];\n",
                         "tensor<fp32, [5]> a, tensor<fp32, [5]> b")
                .flops,
            5.0);
  const plan::Cost view = cost_of_only(
      "            tensor<fp32, [5, 1]> y = expand_dims(x = a, axes = tensor<int32, [1]>([1]))[name = string(\"y\")];\n",
      "tensor<fp32, [5]> a");
  EXPECT_EQ(view.flops + view.read + view.written, 0.0);
}

TEST(Cost, OfAStateInPlaceWhatIsPut) {
  ir::Var held, row;
  held.type = ir::StateType{std::make_shared<const ir::Type>(DType::f16, ir::Dims{1, 12, 1024, 64})};
  row.type = {DType::f16, {1, 12, 1, 64}};
  const auto at = ir::make_constant(Tensor::of<std::int32_t>({4}, {0, 0, 7, 0}));
  const auto end = ir::make_constant(Tensor::of<std::int32_t>({4}, {1, 12, 8, 64}));
  const auto op = ir::make_op("tl.update_state", {{"state", &held}, {"update", &row}, {"begin", at}, {"end", end}}, "y");
  const plan::Cost cost = plan::cost_of(*op);
  EXPECT_EQ(cost.written, 12.0 * 64 * 2);
  EXPECT_EQ(cost.read, 12.0 * 64 * 2 + 2 * 4 * 4);
}

const char* two_ops = R"(            tensor<fp32, [2, 32]> a = add(x = x, y = c)[name = string("a")];
            tensor<fp32, [2, 32]> b = relu(x = a)[name = string("b")];
)";

std::string with_constant(const std::string& first, const std::string& ops = two_ops) {
  std::string values = first;
  for (int i = 1; i < 32; ++i) values += ", " + std::to_string(i);
  return program(
      "            tensor<fp32, [32]> c = const()[name = string(\"c\"), val = tensor<fp32, [32]>([" + values + "])];\n" + ops,
      "tensor<fp32, [2, 32]> x", "b");
}

TEST(Diff, TheSame) { EXPECT_TRUE(diff_models(model_of(with_constant("0")), model_of(with_constant("0"))).same()); }

TEST(Diff, Weights) {
  const ModelDiff diff = diff_models(model_of(with_constant("0")), model_of(with_constant("0.5")));
  ASSERT_EQ(diff.weights.size(), 1U);
  EXPECT_EQ(diff.weights[0].op, "a");
  EXPECT_EQ(diff.weights[0].param, "y");
  EXPECT_EQ(diff.weights[0].differing, 1);
  EXPECT_EQ(diff.weights[0].largest, 0.5);
  EXPECT_EQ(diff.weights[0].mean, 0.5 / 32);
  EXPECT_TRUE(diff.added.empty() && diff.removed.empty() && diff.changed.empty());
}

std::vector<std::string> names_of(const std::vector<OpChange>& changes) {
  std::vector<std::string> names;
  for (const OpChange& change : changes) names.push_back(change.op_a + ">" + change.op_b + " " + change.type);
  return names;
}
using Names = std::vector<std::string>;
using What = std::vector<std::pair<std::string, std::string>>;

TEST(Diff, ARenamedOpIsFoundByItsStructure) {
  const std::string renamed = replaced(replaced(replaced(two_ops, "> a =", "> z ="), "\"a\"", "\"z\""), "x = a", "x = z");
  const ModelDiff diff = diff_models(model_of(with_constant("0")), model_of(with_constant("0", renamed)));
  EXPECT_EQ(diff.ops_renamed, 1U);
  EXPECT_EQ(names_of(diff.added), Names{});
  EXPECT_EQ(names_of(diff.removed), Names{});
  ASSERT_EQ(names_of(diff.changed), Names{"a>z add"});
  EXPECT_EQ(diff.changed[0].what, (What{{"name", "a -> z"}}));
}

TEST(Diff, AddedRemovedAndRewired) {
  const std::string more =
      "            tensor<fp32, [2, 32]> a = add(x = x, y = c)[name = string(\"a\")];\n"
      "            tensor<fp32, [2, 32]> t = tanh(x = a)[name = string(\"t\")];\n"
      "            tensor<fp32, [2, 32]> b = relu(x = t)[name = string(\"b\")];\n";
  const ModelDiff forth = diff_models(model_of(with_constant("0")), model_of(with_constant("0", more)));
  EXPECT_EQ(names_of(forth.added), Names{">t tanh"});
  EXPECT_EQ(names_of(forth.removed), Names{});
  ASSERT_EQ(names_of(forth.changed), Names{"b>b relu"});
  EXPECT_EQ(forth.changed[0].what, (What{{"x", "a -> t"}}));
  const ModelDiff back = diff_models(model_of(with_constant("0", more)), model_of(with_constant("0")));
  EXPECT_EQ(names_of(back.removed), Names{"t> tanh"});
  EXPECT_EQ(names_of(back.added), Names{});
}

TEST(Diff, TypesAndParameters) {
  const std::string other = replaced(two_ops, "relu(x = a)", "clip(x = a, alpha = fp32(0x0p+0), beta = fp32(0x1.8p+2))");
  const std::string narrower = replaced(other, "0x1.8p+2", "0x1p+0");
  const ModelDiff type = diff_models(model_of(with_constant("0")), model_of(with_constant("0", other)));
  EXPECT_EQ(names_of(type.changed), Names{"b>b relu -> clip"});
  const ModelDiff beta = diff_models(model_of(with_constant("0", other)), model_of(with_constant("0", narrower)));
  ASSERT_EQ(names_of(beta.changed), Names{"b>b clip"});
  EXPECT_EQ(beta.changed[0].what, (What{{"beta", "6 -> 1"}}));
}

TEST(Diff, MetadataAndInterface) {
  ir::Model a = model_of(with_constant("0")), b = model_of(with_constant("0"));
  a.info.author = "one";
  b.info.author = "two";
  Feature feature;
  feature.name = "x";
  feature.kind = ArrayFeature{DType::f32, {2, 32}, {}, {}, {}};
  Interface interface;
  interface.inputs = {feature};
  a.info.interfaces = {interface};
  interface.inputs[0].kind = ArrayFeature{DType::f16, {2, 32}, {}, {}, {}};
  b.info.interfaces = {interface};
  const ModelDiff diff = diff_models(a, b);
  EXPECT_EQ(diff.metadata, (What{{"author", "one -> two"}}));
  EXPECT_EQ(diff.interface, (What{{"input x", "fp32 [2, 32] -> fp16 [2, 32]"}}));
  EXPECT_FALSE(diff.same());
}

TEST(Energy, CountersOfThePackagesThatStartAgain) {
  const test::Scratch scratch;
  const auto folder = std::filesystem::path(scratch / "") / "intel-rapl:0";
  std::filesystem::create_directories(folder);
  const auto put = [&](const char* name, const char* text) { std::ofstream(folder / name) << text << "\n"; };
  put("name", "package-0");
  put("energy_uj", "9000000");
  put("max_energy_range_uj", "10000000");
  EnergyMeter meter(scratch / "");
  meter.start();
  put("energy_uj", "500000");
  ASSERT_TRUE(meter.joules().has_value());
  EXPECT_NEAR(*meter.joules(), 1.5, 1e-9);
  const test::Scratch empty;
  EXPECT_FALSE(EnergyMeter(empty / "").joules().has_value());
  EXPECT_NE(EnergyMeter(empty / "").note(), "");
}

}  // namespace
}  // namespace tl::insight
