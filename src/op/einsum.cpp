#include "op/einsum.hpp"

#include <algorithm>
#include <map>

#include "op/gemm.hpp"

namespace tl::op {

using namespace ir;

namespace {

struct Term {
  std::string before, after;  // the labels around "..."
  bool dots = false;
};

bool is_label(char ch) { return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z'); }

Term parse_term(const OpView& c, const std::string& text) {
  Term term;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (is_label(text[i])) {
      (term.dots ? term.after : term.before) += text[i];
    } else if (text.compare(i, 3, "...") == 0 && !term.dots) {
      term.dots = true;
      i += 2;
    } else {
      c.reject("equation", "unexpected '{}' in '{}'", text[i], text);
    }
  }
  return term;
}

std::vector<int> labels_of(const Term& term, std::size_t dots) {
  std::vector<int> labels(term.before.begin(), term.before.end());
  if (term.dots) {
    for (std::size_t i = dots; i-- > 0;) labels.push_back(256 + static_cast<int>(i));
  }
  labels.insert(labels.end(), term.after.begin(), term.after.end());
  return labels;
}

}  // namespace

Equation parse_equation(const OpView& c, const std::vector<std::size_t>& ranks) {
  std::string text = c.text("equation");
  if (text.size() > 1000) c.reject("equation", "{} characters long", text.size());
  std::erase(text, ' ');
  const std::size_t arrow = text.find("->");
  std::vector<Term> terms;
  std::string inputs = text.substr(0, arrow);
  for (std::size_t start = 0; start <= inputs.size();) {
    const std::size_t comma = std::min(inputs.find(',', start), inputs.size());
    terms.push_back(parse_term(c, inputs.substr(start, comma - start)));
    start = comma + 1;
  }
  if (terms.size() != ranks.size())
    c.reject("equation", "'{}' has {} operands, {} values given", text, terms.size(), ranks.size());
  Equation equation;
  std::size_t most = 0;
  for (std::size_t i = 0; i < terms.size(); ++i) {
    const std::size_t named = terms[i].before.size() + terms[i].after.size();
    if (named > ranks[i] || (named < ranks[i] && !terms[i].dots)) {
      c.reject("equation", "operand {} of '{}' has rank {}", i, text, ranks[i]);
    }
    most = std::max(most, terms[i].dots ? ranks[i] - named : 0);
    equation.operands.push_back(labels_of(terms[i], ranks[i] - named));
  }
  if (arrow != std::string::npos) {
    const Term term = parse_term(c, text.substr(arrow + 2));
    equation.result = labels_of(term, most);
  } else {
    std::map<int, int> uses;
    for (const auto& labels : equation.operands) {
      for (const int label : labels) ++uses[label];
    }
    for (std::size_t i = most; i-- > 0;) equation.result.push_back(256 + static_cast<int>(i));
    for (const auto& [label, count] : uses) {
      if (label < 256 && count == 1) equation.result.push_back(label);
    }
  }
  for (std::size_t i = 0; i < equation.result.size(); ++i) {
    const int label = equation.result[i];
    const auto has = [&](const std::vector<int>& labels) {
      return std::find(labels.begin(), labels.end(), label) != labels.end();
    };
    if (std::count(equation.result.begin(), equation.result.end(), label) > 1)
      c.reject("equation", "'{}' names an output axis twice", text);
    if (std::none_of(equation.operands.begin(), equation.operands.end(), has))
      c.reject("equation", "'{}' has an output axis of no operand", text);
  }
  return equation;
}

namespace {

// Extents of the labels, 1 broadcasting.
std::map<int, Dim> label_dims(const OpView& c, const Equation& equation, const std::vector<Dims>& shapes) {
  std::map<int, Dim> result;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    for (std::size_t axis = 0; axis < shapes[i].size(); ++axis) {
      const Dim dim = shapes[i][axis];
      const auto [at, fresh] = result.emplace(equation.operands[i][axis], dim);
      Dim& have = at->second;
      if (fresh || have == dim || (dim.known() && dim.extent() == 1)) continue;
      if ((have.known() && have.extent() == 1) || (dim.known() && !have.known())) {
        have = dim;
      } else if (have.known() && dim.known()) {
        c.reject("values", "axis {} of operand {} is {}, expected {}", axis, i, dim.extent(), have.extent());
      }
    }
  }
  return result;
}

struct Operand {
  std::vector<int> labels;
  std::vector<std::int64_t> extents;
  std::vector<float> values;

