#include "cpu/gemv.hpp"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/gemv.cpp"
#include <hwy/foreach_target.h>

#include "cpu/math-inl.hpp"
#include "cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
namespace {

constexpr std::size_t chunk = 2048;  // results that are finished together
constexpr std::size_t ahead = 1024;  // bytes to fetch ahead in each row

template <class T>
HWY_INLINE V read(const T* HWY_RESTRICT p) {
  return load(p);
}
HWY_INLINE V read(const std::int8_t* HWY_RESTRICT p) {
  const hn::RebindToSigned<F32> i32;
  return hn::ConvertTo(f32, hn::PromoteTo(i32, hn::LoadU(hn::Rebind<std::int8_t, F32>(), p)));
}

template <class T>
HWY_INLINE V read_up_to(const T* HWY_RESTRICT p, std::size_t n) {
  if (n == lanes) return read(p);
  HWY_ALIGN T buffer[lanes] = {};
  std::memcpy(buffer, p, n * sizeof(T));
  return read(buffer);
}

// Sums of `rows` neighbouring rows of w.
template <int rows, class T>
HWY_INLINE void dot_rows(const T* HWY_RESTRICT w, std::size_t stride, std::size_t depth, const float* HWY_RESTRICT x,
                         float* HWY_RESTRICT sums) {
  V low[rows], high[rows];
  TL_UNROLL for (int r = 0; r < rows; ++r) low[r] = high[r] = hn::Zero(f32);
  std::size_t k = 0;
  for (; k + 2 * lanes <= depth; k += 2 * lanes) {
    const V x0 = load(x + k);
    const V x1 = load(x + k + lanes);
    TL_UNROLL for (int r = 0; r < rows; ++r) {
      const T* HWY_RESTRICT row = w + static_cast<std::size_t>(r) * stride + k;
      __builtin_prefetch(reinterpret_cast<const char*>(row) + ahead, 0, 3);
      low[r] = hn::MulAdd(read(row), x0, low[r]);
      high[r] = hn::MulAdd(read(row + lanes), x1, high[r]);
    }
  }
  for (; k < depth; k += lanes) {
    const std::size_t n = HWY_MIN(lanes, depth - k);
    const V xv = load_up_to(x + k, n);
    TL_UNROLL for (int r = 0; r < rows; ++r) low[r] =
        hn::MulAdd(read_up_to(w + static_cast<std::size_t>(r) * stride + k, n), xv, low[r]);
  }
  TL_UNROLL for (int r = 0; r < rows; ++r) sums[r] = hn::GetLane(hn::SumOfLanes(f32, hn::Add(low[r], high[r])));
}

// One row of nibbles against x. No scale: 1.
template <class S>
float nibble_dot(const std::uint8_t* HWY_RESTRICT w, std::size_t depth, const float* HWY_RESTRICT x,
                 const float* HWY_RESTRICT table, const S* HWY_RESTRICT scale, std::size_t blocks) {
  const auto scale_of = [&](std::size_t b) HWY_ATTR { return scale == nullptr ? 1.0F : hn::GetLane(load_n(scale + b, 1)); };
  const std::size_t length = depth / blocks;
#if HWY_TARGET <= HWY_AVX3
  const __m512 entries = _mm512_loadu_ps(table);
  const __m512i shifts = _mm512_setr_epi32(0, 0, 4, 4, 8, 8, 12, 12, 16, 16, 20, 20, 24, 24, 28, 28);
  __m512 sum = _mm512_setzero_ps();
  const auto weights = [&](std::size_t group) HWY_ATTR {
    long long nibbles;
    std::memcpy(&nibbles, w + group * sizeof nibbles, sizeof nibbles);
    return _mm512_permutexvar_ps(_mm512_srlv_epi32(_mm512_set1_epi64(nibbles), shifts), entries);
  };
  const std::size_t groups = length / nibble_group;
  for (std::size_t b = 0; b < blocks; ++b, w += length / 2, x += length) {
    __m512 low = _mm512_setzero_ps();
    __m512 high = _mm512_setzero_ps();
    std::size_t g = 0;
    for (; g + 2 <= groups; g += 2) {
      __builtin_prefetch(w + g * 8 + 2 * ahead, 0, 3);
      low = _mm512_fmadd_ps(weights(g), _mm512_loadu_ps(x + g * nibble_group), low);
      high = _mm512_fmadd_ps(weights(g + 1), _mm512_loadu_ps(x + (g + 1) * nibble_group), high);
    }
    if (g < groups) low = _mm512_fmadd_ps(weights(g), _mm512_loadu_ps(x + g * nibble_group), low);
    sum = _mm512_fmadd_ps(_mm512_add_ps(low, high), _mm512_set1_ps(scale_of(b)), sum);
  }
  return _mm512_reduce_add_ps(sum);
#else
  float total = 0;
  for (std::size_t b = 0; b < blocks; ++b) {
    float sum = 0;
    for (std::size_t k = b * length; k < (b + 1) * length; k += nibble_group) {
      for (std::size_t i = 0; i < nibble_group; ++i) {
        const std::size_t at = k + nibble_order(i);
        sum += table[w[at / 2] >> (at % 2 * 4) & 15] * x[k + i];
      }
    }
    total += sum * scale_of(b);
  }
  return total;
#endif
}

// Sums of `count` rows from `w` on. Four runs of neighbouring rows are read side by side.
template <class T>
void sum_rows(const T* HWY_RESTRICT w, const GemvBlock& g, std::size_t count, float* HWY_RESTRICT sums) {
  const std::size_t run = count / 4;
  for (std::size_t i = 0; i < run; ++i) {
    float four[4];
    dot_rows<4>(w + i * g.stride, run * g.stride, g.depth, g.x, four);
    for (std::size_t r = 0; r < 4; ++r) sums[r * run + i] = four[r];
  }
  for (std::size_t i = 4 * run; i < count; ++i) dot_rows<1>(w + i * g.stride, g.stride, g.depth, g.x, sums + i);
}

template <class S>
void sum_nibbles(const GemvBlock& g, std::size_t first, std::size_t count, float* HWY_RESTRICT sums) {
  const auto* w = static_cast<const std::uint8_t*>(g.w);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t n = first + i;
    const S* scale = g.scale == nullptr ? nullptr : static_cast<const S*>(g.scale) + n / g.scale_rows * g.blocks;
    sums[i] = nibble_dot(w + n * g.depth / 2, g.depth, g.x, g.table + n / g.table_rows * 16, scale, g.blocks);
  }
}

