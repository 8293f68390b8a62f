#include "cpu/rows.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/rows_simd.cpp"
#include <hwy/foreach_target.h>

#include "cpu/math-inl.hpp"
#include "cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
namespace {

HWY_INLINE V larger(V a, V b) { return hn::IfThenElse(hn::Or(hn::Gt(a, b), hn::IsNaN(a)), a, b); }
HWY_INLINE V smaller(V a, V b) { return hn::IfThenElse(hn::Or(hn::Lt(a, b), hn::IsNaN(a)), a, b); }

// The lanes combined in a fixed order.
template <class F>
HWY_INLINE float across(V v, F f) {
  HWY_ALIGN float values[lanes];
  hn::Store(v, f32, values);
  float total = values[0];
  for (std::size_t i = 1; i < lanes; ++i) total = f(total, values[i]);
  return total;
}

HWY_INLINE float finished(Fold kind, float total, std::size_t divisor) {
  if (kind == Fold::mean) return total / static_cast<float>(divisor);
  if (kind == Fold::l2_norm) return __builtin_sqrtf(total);
  if (kind == Fold::log_sum) return __builtin_logf(total);
  return total;
}

// Long sums are sums of the sums of parts, so that their error grows with the root of a part. The length of a part of `count`.
// are a part of `count`, of which at least `least`.
HWY_INLINE std::size_t part_of(std::size_t count, std::size_t least) { return HWY_MAX(least, (count + 63) / 64); }
constexpr std::size_t least_part = 128;

// The sum of term(k) for all k.
template <class Term>
HWY_INLINE V summed(std::size_t count, Term term) {
  const std::size_t part = part_of(count, least_part);
  V total = hn::Zero(f32);
  for (std::size_t first = 0; first < count; first += part) {
    V sum = hn::Zero(f32);
    for (std::size_t k = first; k < HWY_MIN(count, first + part); ++k) sum = hn::Add(sum, term(k));
    total = hn::Add(total, sum);
  }
  return total;
}

template <class T, class U, class Step, class Join>
HWY_INLINE void columns(const FoldBlock& b, float start, Step step, Join join) {
  const T* HWY_RESTRICT x = static_cast<const T*>(b.x);
  U* out = static_cast<U*>(b.out);
  constexpr std::size_t wide = 4;
  const std::size_t part = part_of(b.count, least_part);
  std::size_t i = b.first;
  for (; i + wide * lanes <= b.last; i += wide * lanes) {
    V sums[wide];
    TL_UNROLL for (std::size_t v = 0; v < wide; ++v) sums[v] = constant(start);
    for (std::size_t first = 0; first < b.count; first += part) {
      V parts[wide];
      TL_UNROLL for (std::size_t v = 0; v < wide; ++v) parts[v] = constant(start);
      for (std::size_t k = first; k < HWY_MIN(b.count, first + part); ++k) {
        TL_UNROLL for (std::size_t v = 0; v < wide; ++v) parts[v] = step(parts[v], load(x + k * b.inner + i + v * lanes));
      }
      TL_UNROLL for (std::size_t v = 0; v < wide; ++v) sums[v] = first == 0 ? parts[v] : join(sums[v], parts[v]);
    }
    TL_UNROLL for (std::size_t v = 0; v < wide; ++v) {
      if (b.kind == Fold::mean) sums[v] = hn::Div(sums[v], constant(static_cast<float>(b.divisor)));
      if (b.kind == Fold::l2_norm) sums[v] = hn::Sqrt(sums[v]);
      if (b.kind == Fold::log_sum) sums[v] = log(sums[v]);
      store(sums[v], out + i + v * lanes);
    }
  }
  for (; i < b.last; i += lanes) {
    const std::size_t n = HWY_MIN(lanes, b.last - i);
    V sum = constant(start);
    for (std::size_t first = 0; first < b.count; first += part) {
      V some = constant(start);
      for (std::size_t k = first; k < HWY_MIN(b.count, first + part); ++k)
        some = step(some, load_up_to(x + k * b.inner + i, n));
      sum = first == 0 ? some : join(sum, some);
    }
    if (b.kind == Fold::mean) sum = hn::Div(sum, constant(static_cast<float>(b.divisor)));
    if (b.kind == Fold::l2_norm) sum = hn::Sqrt(sum);
    if (b.kind == Fold::log_sum) sum = log(sum);
    store_up_to(sum, out + i, n);
  }
}

// A part of a run to a vector that `across` folds. Four accumulators; the tail is folded one by one.
template <class T, class Step, class Join>
HWY_INLINE V part_of_run(const T* HWY_RESTRICT x, std::size_t count, float start, Step step, Join join) {
  V sums[4];
  TL_UNROLL for (int v = 0; v < 4; ++v) sums[v] = constant(start);
  std::size_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes) {
    TL_UNROLL for (std::size_t v = 0; v < 4; ++v) sums[v] = step(sums[v], load(x + i + v * lanes));
  }
  for (; i + lanes <= count; i += lanes) sums[0] = step(sums[0], load(x + i));
  if (i < count) {
    const V last = step(constant(start), load_n(x + i, count - i));
    sums[1] = hn::IfThenElse(hn::FirstN(f32, count - i), join(sums[1], last), sums[1]);
  }
  return join(join(sums[0], sums[1]), join(sums[2], sums[3]));
}

