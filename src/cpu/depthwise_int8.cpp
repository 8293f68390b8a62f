#include "cpu/depthwise_int8.hpp"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/depthwise_int8.cpp"
#include <hwy/foreach_target.h>

#include "cpu/level_finish-inl.hpp"
#include "cpu/x86_extensions.hpp"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
namespace {

// Of one output, `pixels` behind the first of the image.
HWY_INLINE LevelRow output_row(const DepthwiseLevels& a, std::size_t pixels) {
  const LevelFinish& f = *a.finish;
  const std::size_t at = pixels * a.shape->in_c;
  LevelRow row = a.row;
  if (row.residual != nullptr) row.residual = static_cast<const std::byte*>(row.residual) + at * f.residual_bytes();
  row.out = static_cast<std::byte*>(row.out) + at * f.out_bytes();
  if (row.values != nullptr) row.values = static_cast<std::byte*>(row.values) + at * size_of(f.storage);
  return row;
}

// The input row that kernel row `ky` reads, or null.
HWY_INLINE const std::uint8_t* input_row(const DepthwiseLevels& a, std::size_t oy, std::size_t ky) {
  const ConvShape& s = *a.shape;
  const auto iy = static_cast<std::ptrdiff_t>(oy * s.stride_h + ky * s.dilation_h) - s.pad_top;
  const bool inside = ky < s.kernel_h && iy >= 0 && iy < static_cast<std::ptrdiff_t>(s.in_h);
  return inside ? a.x + static_cast<std::size_t>(iy) * s.in_w * s.in_c : nullptr;
}

// sums[c] += x[c] * weights[c], x made unsigned; null: all `zero`.
HWY_INLINE void add_tap(const DepthwiseLevels& a, const std::uint8_t* HWY_RESTRICT x, const std::int8_t* HWY_RESTRICT weights,
                        std::int32_t* HWY_RESTRICT sums) {
  const hn::CappedTag<std::int32_t, 16> d;
  const hn::Rebind<std::uint8_t, decltype(d)> bytes;
  const hn::Rebind<std::int8_t, decltype(d)> signed_bytes;
  const std::size_t lanes = hn::Lanes(d);
  const auto flip = hn::Set(d, a.flip);
  std::size_t c = 0;
  for (; c + lanes <= a.channels; c += lanes) {
    const auto value = x == nullptr ? hn::Set(d, a.zero) : hn::Xor(hn::PromoteTo(d, hn::LoadU(bytes, x + c)), flip);
    hn::StoreU(hn::Add(hn::LoadU(d, sums + c), hn::Mul(value, hn::PromoteTo(d, hn::LoadU(signed_bytes, weights + c)))), d,
               sums + c);
  }
  for (; c < a.channels; ++c) sums[c] += (x == nullptr ? a.zero : x[c] ^ a.flip) * weights[c];
}

void plain_rows(const DepthwiseLevels& a) {
  constexpr std::size_t beside = 16;  // outputs of a row, for which the weights of a tap are brought in order
  const ConvShape& s = *a.shape;
  const std::size_t quads = (s.kernel_h + level_quad - 1) / level_quad;
  std::int32_t start[level_channels], sums[beside][level_channels];
  std::int8_t weights[level_channels];
  for (std::size_t c = 0; c < a.channels; ++c) start[c] = a.start[level_slot(c)];
  for (std::size_t oy = a.row_begin; oy < a.row_end; ++oy) {
    for (std::size_t first = 0; first < s.out_w; first += beside) {
      const std::size_t count = HWY_MIN(beside, s.out_w - first);
      for (std::size_t o = 0; o < count; ++o) std::memcpy(sums[o], start, a.channels * sizeof(std::int32_t));
      for (std::size_t ky = 0; ky < s.kernel_h; ++ky) {
        const std::uint8_t* row = input_row(a, oy, ky);
        for (std::size_t kx = 0; kx < s.kernel_w; ++kx) {
          const std::int8_t* w = a.weights + (kx * quads + ky / level_quad) * level_channels * level_quad + ky % level_quad;
          for (std::size_t c = 0; c < a.channels; ++c) weights[c] = w[level_slot(c) * level_quad];
          for (std::size_t o = 0; o < count; ++o) {
            const auto ix = static_cast<std::ptrdiff_t>((first + o) * s.stride_w + kx * s.dilation_w) - s.pad_left;
            const bool inside = row != nullptr && ix >= 0 && ix < static_cast<std::ptrdiff_t>(s.in_w);
            add_tap(a, inside ? row + static_cast<std::size_t>(ix) * s.in_c : nullptr, weights, sums[o]);
          }
        }
      }
      for (std::size_t o = 0; o < count; ++o)
        finish_row(*a.finish, output_row(a, oy * s.out_w + first + o), sums[o], a.channels);
    }
  }
}

}  // namespace

