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

// Rows that are folded side by side, so that they overlap.
#if HWY_TARGET == HWY_SCALAR
constexpr std::size_t rows_beside = 1;
template <class Join>
HWY_INLINE V across(V v, Join) {
  return v;
}
#else
constexpr std::size_t rows_beside = lanes == 16 ? most_beside : 4;

// The blocks of 128 bits combined: the result in each.
template <class Join>
HWY_INLINE V across_blocks(V v, Join join) {
  if constexpr (lanes >= 16) v = join(v, hn::SwapAdjacentBlocks(v));
  if constexpr (lanes >= 8) v = join(v, hn::ReverseBlocks(f32, v));
  return v;
}

// The lanes combined, in the order of `across_four`: the result in every lane.
template <class Join>
HWY_INLINE V across(V v, Join join) {
  v = join(v, hn::Shuffle1032(v));
  return across_blocks(join(v, hn::Reverse2(f32, v)), join);
}

// The lanes of four vectors combined: the four results in each block.
template <class Join>
HWY_INLINE V across_four(const V* v, Join join) {
  const hn::Repartition<std::uint64_t, F32> pairs;
  const auto pair = [&](V a, V b) HWY_ATTR {
    return hn::BitCast(pairs, join(hn::InterleaveLower(f32, a, b), hn::InterleaveUpper(f32, a, b)));
  };
  const auto low = pair(v[0], v[1]), high = pair(v[2], v[3]);
  const V all =
      join(hn::BitCast(f32, hn::InterleaveLower(pairs, low, high)), hn::BitCast(f32, hn::InterleaveUpper(pairs, low, high)));
  return across_blocks(all, join);
}
#endif

HWY_INLINE float finished(Fold kind, float total, std::size_t divisor) {
  if (kind == Fold::mean) return total / static_cast<float>(divisor);
  if (kind == Fold::l2_norm) return __builtin_sqrtf(total);
  if (kind == Fold::log_sum) return __builtin_logf(total);
  return total;
}

// Long sums are sums of the sums of parts, so that their error grows with the root of a part: its length,
// at least `least`, in `count`.
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

// Elements [first, last) of rows side by side, to a vector each that `across_rows` combines, in `ways` sums:
// step(sum, row, i, n) takes the n <= lanes elements from i on.
template <std::size_t rows, std::size_t ways, class Step, class Join>
HWY_INLINE void part_of_rows(std::size_t first, std::size_t last, float start, Step step, Join join, V* HWY_RESTRICT folded) {
  V sums[ways][rows];
  TL_UNROLL for (std::size_t w = 0; w < ways; ++w) {
    TL_UNROLL for (std::size_t r = 0; r < rows; ++r) sums[w][r] = constant(start);
  }
  std::size_t i = first;
  for (; i + ways * lanes <= last; i += ways * lanes) {
    TL_UNROLL for (std::size_t w = 0; w < ways; ++w) {
      TL_UNROLL for (std::size_t r = 0; r < rows; ++r) sums[w][r] = step(sums[w][r], r, i + w * lanes, lanes);
    }
  }
  for (; i + lanes <= last; i += lanes) {
    TL_UNROLL for (std::size_t r = 0; r < rows; ++r) sums[0][r] = step(sums[0][r], r, i, lanes);
  }
  if (i < last) {
    const auto valid = hn::FirstN(f32, last - i);
    TL_UNROLL for (std::size_t r = 0; r < rows; ++r) sums[1][r] =
        hn::IfThenElse(valid, step(sums[1][r], r, i, last - i), sums[1][r]);
  }
  TL_UNROLL for (std::size_t w = ways / 2; w > 0; w /= 2) {
    TL_UNROLL for (std::size_t v = 0; v < w; ++v) {
      TL_UNROLL for (std::size_t r = 0; r < rows; ++r) sums[v][r] = join(sums[v][r], sums[v + w][r]);
    }
  }
  TL_UNROLL for (std::size_t r = 0; r < rows; ++r) folded[r] = sums[0][r];
}

// Rows of `count` elements to a vector each.
template <std::size_t rows, std::size_t ways, class Step, class Join>
HWY_INLINE void fold_rows(std::size_t count, float start, Step step, Join join, V* HWY_RESTRICT folded) {
  const std::size_t part = part_of(count, least_part * 4 * lanes);
  part_of_rows<rows, ways>(0, HWY_MIN(count, part), start, step, join, folded);
  for (std::size_t first = part; first < count; first += part) {
    V more[rows];
    part_of_rows<rows, ways>(first, HWY_MIN(count, first + part), start, step, join, more);
    TL_UNROLL for (std::size_t r = 0; r < rows; ++r) folded[r] = join(folded[r], more[r]);
  }
}