// One contiguous run to one number.
template <class T, class Step, class Join>
HWY_INLINE float run_of(const T* HWY_RESTRICT x, std::size_t count, float start, Step step, Join join) {
  const std::size_t part = part_of(count, least_part * 4 * lanes);
  V sums = part_of_run(x, HWY_MIN(count, part), start, step, join);
  for (std::size_t first = part; first < count; first += part)
    sums = join(sums, part_of_run(x + first, HWY_MIN(part, count - first), start, step, join));
  return across(sums, [&](float a, float b) HWY_ATTR {
    HWY_ALIGN float pair[lanes];
    hn::Store(join(constant(a), constant(b)), f32, pair);
    return pair[0];
  });
}

// log(sum(exp(x))), shifted by the largest element; an infinite one is the result.
template <class T>
void log_sum_exp_as(const FoldBlock& b) {
  const T* HWY_RESTRICT x = static_cast<const T*>(b.x);
  T* out = static_cast<T*>(b.out);
  const auto most = [](V a, V v) HWY_ATTR { return larger(v, a); };
  const auto finish = [](V top, V sum) HWY_ATTR { return hn::IfThenElse(hn::IsInf(top), top, hn::Add(top, log(sum))); };
  if (b.inner == 1) {
    const V top = constant(run_of(x, b.count, -__builtin_inff(), most, most));
    const float total = run_of(
        x, b.count, 0, [&](V a, V v) HWY_ATTR { return hn::Add(a, exp(hn::Sub(v, top))); },
        [](V a, V v) HWY_ATTR { return hn::Add(a, v); });
    store_n(finish(top, constant(total)), out, 1);
    return;
  }
  for (std::size_t i = b.first; i < b.last; i += lanes) {
    const std::size_t n = HWY_MIN(lanes, b.last - i);
    V top = constant(-__builtin_inff());
    for (std::size_t k = 0; k < b.count; ++k) top = most(top, load_up_to(x + k * b.inner + i, n));
    const V sum =
        summed(b.count, [&](std::size_t k) HWY_ATTR { return exp(hn::Sub(load_up_to(x + k * b.inner + i, n), top)); });
    store_up_to(finish(top, sum), out + i, n);
  }
}

template <class T>
void fold_as(const FoldBlock& b) {
  const auto run = [&](float start, auto step, auto join) HWY_ATTR {
    if (b.inner != 1) {
      columns<T, T>(b, start, step, join);
      return;
    }
    const float total = finished(b.kind, run_of(static_cast<const T*>(b.x), b.count, start, step, join), b.divisor);
    store_n(constant(total), static_cast<T*>(b.out), 1);
  };
  const auto add = [](V a, V x) HWY_ATTR { return hn::Add(a, x); };
  const float inf = __builtin_inff();
  switch (b.kind) {
    case Fold::sum:
    case Fold::log_sum:
    case Fold::mean: return run(0, add, add);
    case Fold::log_sum_exp: return log_sum_exp_as<T>(b);
    case Fold::prod: {
      const auto multiply = [](V a, V x) HWY_ATTR { return hn::Mul(a, x); };
      return run(1, multiply, multiply);
    }
    case Fold::max:
      return run(
          -inf, [](V a, V x) HWY_ATTR { return larger(x, a); }, [](V a, V x) HWY_ATTR { return larger(x, a); });
    case Fold::min:
      return run(
          inf, [](V a, V x) HWY_ATTR { return smaller(x, a); }, [](V a, V x) HWY_ATTR { return smaller(x, a); });
    case Fold::sum_square:
    case Fold::l2_norm:
      return run(
          0, [](V a, V x) HWY_ATTR { return hn::MulAdd(x, x, a); }, add);
    case Fold::l1_norm:
      return run(
          0, [](V a, V x) HWY_ATTR { return hn::Add(a, hn::Abs(x)); }, add);
  }
}

