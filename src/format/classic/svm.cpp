#include <algorithm>

#include "format/classic/stage.hpp"

namespace tl::format::classic {
namespace {

constexpr std::int64_t max_elements = std::int64_t{1} << 28;

// The support vectors as rows; features that a sparse one leaves out are 0.
template <class Params>
Tensor support_vectors(const Params& params, std::int64_t columns) {
  const bool sparse = params.has_sparsesupportvectors();
  const std::int64_t rows = sparse ? params.sparsesupportvectors().vectors_size() : params.densesupportvectors().vectors_size();
  if (checked_mul(rows, columns, "support vectors") > max_elements)
    fail(ErrorKind::limit, "{} support vectors of {}", rows, columns);
  Tensor result = Tensor::zeros(DType::f64, {rows, columns});
  auto out = result.mutable_values<double>();
  for (std::int64_t i = 0; i < rows; ++i) {
    if (sparse) {
      for (const auto& node : params.sparsesupportvectors().vectors(static_cast<int>(i)).nodes()) {
        // Indices count from 1.
        if (node.index() < 1 || node.index() > columns)
          fail(ErrorKind::bad_model, "support vector {}: index {} of {}", i, node.index(), columns);
        out[uz(i * columns + node.index() - 1)] = node.value();
      }
    } else {
      const auto& values = params.densesupportvectors().vectors(static_cast<int>(i)).values();
      if (values.size() != columns)
        fail(ErrorKind::bad_model, "support vector {}: {} values for {} features", i, values.size(), columns);
      std::copy(values.begin(), values.end(), out.begin() + i * columns);
    }
  }
  return result;
}

// The kernel of the input with every support vector.
template <class Params>
Blob kernel_values(Stage& stage, const Params& params) {
  Emitter& e = stage.e;
  const Blob x = stage.features();
  const ir::Dim columns = nn::dims_of(x)[0];
  if (!columns.known()) fail(ErrorKind::unsupported, "an input of flexible size");
  const Blob rows = e.weight(support_vectors(params, columns.extent()), e.prefix() + "_support_vectors");
  const spec::Kernel& kernel = params.kernel();
  const auto dot = [&] { return sum_last(e, e.binary("mul", rows, x)); };
  switch (kernel.kernel_case()) {
    case spec::Kernel::kLinearKernel: return dot();
    case spec::Kernel::kRbfKernel: {
      const Blob squares = sum_last(e, e.op("square", {{"x", e.binary("sub", rows, x)}}));
      return e.op("exp", {{"x", e.binary("mul", squares, number(-kernel.rbfkernel().gamma()))}});
    }
    case spec::Kernel::kPolyKernel: {
      const spec::PolyKernel& poly = kernel.polykernel();
      const Blob inner = e.binary("add", e.binary("mul", dot(), number(poly.gamma())), number(poly.c()));
      return e.binary("pow", inner, number(poly.degree()));
    }
    case spec::Kernel::kSigmoidKernel: {
      const spec::SigmoidKernel& sigmoid = kernel.sigmoidkernel();
      return e.op("tanh", {{"x", e.binary("add", e.binary("mul", dot(), number(sigmoid.gamma())), number(sigmoid.c()))}});
    }
    case spec::Kernel::KERNEL_NOT_SET: break;
  }
  fail(ErrorKind::bad_model, "the kernel is missing or unknown");
}

}  // namespace

void translate(Stage& stage, const spec::SupportVectorRegressor& params) {
  Emitter& e = stage.e;
  const Blob kernel = kernel_values(stage, params);
  const std::vector<double> alpha = doubles(params.coefficients().alpha());
  const std::int64_t count = nn::dims_of(kernel)[0].extent();
  if (iz(alpha.size()) != count) fail(ErrorKind::bad_model, "{} coefficients for {} support vectors", alpha.size(), count);
  const Blob sum = e.op("reduce_sum", {{"x", e.binary("mul", kernel, numbers(alpha, {count}))}, {"keep_dims", true}});
  stage.put(e.binary("sub", sum, number(params.rho())));
}

void translate(Stage& stage, const spec::SupportVectorClassifier& params) {
  const Tensor labels = nn::class_labels(params);
  const Blob kernel = kernel_values(stage, params);
  const std::int64_t count = nn::dims_of(kernel)[0].extent();
  std::vector<std::int32_t> counts(params.numberofsupportvectorsperclass().begin(),
                                   params.numberofsupportvectorsperclass().end());
  std::vector<double> coefficients;
  for (const auto& row : params.coefficients()) {
    if (row.alpha_size() != count)
      fail(ErrorKind::bad_model, "{} coefficients for {} support vectors", row.alpha_size(), count);
    coefficients.insert(coefficients.end(), row.alpha().begin(), row.alpha().end());
  }
  const auto list = [](const auto& values) { return numbers(doubles(values), {values.size()}); };
  const bool probable = params.proba_size() != 0;
  Args args{{"kernel", kernel},
            {"counts", Emitter::literal(Tensor::of<std::int32_t>({iz(counts.size())}, std::span<const std::int32_t>(counts)))},
            {"coefficients", numbers(coefficients, {params.coefficients_size(), count})},
            {"rho", list(params.rho())}};
  if (probable) {
    args.emplace_back("prob_a", list(params.proba()));
    args.emplace_back("prob_b", list(params.probb()));
  }
  stage.classify(stage.e.op("tl.svm_classes", args), labels, probable);
}

}  // namespace tl::format::classic