void sum_levels(const GemvBlock& g, std::size_t first, std::size_t count, float* HWY_RESTRICT sums) {
  if (g.nibbles != nullptr) return nibble_kernels()->sums(*g.nibbles, first, count, sums);
  if (g.form == RowForm::nibbles)
    return g.scale_storage == Storage::f16 ? sum_nibbles<Half>(g, first, count, sums)
                                           : sum_nibbles<float>(g, first, count, sums);
  sum_rows(static_cast<const std::int8_t*>(g.w) + first * g.stride, g, count, sums);
  for (std::size_t i = 0; i < count; ++i) sums[i] *= static_cast<const float*>(g.scale)[first + i];
}

template <class T>
void finish(const GemvBlock& g, std::size_t first, std::size_t count, const float* HWY_RESTRICT sums) {
  for_lanes(count, [&](std::size_t i, std::size_t n) HWY_ATTR {
    V sum = load_up_to(sums + i, n);
    if (g.bias != nullptr) sum = hn::Add(sum, load_up_to(g.bias + first + i, n));
    if (g.residual != nullptr) sum = hn::Add(sum, load_up_to(static_cast<const T*>(g.residual) + first + i, n));
    store_up_to(activate(g.activation, sum), static_cast<T*>(g.y) + first + i, n);
  });
}

void gemv(const GemvBlock& g) {
  HWY_ALIGN float sums[chunk];
  for (std::size_t first = g.first; first < g.last; first += chunk) {
    const std::size_t count = HWY_MIN(chunk, g.last - first);
    if (g.form != RowForm::floats) {
      sum_levels(g, first, count, sums);
    } else if (g.w_storage == Storage::f16) {
      sum_rows(static_cast<const Half*>(g.w) + first * g.stride, g, count, sums);
    } else {
      sum_rows(static_cast<const float*>(g.w) + first * g.stride, g, count, sums);
    }
    if (g.y_storage == Storage::f16) {
      finish<Half>(g, first, count, sums);
    } else {
      finish<float>(g, first, count, sums);
    }
  }
}

template <int vectors, class T>
void weigh(const WeightedRows& b, std::size_t first) {
  const std::size_t count = HWY_MIN(b.columns - first, vectors * lanes);
  V sums[vectors];
  TL_UNROLL for (int v = 0; v < vectors; ++v) sums[v] = hn::Zero(f32);
  const T* w = static_cast<const T*>(b.w) + first;
  for (std::size_t s = 0; s < b.rows; ++s, w += b.stride) {
    const V p = hn::Set(f32, b.p[s]);
    if (count == vectors * lanes) {
      TL_UNROLL for (int v = 0; v < vectors; ++v) sums[v] =
          hn::MulAdd(p, load(w + static_cast<std::size_t>(v) * lanes), sums[v]);
    } else {
      sums[0] = hn::MulAdd(p, load_n(w, count), sums[0]);
    }
  }
  T* y = static_cast<T*>(b.y) + first;
  if (count == vectors * lanes) {
    TL_UNROLL for (int v = 0; v < vectors; ++v) store(sums[v], y + static_cast<std::size_t>(v) * lanes);
  } else {
    store_n(sums[0], y, count);
  }
}

template <class T>
void weigh_all(const WeightedRows& b) {
  std::size_t first = 0;
  for (; first + 4 * lanes <= b.columns; first += 4 * lanes) weigh<4, T>(b, first);
  for (; first < b.columns; first += lanes) weigh<1, T>(b, first);
}

void weighted_rows(const WeightedRows& b) {
  if (b.storage == Storage::f16) {
    weigh_all<Half>(b);
  } else {
    weigh_all<float>(b);
  }
}

}  // namespace

const GemvKernels& gemv_table() {
  static constexpr GemvKernels table = {&gemv, &weighted_rows};
  return table;
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {
HWY_EXPORT(gemv_table);
const GemvKernels& gemv_kernels() { return HWY_DYNAMIC_DISPATCH(gemv_table)(); }
}  // namespace tl::cpu
#endif