void fold(const FoldBlock& b) {
  if (b.storage != b.to) {
    const auto add = [](V a, V x) HWY_ATTR { return hn::Add(a, x); };
    if (b.storage == Storage::f16) {
      columns<Half, float>(b, 0, add, add);
    } else {
      columns<float, Half>(b, 0, add, add);
    }
  } else if (b.storage == Storage::f16) {
    fold_as<Half>(b);
  } else {
    fold_as<float>(b);
  }
}

template <class T>
void softmax_as(const RowBlock& b) {
  const auto add = [](V a, V x) HWY_ATTR { return hn::Add(a, x); };
  const auto most = [](V a, V x) HWY_ATTR { return larger(x, a); };
  for (std::size_t r = 0; r < b.rows; ++r) {
    const T* x = static_cast<const T*>(b.x) + r * b.length;
    T* out = static_cast<T*>(b.out) + r * b.length;
    const V top = constant(run_of(x, b.length, -__builtin_inff(), most, most));
    for_lanes(b.length, [&](std::size_t i, std::size_t n)
                            HWY_ATTR { store_up_to(exp(hn::Sub(load_up_to(x + i, n), top)), b.scratch + i, n); });
    const float total = run_of(static_cast<const float*>(b.scratch), b.length, 0, add, add);
    const V scale = hn::Div(constant(1.0f), constant(total));
    for_lanes(b.length, [&](std::size_t i, std::size_t n)
                            HWY_ATTR { store_up_to(hn::Mul(load_up_to(b.scratch + i, n), scale), out + i, n); });
  }
}

void softmax(const RowBlock& b) {
  if (b.storage == Storage::f16) {
    softmax_as<Half>(b);
  } else {
    softmax_as<float>(b);
  }
}

// Columns side by side, in vectors.
template <class T>
void softmax_columns_as(const FoldBlock& b) {
  for_lanes(b.last - b.first, [&](std::size_t at, std::size_t n) HWY_ATTR {
    const T* HWY_RESTRICT x = static_cast<const T*>(b.x) + b.first + at;
    T* out = static_cast<T*>(b.out) + b.first + at;
    V top = constant(-__builtin_inff());
    for (std::size_t r = 0; r < b.count; ++r) top = larger(load_up_to(x + r * b.inner, n), top);
    const V total = summed(b.count, [&](std::size_t r) HWY_ATTR { return exp(hn::Sub(load_up_to(x + r * b.inner, n), top)); });
    const V scale = hn::Div(constant(1.0f), total);
    for (std::size_t r = 0; r < b.count; ++r)
      store_up_to(hn::Mul(exp(hn::Sub(load_up_to(x + r * b.inner, n), top)), scale), out + r * b.inner, n);
  });
}

void softmax_columns(const FoldBlock& b) {
  if (b.storage == Storage::f16) {
    softmax_columns_as<Half>(b);
  } else {
    softmax_columns_as<float>(b);
  }
}

template <class T>
void layer_norm_as(const RowBlock& b) {
  const auto add = [](V a, V x) HWY_ATTR { return hn::Add(a, x); };
  const auto count = static_cast<float>(b.length);
  for (std::size_t r = 0; r < b.rows; ++r) {
    const T* x = static_cast<const T*>(b.x) + r * b.length;
    T* out = static_cast<T*>(b.out) + r * b.length;
    const V mean = constant(run_of(x, b.length, 0, add, add) / count);
    for_lanes(b.length, [&](std::size_t i, std::size_t n)
                            HWY_ATTR { store_up_to(hn::Sub(load_up_to(x + i, n), mean), b.scratch + i, n); });
    const float squares = run_of(
        static_cast<const float*>(b.scratch), b.length, 0, [](V a, V v) HWY_ATTR { return hn::MulAdd(v, v, a); }, add);
    const V scale = hn::Div(constant(1.0f), hn::Sqrt(constant(squares / count + b.epsilon)));
    for_lanes(b.length, [&](std::size_t i, std::size_t n) HWY_ATTR {
      V v = hn::Mul(load_up_to(b.scratch + i, n), scale);
      if (b.gamma != nullptr) v = hn::Mul(v, load_up_to(b.gamma + i, n));
      if (b.beta != nullptr) v = hn::Add(v, load_up_to(b.beta + i, n));
      store_up_to(v, out + i, n);
    });
  }
}

