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

std::size_t runs_of(const GemvBlock& g) { return g.apart == 0 ? 1 : 4; }

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
      __builtin_prefetch(reinterpret_cast<const char*>(row) + ahead, 0, 2);  // few lines can be on their way to the first cache
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

constexpr std::size_t parts = nibble_group / lanes;

// The entries of a table that a group of nibbles picks, in the order of `nibble_order`.
#if HWY_TARGET <= HWY_AVX3
class Entries {
 public:
  explicit Entries(const float* table) : table_(_mm512_loadu_ps(table)) {}
  HWY_INLINE void pick(std::uint64_t nibbles, V (&out)[parts]) const {
    const __m512i shifts = _mm512_setr_epi32(0, 0, 4, 4, 8, 8, 12, 12, 16, 16, 20, 20, 24, 24, 28, 28);
    const __m512i all = _mm512_set1_epi64(static_cast<long long>(nibbles));
    out[0] = V{_mm512_permutexvar_ps(_mm512_srlv_epi32(all, shifts), table_)};
  }

 private:
  __m512 table_;
};
#elif HWY_TARGET == HWY_AVX2
class Entries {
 public:
  explicit Entries(const float* table) : low_(_mm256_loadu_ps(table)), high_(_mm256_loadu_ps(table + 8)) {}
  HWY_INLINE void pick(std::uint64_t nibbles, V (&out)[parts]) const {
    const __m256i all = _mm256_set1_epi64x(static_cast<long long>(nibbles));
    out[0] = pick(_mm256_srlv_epi32(all, _mm256_setr_epi32(0, 0, 4, 4, 8, 8, 12, 12)));
    out[1] = pick(_mm256_srlv_epi32(all, _mm256_setr_epi32(16, 16, 20, 20, 24, 24, 28, 28)));
  }

 private:
  HWY_INLINE V pick(__m256i nibbles) const {
    const __m256 upper_half = _mm256_castsi256_ps(_mm256_slli_epi32(nibbles, 28));
    return V{_mm256_blendv_ps(_mm256_permutevar8x32_ps(low_, nibbles), _mm256_permutevar8x32_ps(high_, nibbles), upper_half)};
  }
  __m256 low_, high_;
};
#else
class Entries {
 public:
  explicit Entries(const float* table) : table_(table) {}
  HWY_INLINE void pick(std::uint64_t nibbles, V (&out)[parts]) const {
    HWY_ALIGN float entries[nibble_group];
    TL_UNROLL for (std::size_t i = 0; i < nibble_group; ++i) entries[i] = table_[nibbles >> (4 * nibble_order(i)) & 15];
    TL_UNROLL for (std::size_t p = 0; p < parts; ++p) out[p] = load(entries + p * lanes);
  }

 private:
  const float* table_;
};
#endif

// `rows` rows of nibbles against x, from row n on and `apart` rows apart. They share a table.
template <int rows, class S>
HWY_INLINE void nibble_dots(const GemvBlock& g, std::size_t n, std::size_t apart, float* HWY_RESTRICT sums) {
  const Entries entries(g.table + n / g.table_rows * 16);
  const std::size_t length = g.depth / g.blocks;
  const float* HWY_RESTRICT x = g.x;
  const std::uint8_t* HWY_RESTRICT w[rows];
  const S* HWY_RESTRICT scale[rows];
  V all[rows];
  HWY_ALIGN float factors[rows][lanes];
  TL_UNROLL for (int r = 0; r < rows; ++r) {
    const std::size_t row = n + static_cast<std::size_t>(r) * apart;
    w[r] = static_cast<const std::uint8_t*>(g.w) + row * g.depth / 2;
    scale[r] = g.scale == nullptr ? nullptr : static_cast<const S*>(g.scale) + row / g.scale_rows * g.blocks;
    all[r] = hn::Zero(f32);
    store(hn::Set(f32, 1), factors[r]);
  }
  for (std::size_t b = 0; b < g.blocks; ++b) {
    V even[rows], odd[rows];
    TL_UNROLL for (int r = 0; r < rows; ++r) {
      if (b % lanes == 0 && g.scale != nullptr) store(load_up_to(scale[r] + b, HWY_MIN(lanes, g.blocks - b)), factors[r]);
      even[r] = odd[r] = hn::Zero(f32);
    }
    for (std::size_t k = 0; k < length; k += nibble_group, x += nibble_group) {
      V values[parts];
      TL_UNROLL for (std::size_t p = 0; p < parts; ++p) values[p] = load(x + p * lanes);
      TL_UNROLL for (int r = 0; r < rows; ++r) {
        __builtin_prefetch(w[r] + ahead, 0, 3);
        std::uint64_t nibbles;
        std::memcpy(&nibbles, w[r], sizeof nibbles);
        V picked[parts];
        entries.pick(nibbles, picked);
        TL_UNROLL for (std::size_t p = 0; p < parts; ++p) {  // two sums in turn
          const V other = hn::MulAdd(picked[p], values[p], even[r]);
          even[r] = odd[r];
          odd[r] = other;
        }
        w[r] += nibble_group / 2;
      }
    }
    TL_UNROLL for (int r = 0; r < rows; ++r) all[r] =
        hn::MulAdd(hn::Add(even[r], odd[r]), hn::Set(f32, factors[r][b % lanes]), all[r]);
  }
  TL_UNROLL for (int r = 0; r < rows; ++r) sums[r] = hn::GetLane(hn::SumOfLanes(f32, all[r]));
}

