#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <random>

#include "format/format.hpp"
#include "format/spec_bytes.hpp"
#include "ir/op_def.hpp"
#include "ir/verify.hpp"
#include "scratch.hpp"
#include "tensorlogic/model.hpp"

namespace tl::format {
namespace {

namespace fs = std::filesystem;
using test::as_bytes;
using test::error_of;

Tensor row_of(const Tensor& rows, std::int64_t i) {
  Shape shape(rows.shape().begin() + 1, rows.shape().end());
  const std::int64_t size = element_count(shape);
  return Tensor::of<double>(shape,
                            rows.values<double>().subspan(static_cast<std::size_t>(i * size), static_cast<std::size_t>(size)));
}

// Tensors, labels and probabilities in the order of their labels as numbers.
std::vector<double> numbers(const Value& value) {
  std::vector<double> result;
  if (value.is_dict()) {
    for (const auto& [key, number] : value.dict().items) result.push_back(number.tensor().number_at(0));
  } else {
    const Tensor& tensor = value.tensor();
    for (std::int64_t i = 0; i < tensor.size(); ++i) {
      result.push_back(tensor.dtype() == DType::string ? std::stod(tensor.strings()[static_cast<std::size_t>(i)])
                                                       : tensor.number_at(i));
    }
  }
  return result;
}

TEST(classic, give_what_scikit_learn_and_scipy_give) {
  int count = 0;
  for (const auto& entry : fs::directory_iterator(test::data_file("classic"))) {
    if (entry.path().extension() != ".mlmodel" || !fs::exists(fs::path(entry.path()).replace_extension(".safetensors")))
      continue;
    SCOPED_TRACE(entry.path().stem().string());
    const ir::Model io = read_safetensors(fs::path(entry.path()).replace_extension(".safetensors").string(), {});
    const Model model = Model::load(entry.path().string());
    std::int64_t rows = 0;
    for (const StoredTensor& tensor : io.tensors) rows = tensor.shape.at(0);
    for (std::int64_t i = 0; i < rows; ++i) {
      NamedValues inputs;
      for (const StoredTensor& tensor : io.tensors) {
        if (tensor.name.rfind("in.", 0) == 0) inputs[tensor.name.substr(3)] = row_of(tensor.read(), i);
      }
      NamedValues outputs;
      ASSERT_EQ(error_of([&] { outputs = model.predict(inputs); }), "");
      for (const StoredTensor& tensor : io.tensors) {
        if (tensor.name.rfind("out.", 0) != 0) continue;
        const std::vector<double> got = numbers(outputs.at(tensor.name.substr(4))), want = numbers(row_of(tensor.read(), i));
        ASSERT_EQ(got.size(), want.size());
        for (std::size_t k = 0; k < want.size(); ++k) {
          EXPECT_NEAR(got[k], want[k], 1e-6 * std::max(1.0, std::fabs(want[k]))) << tensor.name << " of row " << i;
        }
      }
    }
    ++count;
  }
  EXPECT_GT(count, 30);
}

Tensor list(std::initializer_list<std::int32_t> values) {
  return Tensor::of<std::int32_t>({static_cast<std::int64_t>(values.size())}, values);
}
Tensor reals(std::initializer_list<double> values) {
  return Tensor::of<double>({static_cast<std::int64_t>(values.size())}, values);
}

// A tree whose root asks whether feature 0 is at most 1: leaves 1 (adds 10 to output 0) and 2 (adds 20 to output 1).
std::vector<std::pair<std::string, Value>> tree() {
  return {{"x", reals({0})},
          {"roots", list({0})},
          {"behavior", list({0, 6, 6})},
          {"feature", list({0, 0, 0})},
          {"value", reals({1, 0, 0})},
          {"yes", list({1, 0, 0})},
          {"no", list({2, 0, 0})},
          {"missing", list({0, 0, 0})},
          {"leaf_begin", list({0, 0, 1, 2})},
          {"leaf_index", list({0, 1})},
          {"leaf_value", reals({10, 20})},
          {"base", reals({1, 2})}};
}

std::string evaluated(const std::string& param, Tensor value) {
  auto inputs = tree();
  for (auto& [name, old] : inputs) {
    if (name == param) old = std::move(value);
  }
  return error_of([&] { ir::eager("tl.tree_ensemble", std::move(inputs)); });
}

TEST(classic, a_tree_sends_missing_values_where_it_says) {
  const auto sums = [](double x, std::int32_t missing) {
    auto inputs = tree();
    inputs[0].second = reals({x});
    inputs[7].second = list({missing, 0, 0});
    return numbers(ir::eager("tl.tree_ensemble", inputs).at(0));
  };
  EXPECT_EQ(sums(1, 0), (std::vector<double>{11, 2}));
  EXPECT_EQ(sums(1.5, 0), (std::vector<double>{1, 22}));
  EXPECT_EQ(sums(NAN, 0), (std::vector<double>{1, 22}));
  EXPECT_EQ(sums(NAN, 1), (std::vector<double>{11, 2}));
}

TEST(classic, trees_are_checked) {
  EXPECT_EQ(evaluated("yes", list({1, 0, 0})), "");
  EXPECT_NE(evaluated("yes", list({0, 0, 0})).find("has a cycle"), std::string::npos);
  EXPECT_NE(evaluated("yes", list({3, 0, 0})).find("3 is outside of 3"), std::string::npos);
  EXPECT_NE(evaluated("no", list({-1, 0, 0})).find("-1 is outside of 3"), std::string::npos);
  EXPECT_NE(evaluated("feature", list({1, 0, 0})).find("feature 1 of 1"), std::string::npos);
  EXPECT_NE(evaluated("behavior", list({7, 6, 6})).find("7 is outside of 6"), std::string::npos);
  EXPECT_NE(evaluated("leaf_index", list({0, 2})).find("2 is outside of 2"), std::string::npos);
  EXPECT_NE(evaluated("leaf_begin", list({0, 0, 1, 3})).find("3 is outside of 2"), std::string::npos);
  EXPECT_NE(evaluated("roots", list({3})).find("3 is outside of 3"), std::string::npos);
}

TEST(classic, categories) {
  const Tensor keys = Tensor::of_strings({2}, {"a", "b"});
  const auto one_hot = [&](const std::string& x, bool ignore) {
    return ir::eager("tl.one_hot_category",
                     {{"x", Tensor::scalar(x)}, {"categories", keys}, {"ignore_unknown", Tensor::scalar(ignore)}})
        .at(0);
  };
  EXPECT_EQ(numbers(one_hot("b", false)), (std::vector<double>{0, 1}));
  EXPECT_EQ(numbers(one_hot("c", true)), (std::vector<double>{0, 0}));
  EXPECT_NE(error_of([&] { one_hot("c", false); }).find("'c' is no category"), std::string::npos);
  const auto mapped = [&](const std::string& x) {
    return ir::eager("tl.map_category",
                     {{"x", Tensor::scalar(x)}, {"keys", keys}, {"values", Tensor::of<std::int64_t>({2}, {7, 9})}})
        .at(0);
  };
  EXPECT_EQ(numbers(mapped("b")), (std::vector<double>{9}));
  EXPECT_NE(error_of([&] { mapped("z"); }).find("'z' is not mapped"), std::string::npos);
}

// relu(x - 1), then a linear of the weights 0, 1, 2, ...
TEST(classic, programs_are_stages_of_a_pipeline) {
  const Model model = Model::load(test::data_file("classic/two_programs.mlpackage"));
  EXPECT_EQ(model.info().model_type, "pipeline");
  const NamedValues outputs = model.predict({{"x", Tensor::of<float>({2, 3}, {0, 2, 3, 4, 5, -6})}});
  const std::vector<double> y = numbers(outputs.at("y"));
  ASSERT_EQ(y.size(), 200U);
  EXPECT_EQ(std::vector<double>(y.begin(), y.begin() + 4), (std::vector<double>{5, 14, 23, 32}));
  EXPECT_EQ(std::vector<double>(y.begin() + 100, y.begin() + 104), (std::vector<double>{4, 25, 46, 67}));
}

Dict scored(std::initializer_list<std::pair<const char*, double>> items) {
  Dict dict;
  for (const auto& [name, score] : items) dict.items.emplace_back(Tensor::scalar(std::string(name)), Tensor::scalar(score));
  return dict;
}
Tensor texts(std::vector<std::string> values) {
  const auto count = static_cast<std::int64_t>(values.size());
  return Tensor::of_strings({count}, std::move(values));
}

// The score of an item is the sum over the given ones of similarity (score - shift of the item); shift is 0.5 for the bee.
TEST(classic, items_are_recommended) {
  const Model model = Model::load(test::data_file("classic/recommender.mlmodel"));
  const auto best = [&](NamedValues inputs) { return model.predict(inputs).at("best").tensor().strings(); };
  using Texts = std::vector<std::string>;
  const NamedValues ant{{"items", scored({{"ant", 2}})}};
  const NamedValues outputs = model.predict(ant);
  // bee 0.5 (2 - 0.5), cat 0.25 * 2, dog 0; the ant itself is left out
  EXPECT_EQ(outputs.at("best").tensor().strings(), (Texts{"bee", "cat", "dog"}));
  EXPECT_EQ(numbers(outputs.at("scores")), (std::vector<double>{0.75, 0.5, 0}));
  NamedValues inputs = ant;
  inputs["count"] = Tensor::scalar(std::int64_t{1});
  EXPECT_EQ(best(inputs), (Texts{"bee"}));
  inputs["count"] = Tensor::scalar(std::int64_t{0});
  EXPECT_EQ(best(inputs), Texts());
  inputs.erase("count");
  inputs["without"] = texts({"bee"});
  EXPECT_EQ(best(inputs), (Texts{"cat", "ant", "dog"}));
  inputs["without"] = List{};
  EXPECT_EQ(best(inputs), (Texts{"bee", "cat", "ant", "dog"}));
  inputs["only"] = texts({"dog", "cat", "emu"});
  EXPECT_EQ(best(inputs), (Texts{"cat", "dog"}));
  // dog: 1 (1 - 0) from the bee and 0.125 * 4 from the cat; ant: 0.5 (1 - 0)
  EXPECT_EQ(best({{"items", scored({{"bee", 1}, {"cat", 4}, {"emu", 9}})}}), (Texts{"dog", "ant"}));
  EXPECT_NE(error_of([&] {
              model.predict({{"items", scored({{"ant", 2}})}, {"only", list({1})}});
            }).find("int32 are given, the model takes texts"),
            std::string::npos);
}

TEST(classic, neighbors_vote) {
  const auto vote = [](double x, std::int64_t k, bool inverse) {
    const auto results = ir::eager("tl.nearest_neighbors", {{"x", reals({x})},
                                                            {"samples", Tensor::of<float>({4, 1}, {0, 1, 3, 4})},
                                                            {"labels", texts({"a", "b", "b", "a"})},
                                                            {"k", Tensor::scalar(k)},
                                                            {"inverse", Tensor::scalar(inverse)}});
    return std::pair(results[0].tensor().strings()[0], numbers(results[1]));
  };
  using Answer = std::pair<std::string, std::vector<double>>;
  EXPECT_EQ(vote(0.25, 1, false), (Answer{"a", {1, 0}}));
  EXPECT_EQ(vote(0.25, 3, false), (Answer{"b", {1.0 / 3, 2.0 / 3}}));
  EXPECT_EQ(vote(0.25, 4, false), (Answer{"a", {0.5, 0.5}}));  // the nearest decides
  EXPECT_EQ(vote(0.25, 99, false), (Answer{"a", {0.5, 0.5}}));
  EXPECT_EQ(vote(0.5, 2, true), (Answer{"a", {0.5, 0.5}}));
  EXPECT_EQ(vote(2, 4, true), (Answer{"b", {0.2, 0.8}}));  // 1/4 + 1/4 against 1 + 1
  EXPECT_EQ(vote(3, 4, true), (Answer{"b", {0, 1}}));
  EXPECT_NE(error_of([&] { vote(0, 0, false); }).find("0 neighbors"), std::string::npos);
}

// Draws from the normal distribution of mean 0.25 and deviation 1.5 * 0.5, cut at one deviation.
TEST(classic, sampled_probabilities_stay_inside_the_cut) {
  const auto draw = [](double scale, double cut) {
    const auto none = reals({});
    const Tensor no_ids = Tensor::zeros(DType::i64, {0});
    return ir::eager("tl.probit_regression", {{"x", none},
                                              {"optimism", Tensor::scalar(0.0)},
                                              {"scale", Tensor::scalar(scale)},
                                              {"truncation", Tensor::scalar(cut)},
                                              {"features", no_ids},
                                              {"values", no_ids},
                                              {"means", none},
                                              {"variances", none},
                                              {"bias_mean", Tensor::scalar(0.25)},
                                              {"bias_variance", Tensor::scalar(0.25)}})
        .at(4)
        .tensor()
        .number_at(0);
  };
  // cdf(0.25 -+ 0.75) = 0.3085375387, 0.8413447461 (SciPy); the mean of cdf(s) over the cut distribution is 0.5914 (SciPy,
  // quad)
  double sum = 0, least = 1, most = 0;
  for (int i = 0; i < 4000; ++i) {
    const double p = draw(1.5, 1);
    sum += p;
    least = std::min(least, p);
    most = std::max(most, p);
  }
  EXPECT_GE(least, 0.3085375387);
  EXPECT_LE(most, 0.8413447461);
  EXPECT_LT(least, 0.33);
  EXPECT_GT(most, 0.82);
  EXPECT_NEAR(sum / 4000, 0.5914, 0.01);
  EXPECT_EQ(draw(1.5, 0), draw(0, NAN));
}

TEST(classic, private_types_are_refused_by_name) {
  // Field numbers of the model's type and what the message says.
  const auto refusal = [](int number, bool in_pipeline) {
    const auto varint = [](std::uint64_t value) {
      std::string out;
      for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
      return out + static_cast<char>(value);
    };
    const auto field = [&](int id, const std::string& payload) {
      return varint(static_cast<std::uint64_t>(id) << 3 | 2) + varint(payload.size()) + payload;
    };
    const std::string inner = std::string("\x08\x05", 2) + field(number, "");
    const std::string bytes = in_pipeline ? std::string("\x08\x05", 2) + field(202, field(1, inner)) : inner;
    const test::Scratch scratch;
    const Model model = Model::load(scratch.put("m.mlmodel", bytes));
    return error_of([&] { model.predict({}); });
  };
  const std::pair<int, const char*> types[] = {
      {2000, "textClassifier"}, {2001, "wordTagger"},    {2002, "visionFeaturePrint"}, {2003, "soundAnalysisPreprocessing"},
      {2004, "gazetteer"},      {2005, "wordEmbedding"}, {2006, "audioFeaturePrint"},  {560, "classConfidenceThresholding"}};
  for (const auto& [number, name] : types) {
    for (const bool in_pipeline : {false, true}) {
      const std::string error = refusal(number, in_pipeline);
      EXPECT_NE(error.find("[unsupported]"), std::string::npos) << error;
      EXPECT_NE(error.find(std::string("models of type '") + name + "' are not run: "), std::string::npos) << error;
    }
  }
}

TEST(classic, links_that_lead_nowhere_are_refused) {
  const test::Scratch scratch;
  const std::string link = read_text(test::data_file("classic/linked.mlmodel"));
  const std::string alone = scratch.put("linked.mlmodel", link);
  const std::string error = error_of([&] { Model::load(alone); });
  EXPECT_NE(error.find("the linked model 'linear.mlmodelc' is in none of the places that the file names: '$BUNDLE_MAIN', "
                       "'nowhere', '.'"),
            std::string::npos)
      << error;
  // A link to itself.
  const std::string circle = scratch.put("linear.mlmodel", link);
  EXPECT_NE(error_of([&] { Model::load(circle); }).find("links lead over 8 models"), std::string::npos);
}

TEST(classic, boxes) {
  const auto number = [](double v) { return Tensor::scalar(v); };
  const auto pick = [&](double confidence, double iou, bool per_class) {
    // Boxes 0 and 1 share half of each (1/3 of both together), box 2 stands apart.
    return ir::eager("tl.pick_boxes", {{"confidence", Tensor::of<double>({3, 2}, {0.5, 0.1, 0.2, 0.9, 0.4, 0.3})},
                                       {"coordinates", Tensor::of<double>({3, 4}, {1, 1, 2, 2, 2, 1, 2, 2, 9, 9, 2, 2})},
                                       {"confidence_threshold", number(confidence)},
                                       {"iou_threshold", number(iou)},
                                       {"default_confidence", number(0.45)},
                                       {"default_iou", number(0.5)},
                                       {"per_class", Tensor::scalar(per_class)}});
  };
  EXPECT_EQ(numbers(pick(0, 0.5, false)[0]), (std::vector<double>{0.2, 0.9, 0.5, 0.1, 0.4, 0.3}));
  EXPECT_EQ(numbers(pick(0, 0.3, false)[0]), (std::vector<double>{0.2, 0.9, 0.4, 0.3}));
  EXPECT_EQ(numbers(pick(0, 0.3, true)[1]), (std::vector<double>{2, 1, 2, 2, 1, 1, 2, 2, 9, 9, 2, 2}));
  EXPECT_EQ(numbers(pick(NAN, NAN, false)[1]), (std::vector<double>{2, 1, 2, 2, 1, 1, 2, 2}));
  EXPECT_EQ(pick(2, 0.5, false)[1].tensor().shape(), (Shape{0, 4}));
}

TEST(classic, changed_bytes_give_an_error_or_a_model) {
  std::mt19937 random(13);  // NOLINT(cert-msc51-cpp): the same mutants every time
  int errors = 0, rounds = 0;
  for (const char* name : {"svr_poly", "boosted_two", "network_then_forest", "svc_three", "scaled"}) {
    const std::string bytes = read_text(test::data_file("classic/" + std::string(name) + ".mlmodel"));
    for (int i = 0; i < 600; ++i, ++rounds) {
      std::string mutant = bytes;
      for (auto flips = 1 + random() % 3; flips > 0; --flips) {
        const auto value = i % 2 == 0 ? random() : random() % 4 * 85;
        mutant[random() % mutant.size()] = static_cast<char>(value);
      }
      const std::string error = error_of([&] {
        ir::Model model = read_spec(as_bytes(mutant), {});
        if (model.program != nullptr) ir::verify(*model.program);
      });
      EXPECT_EQ(error.find("[internal]"), std::string::npos) << error;
      errors += error.empty() ? 0 : 1;
    }
  }
  EXPECT_GT(errors, rounds / 20);
}

}  // namespace
}  // namespace tl::format