// The lanes of each row combined: finish(result) in every lane.
template <std::size_t rows, class Join, class Finish>
HWY_INLINE void across_rows(V* HWY_RESTRICT folded, Join join, Finish finish) {
  if constexpr (rows % 4 == 0) {
    TL_UNROLL for (std::size_t r = 0; r < rows; r += 4) {
      const V all = finish(across_four(folded + r, join));
      folded[r] = hn::Broadcast<0>(all);
      folded[r + 1] = hn::Broadcast<1>(all);
      folded[r + 2] = hn::Broadcast<2>(all);
      folded[r + 3] = hn::Broadcast<3>(all);
    }
  } else {
    TL_UNROLL for (std::size_t r = 0; r < rows; ++r) folded[r] = finish(across(folded[r], join));
  }
}

// One contiguous run, to its result in every lane.
template <class T, class Step, class Join>
HWY_INLINE V run_of(const T* HWY_RESTRICT x, std::size_t count, float start, Step step, Join join) {
  V folded;
  const auto next = [&](V sum, std::size_t, std::size_t i, std::size_t n) HWY_ATTR { return step(sum, load_up_to(x + i, n)); };
  fold_rows<1, 4>(count, start, next, join, &folded);
  return across(folded, join);
}

// Calls body(first, number) for rows of `length`, `rows_beside` or one at a time.
template <class Body>
HWY_INLINE void for_rows(std::size_t rows, std::size_t length, Body&& body) {
  std::size_t r = 0;
  if (length <= longest_beside) {
    for (; r + rows_beside <= rows; r += rows_beside) body(r, std::integral_constant<std::size_t, rows_beside>());
  }
  for (; r < rows; ++r) body(r, std::integral_constant<std::size_t, 1>());
}