// sums[r * count + i] of row first + r * apart + i, for r < 4 where `apart` is not 0.
template <class T>
void sum_rows(const GemvBlock& g, std::size_t first, std::size_t count, float* HWY_RESTRICT sums) {
  const T* HWY_RESTRICT w = static_cast<const T*>(g.w) + first * g.stride;
  for (std::size_t i = 0; i < count; ++i, w += g.stride) {
    float four[4];
    if (g.apart == 0) {
      dot_rows<1>(w, 0, g.depth, g.x, sums + i);
      continue;
    }
    dot_rows<4>(w, g.apart * g.stride, g.depth, g.x, four);
    TL_UNROLL for (std::size_t r = 0; r < 4; ++r) sums[r * count + i] = four[r];
  }
}

template <class S>
void sum_nibbles(const GemvBlock& g, std::size_t first, std::size_t count, float* HWY_RESTRICT sums) {
  const std::size_t last = first + 3 * g.apart + count - 1;
  if (lanes == nibble_group && g.apart != 0 && first / g.table_rows == last / g.table_rows) {
    for (std::size_t i = 0; i < count; ++i) {
      float four[4];
      nibble_dots<4, S>(g, first + i, g.apart, four);
      TL_UNROLL for (std::size_t r = 0; r < 4; ++r) sums[r * count + i] = four[r];
    }
    return;
  }
  for (std::size_t r = 0; r < runs_of(g); ++r)
    for (std::size_t i = 0; i < count; ++i) nibble_dots<1, S>(g, first + r * g.apart + i, 0, sums + r * count + i);
}

void sum_levels(const GemvBlock& g, std::size_t first, std::size_t count, float* HWY_RESTRICT sums) {
  if (g.nibbles != nullptr) return nibble_kernels()->sums(*g.nibbles, first, count, g.apart, sums);
  if (g.form == RowForm::nibbles)
    return g.scale_storage == Storage::f16 ? sum_nibbles<Half>(g, first, count, sums)
                                           : sum_nibbles<float>(g, first, count, sums);
  sum_rows<std::int8_t>(g, first, count, sums);
  for (std::size_t r = 0; r < runs_of(g); ++r)
    for (std::size_t i = 0; i < count; ++i) sums[r * count + i] *= static_cast<const float*>(g.scale)[first + r * g.apart + i];
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
  for (std::size_t first = g.first; first < g.last; first += chunk / runs_of(g)) {
    const std::size_t count = HWY_MIN(chunk / runs_of(g), g.last - first);
    if (g.form != RowForm::floats) {
      sum_levels(g, first, count, sums);
    } else if (g.w_storage == Storage::f16) {
      sum_rows<Half>(g, first, count, sums);
    } else {
      sum_rows<float>(g, first, count, sums);
    }
    for (std::size_t r = 0; r < runs_of(g); ++r) {
      if (g.y_storage == Storage::f16) {
        finish<Half>(g, first + r * g.apart, count, sums + r * count);
      } else {
        finish<float>(g, first + r * g.apart, count, sums + r * count);
      }
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

void gemv_rows(const GemvKernels& kernels, GemvBlock block) {
  const std::size_t last = block.last;
  while (block.first < last) {
    block.apart = (last - block.first) / 4;
    block.last = block.apart == 0 ? last : block.first + block.apart;
    kernels.gemv(block);
    block.first = block.apart == 0 ? last : block.first + 4 * block.apart;
  }
}
}  // namespace tl::cpu
#endif
