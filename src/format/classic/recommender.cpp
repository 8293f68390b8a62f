#include <algorithm>
#include <map>

#include "format/classic/stage.hpp"

namespace tl::format::classic {

void translate(Stage& stage, const spec::ItemSimilarityRecommender& params) {
  Emitter& e = stage.e;
  constexpr std::uint64_t most_items = std::uint64_t{1} << 24;
  std::uint64_t last = 0;
  std::map<std::uint64_t, const spec::ItemSimilarityRecommender::SimilarItems*> rows;
  const auto seen = [&](std::uint64_t id) {
    if (id >= most_items) fail(ErrorKind::limit, "item {}, at most {} are possible", id, most_items);
    last = std::max(last, id + 1);
    return static_cast<std::int32_t>(id);
  };
  for (const auto& row : params.itemitemsimilarities()) {
    seen(row.itemid());
    for (const auto& other : row.similaritemlist()) seen(other.itemid());
    if (!rows.emplace(row.itemid(), &row).second) fail(ErrorKind::bad_model, "item {} stands twice", row.itemid());
  }
  Tensor ids;
  if (params.itemstringids().vector_size() != 0) {
    const auto& list = params.itemstringids().vector();
    ids = Tensor::of_strings({list.size()}, {list.begin(), list.end()});
  } else if (params.itemint64ids().vector_size() != 0) {
    const auto& list = params.itemint64ids().vector();
    ids = Tensor::of<std::int64_t>({list.size()}, std::span<const std::int64_t>(list.data(), uz(list.size())));
  } else {
    ids = Tensor(DType::i64, {static_cast<std::int64_t>(last)});
    std::int64_t next = 0;
    for (std::int64_t& id : ids.mutable_values<std::int64_t>()) id = next++;
  }
  const std::int64_t items = ids.size();
  if (static_cast<std::int64_t>(last) > items) fail(ErrorKind::bad_model, "item {}, there are ids for {}", last - 1, items);
  std::vector<std::int32_t> begin{0}, similar;
  std::vector<double> similarity, shift(uz(items), 0);
  for (std::int64_t i = 0; i < items; ++i) {
    if (const auto found = rows.find(static_cast<std::uint64_t>(i)); found != rows.end()) {
      shift[uz(i)] = found->second->itemscoreadjustment();
      for (const auto& other : found->second->similaritemlist()) {
        similar.push_back(static_cast<std::int32_t>(other.itemid()));
        similarity.push_back(other.similarityscore());
      }
    }
    begin.push_back(static_cast<std::int32_t>(similar.size()));
  }
  const auto optional = [&](const std::string& name) {
    return name.empty() || stage.in.count(name) == 0 ? std::nullopt : std::optional<Blob>(stage.x(name));
  };
  std::optional<Blob> count = optional(params.numrecommendationsinputfeaturename());
  if (count) count = e.scalar(e.cast(*count, DType::f64));
  const auto list = [](const std::vector<std::int32_t>& entries) {
    return Emitter::literal(Tensor::of<std::int32_t>({iz(entries.size())}, std::span<const std::int32_t>(entries)));
  };
  const auto results = e.ops("tl.similar_items", {{"x", stage.x(params.iteminputfeaturename())},
                                                  {"count", count},
                                                  {"restrict", optional(params.itemrestrictioninputfeaturename())},
                                                  {"exclude", optional(params.itemexclusioninputfeaturename())},
                                                  {"ids", Emitter::literal(ids)},
                                                  {"row_begin", list(begin)},
                                                  {"similar", list(similar)},
                                                  {"similarity", numbers(similarity, {iz(similarity.size())})},
                                                  {"shift", numbers(shift, {items})}});
  for (const Feature& feature : stage.interface.outputs) {
    if (feature.name == params.recommendeditemlistoutputfeaturename()) {
      stage.put(feature.name, results[0]);
    } else if (feature.name == params.recommendeditemscoreoutputfeaturename()) {
      stage.put(feature.name, results[std::holds_alternative<DictFeature>(feature.kind) ? 2 : 1]);
    }
  }
}

}  // namespace tl::format::classic