// log(sum(exp(x))), shifted by the largest element; an infinite one is the result.
template <class T>
void log_sum_exp_as(const FoldBlock& b) {
  const T* HWY_RESTRICT x = static_cast<const T*>(b.x);
  T* out = static_cast<T*>(b.out);
  const auto most = [](V a, V v) HWY_ATTR { return larger(v, a); };
  const auto finish = [](V top, V sum) HWY_ATTR { return hn::IfThenElse(hn::IsInf(top), top, hn::Add(top, log(sum))); };
  if (b.inner == 1) {
    const V top = run_of(x, b.count, -__builtin_inff(), most, most);
    const V total = run_of(
        x, b.count, 0, [&](V a, V v) HWY_ATTR { return hn::Add(a, exp(hn::Sub(v, top))); },
        [](V a, V v) HWY_ATTR { return hn::Add(a, v); });
    store_n(finish(top, total), out, 1);
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
    const float total =
        finished(b.kind, hn::GetLane(run_of(static_cast<const T*>(b.x), b.count, start, step, join)), b.divisor);
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

// Softmax of rows up to its last step: e^(value - the row's largest) goes to kept(row, i), one over the row's sum to `share`.
// value(row, i, n): the n <= lanes values from i on. What is kept behind the end of a row is arbitrary, up to a whole vector.
template <std::size_t rows, class Value, class Kept>
HWY_INLINE void exponentials(std::size_t length, Value value, Kept kept, V* HWY_RESTRICT share) {
  const auto add = [](V a, V x) HWY_ATTR { return hn::Add(a, x); };
  const auto most = [](V a, V x) HWY_ATTR { return hn::Max(x, a); };  // of a NaN or not: its row's sum is NaN
  V top[rows];
  const auto next = [&](V a, std::size_t r, std::size_t i, std::size_t n) HWY_ATTR __attribute__((always_inline)) {
    return hn::Max(value(r, i, n), a);
  };
  fold_rows<rows, 2>(length, -__builtin_inff(), next, most, top);
  across_rows<rows>(top, most, [](V v) HWY_ATTR { return v; });
  for (std::size_t r = 0; r < rows; ++r) {
    const auto sum = [&](V a, std::size_t, std::size_t i, std::size_t n) HWY_ATTR __attribute__((always_inline)) {
      const V e = exp(hn::Sub(value(r, i, n), top[r]));
      store(e, kept(r, i));
      return hn::Add(a, e);
    };
    fold_rows<1, 2>(length, 0, sum, add, share + r);
  }
  across_rows<rows>(share, add, [](V v) HWY_ATTR { return hn::Div(constant(1.0f), v); });
}

template <class T>
void softmax_as(const RowBlock& b) {
  const std::size_t stride = (b.length + lanes - 1) / lanes * lanes;
  for_rows(b.rows, b.length, [&](std::size_t first, auto number) HWY_ATTR {
    constexpr std::size_t rows = decltype(number)::value;
    const T* x = static_cast<const T*>(b.x) + first * b.length;
    T* out = static_cast<T*>(b.out) + first * b.length;
    V share[rows];
    exponentials<rows>(
        b.length,
        [&](std::size_t r, std::size_t i, std::size_t n) HWY_ATTR
        __attribute__((always_inline)) { return load_up_to(x + r * b.length + i, n); },
        [&](std::size_t r, std::size_t i) { return b.scratch + r * stride + i; }, share);
    for (std::size_t r = 0; r < rows; ++r) {
      for_lanes(b.length, [&](std::size_t i, std::size_t n) HWY_ATTR {
        store_up_to(hn::Mul(load(b.scratch + r * stride + i), share[r]), out + r * b.length + i, n);
      });
    }
  });
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
  const V count = constant(static_cast<float>(b.length));
  for_rows(b.rows, b.length, [&](std::size_t first, auto number) HWY_ATTR {
    constexpr std::size_t rows = decltype(number)::value;
    const T* x = static_cast<const T*>(b.x) + first * b.length;
    T* out = static_cast<T*>(b.out) + first * b.length;
    V mean[rows], scale[rows];
    const auto value = [&](std::size_t r, std::size_t i, std::size_t n) HWY_ATTR __attribute__((always_inline)) {
      return load_up_to(x + r * b.length + i, n);
    };
    const auto sum = [&](V a, std::size_t r, std::size_t i, std::size_t n) HWY_ATTR __attribute__((always_inline)) {
      return hn::Add(a, value(r, i, n));
    };
    fold_rows<rows, 2>(b.length, 0, sum, add, mean);
    across_rows<rows>(mean, add, [&](V v) HWY_ATTR { return hn::Div(v, count); });
    const auto square = [&](V a, std::size_t r, std::size_t i, std::size_t n) HWY_ATTR __attribute__((always_inline)) {
      const V centred = hn::Sub(value(r, i, n), mean[r]);
      return hn::MulAdd(centred, centred, a);
    };
    fold_rows<rows, 2>(b.length, 0, square, add, scale);
    across_rows<rows>(scale, add, [&](V v) HWY_ATTR {
      return hn::Div(constant(1.0f), hn::Sqrt(hn::Add(hn::Div(v, count), constant(b.epsilon))));
    });
    for_lanes(b.length, [&](std::size_t i, std::size_t n) HWY_ATTR {
      const V gamma = b.gamma == nullptr ? constant(1.0f) : load_up_to(b.gamma + i, n);
      const V beta = b.beta == nullptr ? hn::Zero(f32) : load_up_to(b.beta + i, n);
      TL_UNROLL for (std::size_t r = 0; r < rows; ++r) {
        const V v = hn::Mul(hn::Sub(value(r, i, n), mean[r]), scale[r]);
        store_up_to(hn::MulAdd(v, gamma, beta), out + r * b.length + i, n);
      }
    });
  });
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
    const V squares = run_of(
        x, b.length, 0, [](V a, V v) HWY_ATTR { return hn::MulAdd(v, v, a); }, [](V a, V v) HWY_ATTR { return hn::Add(a, v); });
    const V scale = hn::Div(constant(1.0f), hn::Sqrt(hn::Add(squares, constant(b.epsilon))));
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
  const V scale = constant(t.scale);
  for_rows(t.rows, t.length, [&](std::size_t first, auto number) HWY_ATTR {
    constexpr std::size_t rows = decltype(number)::value;
    const float* scores = t.scores + first * t.stride;
    const T* mask = static_cast<const T*>(t.mask) + first * t.mask_row_step;
    const auto plain = [&](std::size_t r, std::size_t i, std::size_t n) HWY_ATTR __attribute__((always_inline)) {
      return hn::Mul(load_up_to(scores + r * t.stride + i, n), scale);
    };
    const auto masked = [&](std::size_t r, std::size_t i, std::size_t n) HWY_ATTR __attribute__((always_inline)) {
      const T* m = mask + r * t.mask_row_step + i * t.mask_step;
      const V added = t.mask_step == 0 ? constant(hn::GetLane(load_n(m, 1))) : load_up_to(m, n);
      return hn::MulAdd(load_up_to(scores + r * t.stride + i, n), scale, added);
    };
    const auto place = [&](std::size_t r, std::size_t i) HWY_ATTR __attribute__((always_inline)) {
      return t.tile + i / depth_block * depth_block * t.rows + (first + r) * depth_block + i % depth_block;
    };
    V share[rows];
    if (t.mask == nullptr) {
      exponentials<rows>(t.length, plain, place, share);
    } else {
      exponentials<rows>(t.length, masked, place, share);
    }
    for (std::size_t r = 0; r < rows; ++r) {
      const std::size_t padded = (t.length + depth_block - 1) / depth_block * depth_block;
      for (std::size_t i = 0; i < padded; i += lanes) {
        V p = hn::Zero(f32);
        if (i < t.length) p = hn::Mul(load(place(r, i)), share[r]);
        if (i + lanes > t.length && i < t.length) p = hn::IfThenElseZero(hn::FirstN(f32, t.length - i), p);
        store(p, place(r, i));
      }
    }
  });
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