void layer_norm(const RowBlock& b) {
  if (b.storage == Storage::f16) {
    layer_norm_as<Half>(b);
  } else {
    layer_norm_as<float>(b);
  }
}

template <class T>
void l2_norm_as(const RowBlock& b) {
  for (std::size_t r = 0; r < b.rows; ++r) {
    const T* x = static_cast<const T*>(b.x) + r * b.length;
    T* out = static_cast<T*>(b.out) + r * b.length;
    const float squares = run_of(
        x, b.length, 0, [](V a, V v) HWY_ATTR { return hn::MulAdd(v, v, a); }, [](V a, V v) HWY_ATTR { return hn::Add(a, v); });
    const V scale = hn::Div(constant(1.0f), hn::Sqrt(constant(squares + b.epsilon)));
    for_lanes(b.length,
              [&](std::size_t i, std::size_t n) HWY_ATTR { store_up_to(hn::Mul(load_up_to(x + i, n), scale), out + i, n); });
  }
}

void l2_norm(const RowBlock& b) {
  if (b.storage == Storage::f16) {
    l2_norm_as<Half>(b);
  } else {
    l2_norm_as<float>(b);
  }
}

template <class T>
void probabilities_as(const ProbabilityTile& t) {
  const auto add = [](V a, V x) HWY_ATTR { return hn::Add(a, x); };
  const auto most = [](V a, V x) HWY_ATTR { return larger(x, a); };
  const V scale = constant(t.scale);
  for (std::size_t r = 0; r < t.rows; ++r) {
    float* row = t.scores + r * t.stride;
    V top = constant(-__builtin_inff());
    const T* mask = t.mask == nullptr ? nullptr : static_cast<const T*>(t.mask) + r * t.mask_row_step;
    if (mask != nullptr) {
      HWY_ALIGN T same[lanes] = {};
      if (t.mask_step == 0) {
        for (T& v : same) v = mask[0];
      }
      for_lanes(t.length, [&](std::size_t i, std::size_t n) HWY_ATTR {
        const V m = t.mask_step == 0 ? load(same) : load_up_to(mask + i, n);
        store_up_to(hn::MulAdd(load_up_to(row + i, n), scale, m), row + i, n);
      });
    } else {
      for_lanes(t.length, [&](std::size_t i, std::size_t n)
                              HWY_ATTR { store_up_to(hn::Mul(load_up_to(row + i, n), scale), row + i, n); });
    }
    top = constant(run_of(static_cast<const float*>(row), t.length, -__builtin_inff(), most, most));
    for_lanes(t.length, [&](std::size_t i, std::size_t n)
                            HWY_ATTR { store_up_to(exp(hn::Sub(load_up_to(row + i, n), top)), row + i, n); });
    const V share = hn::Div(constant(1.0f), constant(run_of(static_cast<const float*>(row), t.length, 0, add, add)));
    for (std::size_t k = 0; k < t.length; k += depth_block) {
      float* out = t.tile + k * t.rows + r * depth_block;
      for (std::size_t j = 0; j < depth_block; j += lanes) {
        const std::size_t left = k + j < t.length ? HWY_MIN(t.length - k - j, lanes) : 0;
        hn::Store(left == 0 ? hn::Zero(f32) : hn::Mul(load_up_to(row + k + j, left), share), f32, out + j);
      }
    }
  }
}

void probabilities(const ProbabilityTile& t) {
  if (t.mask_storage == Storage::f16) {
    probabilities_as<Half>(t);
  } else {
    probabilities_as<float>(t);
  }
}

}  // namespace

const RowKernels& row_table() {
  static const RowKernels table = {&fold, &softmax, &softmax_columns, &layer_norm, &l2_norm, &probabilities};
  return table;
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {
HWY_EXPORT(row_table);
const RowKernels& row_kernels() { return HWY_DYNAMIC_DISPATCH(row_table)(); }
}  // namespace tl::cpu
#endif
