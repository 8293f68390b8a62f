#include "format/classic/stage.hpp"

namespace tl::format::classic {

// The kinds of index differ in speed only, and give the same neighbors.
void translate(Stage& stage, const spec::KNearestNeighborsClassifier& params) {
  Emitter& e = stage.e;
  const spec::NearestNeighborsIndex& index = params.nearestneighborsindex();
  const int columns = index.numberofdimensions();
  if (columns < 1) fail(ErrorKind::bad_model, "{} dimensions", columns);
  std::vector<float> samples;
  for (int i = 0; i < index.floatsamples_size(); ++i) {
    const auto& row = index.floatsamples(i).vector();
    if (row.size() != columns) fail(ErrorKind::bad_model, "sample {} has {} values, expected {}", i, row.size(), columns);
    samples.insert(samples.end(), row.begin(), row.end());
  }
  const std::int64_t rows = index.floatsamples_size();
  const bool text = params.has_stringclasslabels();
  Tensor labels;
  if (text) {
    const auto& list = params.stringclasslabels().vector();
    labels = Tensor::of_strings({list.size()}, {list.begin(), list.end()});
  } else {
    const auto& list = params.int64classlabels().vector();
    labels = Tensor::of<std::int64_t>({list.size()}, std::span<const std::int64_t>(list.data(), uz(list.size())));
  }
  if (labels.size() != rows) fail(ErrorKind::bad_model, "{} labels for {} samples", labels.size(), rows);
  std::optional<Blob> fallback;
  using Params = spec::KNearestNeighborsClassifier;
  if (params.DefaultClassLabel_case() == Params::kDefaultStringLabel) {
    fallback = Emitter::literal(Tensor::scalar(params.defaultstringlabel()));
  } else if (params.DefaultClassLabel_case() == Params::kDefaultInt64Label) {
    fallback = Emitter::literal(Tensor::scalar(std::int64_t{params.defaultint64label()}));
  }
  const Blob matrix = e.weight(Tensor::of<float>({rows, columns}, std::span<const float>(samples)), e.prefix() + "_samples");
  const auto results = e.ops("tl.nearest_neighbors",
                             {{"x", stage.features()},
                              {"samples", matrix},
                              {"labels", Emitter::literal(labels)},
                              {"fallback", fallback},
                              {"k", Emitter::literal(Tensor::scalar(std::int64_t{params.numberofneighbors().defaultvalue()}))},
                              {"inverse", params.has_inversedistanceweighting()}});
  for (const Feature& feature : stage.interface.outputs)
    stage.put(feature.name, std::holds_alternative<DictFeature>(feature.kind) ? results[1] : results[0]);
}

}  // namespace tl::format::classic