  // The step in `values` when `label` advances: 0 when it broadcasts, a sum of strides on a diagonal.
  std::int64_t step(int label) const {
    std::int64_t result = 0;
    std::int64_t stride = 1;
    for (std::size_t i = labels.size(); i-- > 0;) {
      if (labels[i] == label && extents[i] != 1) result += stride;
      stride *= extents[i];
    }
    return result;
  }
  bool has(int label) const { return std::find(labels.begin(), labels.end(), label) != labels.end(); }
};

using Extents = std::map<int, std::int64_t>;

constexpr std::int64_t largest_result = std::int64_t{1} << 34;

std::int64_t volume(const std::vector<int>& labels, const Extents& extents) {
  std::int64_t result = 1;
  for (const int label : labels) result = checked_mul(result, extents.at(label), "einsum size");
  if (result > largest_result) fail(ErrorKind::limit, "einsum: an intermediate result of {} elements", result);
  return result;
}

// The operand's elements in the order of `labels`, summed over `summed`.
std::vector<float> gather(const Operand& operand, const std::vector<int>& labels, const std::vector<int>& summed,
                          const Extents& extents) {
  std::vector<int> order = labels;
  order.insert(order.end(), summed.begin(), summed.end());
  std::vector<std::int64_t> steps;
  steps.reserve(order.size());
  for (const int label : order) steps.push_back(operand.step(label));
  const std::int64_t terms = volume(summed, extents);
  std::vector<float> result(uz(volume(labels, extents)));
  std::vector<std::int64_t> position(order.size(), 0);
  std::int64_t at = 0;
  if (terms == 1 && !labels.empty()) {
    // Along the last label at once.
    const std::int64_t run = extents.at(labels.back()), step = steps[labels.size() - 1];
    for (std::size_t i = 0; i < result.size(); i += uz(run)) {
      for (std::int64_t k = 0; k < run; ++k) result[i + uz(k)] = operand.values[uz(at + k * step)];
      for (std::size_t axis = labels.size() - 1; axis-- > 0;) {
        at += steps[axis];
        if (++position[axis] < extents.at(order[axis])) break;
        at -= steps[axis] * position[axis];
        position[axis] = 0;
      }
    }
    return result;
  }
  for (float& out : result) {
    double total = 0;
    for (std::int64_t t = 0; t < terms; ++t) {
      total += static_cast<double>(operand.values[uz(at)]);
      for (std::size_t axis = order.size(); axis-- > 0;) {
        at += steps[axis];
        if (++position[axis] < extents.at(order[axis])) break;
        at -= steps[axis] * position[axis];
        position[axis] = 0;
      }
    }
    out = static_cast<float>(total);
  }
  return result;
}

// The sum of products over all labels that `keep` does not hold.
Operand contract(const Operand& x, const Operand& y, const std::vector<int>& keep, const Extents& extents) {
  std::vector<int> batch, left, right, inner, left_summed, right_summed;
  for (const auto& [label, extent] : extents) {
    const bool in_x = x.has(label), in_y = y.has(label);
    const bool kept = std::find(keep.begin(), keep.end(), label) != keep.end();
    if (in_x && in_y) (kept ? batch : inner).push_back(label);
    if (in_x && !in_y) (kept ? left : left_summed).push_back(label);
    if (!in_x && in_y) (kept ? right : right_summed).push_back(label);
  }
  const auto joined = [](std::vector<int> a, const std::vector<int>& b, const std::vector<int>& c) {
    a.insert(a.end(), b.begin(), b.end());
    a.insert(a.end(), c.begin(), c.end());
    return a;
  };
  const std::vector<float> a = gather(x, joined(batch, left, inner), left_summed, extents);
  const std::vector<float> b = gather(y, joined(batch, right, inner), right_summed, extents);
  const std::int64_t m = volume(left, extents), n = volume(right, extents), depth = volume(inner, extents);
  Operand result;
  result.labels = joined(batch, left, right);
  for (const int label : result.labels) result.extents.push_back(extents.at(label));
  result.values.resize(uz(volume(result.labels, extents)));
  for (std::int64_t i = 0; i < volume(batch, extents); ++i) {
    gemm_rows(a.data() + i * m * depth, b.data() + i * n * depth, nullptr, result.values.data() + i * m * n, m, n, depth);
  }
  return result;
}

}  // namespace

// NumPy's notation: any number of operands, repeated labels, "...", implicit output; axes of extent 1 broadcast.
TL_OP(einsum) {
  op.in("values", dt::floats).variadic();
  op.in("equation", dt::string).constant();
  op.infer = [](Infer& c) {
    std::vector<Dims> shapes;
    std::vector<std::size_t> ranks;
    for (std::size_t i = 0; i < c.count("values"); ++i) {
      shapes.push_back(c.dims("values", i));
      ranks.push_back(shapes.back().size());
      if (c.dtype("values", i) != c.dtype("values")) c.reject("values", "operands differ in dtype");
    }
    const Equation equation = parse_equation(c, ranks);
    const auto dims = label_dims(c, equation, shapes);
    Dims out;
    for (const int label : equation.result) out.push_back(dims.at(label));
    c.out(c.dtype("values"), std::move(out));
  };
  op.eval = [](Eval& c) {
    std::vector<Dims> shapes;
    std::vector<std::size_t> ranks;
    for (std::size_t i = 0; i < c.count("values"); ++i) {
      shapes.push_back(dims_of(c.shape("values", i)));
      ranks.push_back(shapes.back().size());
    }
    const Equation equation = parse_equation(c, ranks);
    Extents extents;
    for (const auto& [label, dim] : label_dims(c, equation, shapes)) extents[label] = dim.extent();
    Operand sum{{}, {}, {1.0F}};
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      std::vector<int> keep = equation.result;
      for (std::size_t k = i + 1; k < shapes.size(); ++k)
        keep.insert(keep.end(), equation.operands[k].begin(), equation.operands[k].end());
      sum = contract({equation.operands[i], c.shape("values", i), c.floats("values", i)}, sum, keep, extents);
    }
    c.store(0, gather(sum, equation.result, {}, extents));
  };
}

}  // namespace tl::op
