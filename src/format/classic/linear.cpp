#include "format/classic/stage.hpp"

namespace tl::format::classic {
namespace {

// weights x + offset, one value per row.
template <class Params>
Blob scores(Stage& stage, const Params& params) {
  const int rows = params.weights_size();
  if (rows == 0) fail(ErrorKind::bad_model, "there are no weights");
  const int columns = params.weights(0).value_size();
  std::vector<double> weights;
  for (const auto& row : params.weights()) {
    if (row.value_size() != columns) fail(ErrorKind::bad_model, "rows of {} and {} weights", columns, row.value_size());
    weights.insert(weights.end(), row.value().begin(), row.value().end());
  }
  std::vector<double> offset = doubles(params.offset());
  if (offset.empty()) offset.assign(static_cast<std::size_t>(rows), 0);
  if (static_cast<int>(offset.size()) != rows) fail(ErrorKind::bad_model, "{} offsets for {} rows", offset.size(), rows);
  Emitter& e = stage.e;
  const Blob x = stage.features();
  if (const ir::Dim extent = nn::dims_of(x)[0]; extent.known() && extent.extent() != columns) {
    fail(ErrorKind::bad_model, "{} weights for {} features", columns, extent.extent());
  }
  const Blob matrix = e.weight(Tensor::of<double>({rows, columns}, std::span<const double>(weights)), e.prefix() + "_weights");
  return e.binary("add", sum_last(e, e.binary("mul", matrix, x)), numbers(offset, {rows}));
}

}  // namespace

void translate(Stage& stage, const spec::GLMRegressor& params) {
  using Params = spec::GLMRegressor;
  const Blob y = scores(stage, params);
  switch (params.postevaluationtransform()) {
    case Params::NoTransform: return stage.put(y);
    case Params::Logit: return stage.put(stage.e.op("sigmoid", {{"x", y}}));
    case Params::Probit: return stage.put(probit(stage.e, y));
    default: fail(ErrorKind::unsupported, "transform {} is not known", static_cast<int>(params.postevaluationtransform()));
  }
}

// One row against a reference class, a row for all classes but that, or a row per class.
void translate(Stage& stage, const spec::GLMClassifier& params) {
  using Params = spec::GLMClassifier;
  Emitter& e = stage.e;
  if (params.postevaluationtransform() != Params::Logit && params.postevaluationtransform() != Params::Probit)
    fail(ErrorKind::unsupported, "transform {} is not known", static_cast<int>(params.postevaluationtransform()));
  if (params.classencoding() != Params::ReferenceClass && params.classencoding() != Params::OneVsRest)
    fail(ErrorKind::unsupported, "class encoding {} is not known", static_cast<int>(params.classencoding()));
  const Tensor labels = nn::class_labels(params);
  const Blob y = scores(stage, params);
  const bool is_probit = params.postevaluationtransform() == Params::Probit;
  const auto link = [&](const Blob& x) { return is_probit ? probit(e, x) : e.op("sigmoid", {{"x", x}}); };
  if (params.classencoding() == Params::OneVsRest && params.weights_size() > 1) {
    const Blob each = link(y);
    const Blob total = e.op("reduce_sum", {{"x", each}, {"keep_dims", true}});
    return stage.classify(e.binary("real_div", each, total), labels);
  }
  if (params.weights_size() == 1) return stage.classify(two_classes(e, link(y)), labels);
  if (is_probit) fail(ErrorKind::unsupported, "probit with {} classes", labels.size());
  stage.classify(softmax(e, with_zero_first(e, y)), labels);
}

}  // namespace tl::format::classic