const DepthwiseLevelKernels* depthwise_levels_plain() {
  static constexpr DepthwiseLevelKernels table = {"depthwise_int8", &plain_rows};
  return &table;
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_TARGET == HWY_AVX3
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512vnni")
namespace tl::cpu::HWY_NAMESPACE {
namespace {

constexpr int vectors = 4;  // words of a chunk

// Chunks of 64 channels, and of 32 in half vectors.
struct Whole {
  using Bytes = __m512i;
  static constexpr std::size_t channels = 64;
  static HWY_INLINE Bytes load(std::uint64_t mask, const std::uint8_t* p) { return _mm512_maskz_loadu_epi8(mask, p); }
  static HWY_INLINE Bytes load(const void* p) { return _mm512_loadu_si512(p); }
  static HWY_INLINE Bytes all(std::uint8_t byte) { return _mm512_set1_epi8(static_cast<char>(byte)); }
  static HWY_INLINE Bytes flipped(Bytes x, Bytes flip) { return _mm512_xor_si512(x, flip); }
  static HWY_INLINE Bytes low(Bytes a, Bytes b) { return _mm512_unpacklo_epi8(a, b); }
  static HWY_INLINE Bytes high(Bytes a, Bytes b) { return _mm512_unpackhi_epi8(a, b); }
  static HWY_INLINE Bytes low_pairs(Bytes a, Bytes b) { return _mm512_unpacklo_epi16(a, b); }
  static HWY_INLINE Bytes high_pairs(Bytes a, Bytes b) { return _mm512_unpackhi_epi16(a, b); }
  static HWY_INLINE Bytes dot(Bytes sum, Bytes x, Bytes w) { return _mm512_dpbusd_epi32(sum, x, w); }
};
struct Halves {
  using Bytes = __m256i;
  static constexpr std::size_t channels = 32;
  static HWY_INLINE Bytes load(std::uint64_t mask, const std::uint8_t* p) {
    return _mm256_maskz_loadu_epi8(static_cast<__mmask32>(mask), p);
  }
  static HWY_INLINE Bytes load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
  static HWY_INLINE Bytes all(std::uint8_t byte) { return _mm256_set1_epi8(static_cast<char>(byte)); }
  static HWY_INLINE Bytes flipped(Bytes x, Bytes flip) { return _mm256_xor_si256(x, flip); }
  static HWY_INLINE Bytes low(Bytes a, Bytes b) { return _mm256_unpacklo_epi8(a, b); }
  static HWY_INLINE Bytes high(Bytes a, Bytes b) { return _mm256_unpackhi_epi8(a, b); }
  static HWY_INLINE Bytes low_pairs(Bytes a, Bytes b) { return _mm256_unpacklo_epi16(a, b); }
  static HWY_INLINE Bytes high_pairs(Bytes a, Bytes b) { return _mm256_unpackhi_epi16(a, b); }
  static HWY_INLINE Bytes dot(Bytes sum, Bytes x, Bytes w) { return _mm256_dpbusd_epi32(sum, x, w); }
};

// What the outputs of a row have in common.
struct Line {
  const DepthwiseLevels& a;
  const QuickBytes& quick;
  bool bytes;          // `quick` finishes
  std::uint64_t mask;  // of the channels
  std::size_t quads, oy;
  const std::uint8_t** rows;  // kernel rows in whole quads; one that is padding is `padding` with a step of 0
  std::size_t* steps;
};

// Four rows at one input column as words.
template <class W, bool inside>
HWY_INLINE void column_of(const Line& line, std::size_t quad, std::ptrdiff_t ix, typename W::Bytes (&x)[vectors]) {
  if (!inside && (ix < 0 || ix >= static_cast<std::ptrdiff_t>(line.a.shape->in_w))) {
    TL_UNROLL for (int k = 0; k < vectors; ++k) x[k] = W::all(line.a.zero);
    return;
  }
  const auto flip = W::all(line.a.flip);
  typename W::Bytes rows[level_quad];
  TL_UNROLL for (std::size_t i = 0; i < level_quad; ++i) {
    const std::size_t row = quad * level_quad + i;
    rows[i] = W::flipped(W::load(line.mask, line.rows[row] + static_cast<std::size_t>(ix) * line.steps[row]), flip);
  }
  const auto low = W::low(rows[0], rows[1]);
  const auto high = W::high(rows[0], rows[1]);
  const auto low_next = W::low(rows[2], rows[3]);
  const auto high_next = W::high(rows[2], rows[3]);
  x[0] = W::low_pairs(low, low_next);
  x[1] = W::high_pairs(low, low_next);
  x[2] = W::low_pairs(high, high_next);
  x[3] = W::high_pairs(high, high_next);
}

template <class W>
HWY_INLINE void multiply(const Line& line, std::size_t tap, const typename W::Bytes (&x)[vectors],
                         typename W::Bytes (&sums)[vectors]) {
  const std::int8_t* w = line.a.weights + tap * level_channels * level_quad;
  TL_UNROLL for (int k = 0; k < vectors; ++k) sums[k] =
      W::dot(sums[k], x[k], W::load(w + static_cast<std::size_t>(k) * level_channels));
}

// Two outputs of half vectors share whole ones.
HWY_INLINE void joined(const __m512i (&a)[vectors], const __m512i (&)[vectors], __m512i (&sums)[vectors]) {
  TL_UNROLL for (int k = 0; k < vectors; ++k) sums[k] = a[k];
}
HWY_INLINE void joined(const __m256i (&a)[vectors], const __m256i (&b)[vectors], __m512i (&sums)[vectors]) {
  TL_UNROLL for (int k = 0; k < vectors; ++k) sums[k] = _mm512_inserti64x4(_mm512_castsi256_si512(a[k]), b[k], 1);
}

template <class W, class Lookup>
HWY_INLINE void finish_bytes(const Line& line, const __m512i (&sums)[vectors], std::size_t ox, bool both,
                             const Lookup& lookup) {
  const DepthwiseLevels& a = line.a;
  __m512 scale[vectors], bias[vectors];
  TL_UNROLL for (int k = 0; k < vectors; ++k) {
    scale[k] = _mm512_loadu_ps(a.scale + static_cast<std::size_t>(k) * lanes);
    bias[k] = _mm512_loadu_ps(a.bias + static_cast<std::size_t>(k) * lanes);
  }
  const __m512i bytes = line.quick(sums, scale, bias, lookup);
  std::uint8_t* out = static_cast<std::uint8_t*>(a.row.out) + (line.oy * a.shape->out_w + ox) * a.shape->in_c;
  if (W::channels == 64) {
    _mm512_mask_storeu_epi8(out, line.mask, bytes);
  } else {
    _mm256_mask_storeu_epi8(out, static_cast<__mmask32>(line.mask), _mm512_castsi512_si256(bytes));
    if (both)
      _mm256_mask_storeu_epi8(out + a.shape->in_c, static_cast<__mmask32>(line.mask), _mm512_extracti64x4_epi64(bytes, 1));
  }
}

void finish_any(const Line& line, const __m512i (&sums)[vectors], std::size_t ox) {
  HWY_ALIGN std::int32_t slots[level_channels];
  std::int32_t ordered[level_channels];
  TL_UNROLL for (int k = 0; k < vectors; ++k) _mm512_store_si512(slots + static_cast<std::size_t>(k) * lanes, sums[k]);
  for (std::size_t c = 0; c < level_channels; ++c) ordered[c] = slots[level_slot(c)];
  finish_row(*line.a.finish, output_row(line.a, line.oy * line.a.shape->out_w + ox), ordered, line.a.channels);
}

// `count` neighbouring outputs from column `ox`; a kernel of 0: any, with dilation, one output.
template <class W, int kernel, int stride, int count, bool inside, class Lookup>
HWY_INLINE void outputs(const Line& line, std::size_t ox, const Lookup& lookup) {
  const ConvShape& s = *line.a.shape;
  typename W::Bytes sums[count][vectors];
  TL_UNROLL for (int k = 0; k < vectors; ++k) {
    const auto start = W::load(line.a.start + static_cast<std::size_t>(k) * lanes);
    TL_UNROLL for (int o = 0; o < count; ++o) sums[o][k] = start;
  }
  typename W::Bytes x[vectors];
  for (std::size_t quad = 0; quad < line.quads; ++quad) {
    if (kernel == 0) {
      for (std::size_t kx = 0; kx < s.kernel_w; ++kx) {
        const auto ix = static_cast<std::ptrdiff_t>(ox * s.stride_w + kx * s.dilation_w) - s.pad_left;
        column_of<W, inside>(line, quad, ix, x);
        multiply<W>(line, kx * line.quads + quad, x, sums[0]);
      }
      continue;
    }
    const auto left = static_cast<std::ptrdiff_t>(ox * stride) - s.pad_left;
    TL_UNROLL for (int j = 0; j < (count - 1) * stride + kernel; ++j) {
      column_of<W, inside>(line, quad, left + j, x);
      TL_UNROLL for (int kx = 0; kx < kernel; ++kx) {
        const int from = j - kx;
        if (from >= 0 && from % stride == 0 && from / stride < count)
          multiply<W>(line, static_cast<std::size_t>(kx) * line.quads + quad, x, sums[from / stride]);
      }
    }
  }
  constexpr int together = W::channels == 64 ? 1 : 2;
  TL_UNROLL for (int o = 0; o < count; o += together) {
    __m512i whole[vectors];
    const std::size_t at = ox + static_cast<std::size_t>(o);
    if (line.bytes) {
      joined(sums[o], sums[HWY_MIN(o + 1, count - 1)], whole);
      finish_bytes<W>(line, whole, at, o + 1 < count, lookup);
    } else {
      for (int i = 0; i < together && o + i < count; ++i) {
        joined(sums[o + i], sums[o + i], whole);
        finish_any(line, whole, at + static_cast<std::size_t>(i));
      }
    }
  }
}

template <class W, int kernel, int stride, class Lookup>
HWY_INLINE void line_of(const Line& line, const Lookup& lookup) {
  constexpr int many = kernel == 0 ? 1 : 4;
  constexpr std::ptrdiff_t span = (many - 1) * stride + kernel;
  const ConvShape& s = *line.a.shape;
  std::size_t ox = 0;
  for (; ox + many <= s.out_w; ox += many) {
    const auto left = static_cast<std::ptrdiff_t>(ox * stride) - s.pad_left;
    if (kernel != 0 && left >= 0 && left + span <= static_cast<std::ptrdiff_t>(s.in_w)) {
      outputs<W, kernel, stride, many, true>(line, ox, lookup);
    } else {
      outputs<W, kernel, stride, many, false>(line, ox, lookup);
    }
  }
  for (; ox < s.out_w; ++ox) outputs<W, kernel, stride, 1, false>(line, ox, lookup);
}

template <class W, class Lookup>
HWY_INLINE void rows_of(Line& line, const Lookup& lookup) {
  const DepthwiseLevels& a = line.a;
  const ConvShape& s = *a.shape;
  std::uint8_t padding[level_channels];
  std::memset(padding, a.zero ^ a.flip, sizeof padding);
  const bool plain = s.dilation_w == 1 && s.stride_w <= 2;
  for (line.oy = a.row_begin; line.oy < a.row_end; ++line.oy) {
    for (std::size_t ky = 0; ky < line.quads * level_quad; ++ky) {
      const std::uint8_t* row = input_row(a, line.oy, ky);
      line.rows[ky] = row == nullptr ? padding : row;
      line.steps[ky] = row == nullptr ? 0 : s.in_c;
    }
    if (plain && s.kernel_w == 3) {
      s.stride_w == 1 ? line_of<W, 3, 1>(line, lookup) : line_of<W, 3, 2>(line, lookup);
    } else if (plain && s.kernel_w == 5) {
      s.stride_w == 1 ? line_of<W, 5, 1>(line, lookup) : line_of<W, 5, 2>(line, lookup);
    } else {
      line_of<W, 0, 1>(line, lookup);
    }
  }
}

constexpr std::size_t most_rows = 64;

template <class Lookup>
HWY_INLINE void quick_rows(const DepthwiseLevels& a, const Lookup& lookup) {
  const QuickBytes quick(*a.finish);
  const std::uint8_t* rows[most_rows];
  std::size_t steps[most_rows];
  const std::uint64_t mask = a.channels >= level_channels ? ~std::uint64_t{0} : (std::uint64_t{1} << a.channels) - 1;
  const std::size_t quads = (a.shape->kernel_h + level_quad - 1) / level_quad;
  Line line{a, quick, all_bytes(*a.finish, a.row), mask, quads, 0, rows, steps};
  if (a.channels > Halves::channels) {
    rows_of<Whole>(line, lookup);
  } else {
    rows_of<Halves>(line, lookup);
  }
}

void shuffled_rows(const DepthwiseLevels& a) { quick_rows(a, ShuffledTable{a.finish->table}); }

}  // namespace

const DepthwiseLevelKernels* depthwise_levels_vnni() {
  static constexpr DepthwiseLevelKernels table = {"depthwise_int8_vnni", &shuffled_rows};
  return &table;
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_POP_ATTRIBUTES
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",avx512vnni,avx512vbmi")
namespace tl::cpu::HWY_NAMESPACE {
namespace {

void permuted_rows(const DepthwiseLevels& a) { quick_rows(a, PermutedTable(a.finish->table)); }

}  // namespace

const DepthwiseLevelKernels* depthwise_levels_vbmi() {
  static constexpr DepthwiseLevelKernels table = {"depthwise_int8_vnni", &permuted_rows};
  return &table;
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_POP_ATTRIBUTES
#else
HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
const DepthwiseLevelKernels* depthwise_levels_vnni() { return nullptr; }
const DepthwiseLevelKernels* depthwise_levels_vbmi() { return nullptr; }
}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace tl::cpu {

HWY_EXPORT(depthwise_levels_plain);
HWY_EXPORT(depthwise_levels_vnni);
HWY_EXPORT(depthwise_levels_vbmi);

const DepthwiseLevelKernels& depthwise_level_kernels() {
  static const DepthwiseLevelKernels& best =
      best_for_bytes(HWY_DYNAMIC_DISPATCH(depthwise_levels_plain)(), HWY_DYNAMIC_DISPATCH(depthwise_levels_vnni)(),
                     HWY_DYNAMIC_DISPATCH(depthwise_levels_vbmi)());
  return best;
}

}  // namespace tl::cpu
#endif
