#include "cpu/depthwise_int8.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/depthwise_int8.cpp"
#include <hwy/foreach_target.h>

#include "cpu/level_finish-inl.hpp"

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

void plain_rows(const DepthwiseLevels& a) {
  const ConvShape& s = *a.shape;
  const std::size_t quads = (s.kernel_h + level_quad - 1) / level_quad;
  for (std::size_t oy = a.row_begin; oy < a.row_end; ++oy) {
    for (std::size_t ox = 0; ox < s.out_w; ++ox) {
      std::int32_t sums[level_channels];
      for (std::size_t c = 0; c < a.channels; ++c) sums[c] = a.start[level_slot(c)];
      for (std::size_t kx = 0; kx < s.kernel_w; ++kx) {
        const auto ix = static_cast<std::ptrdiff_t>(ox * s.stride_w + kx * s.dilation_w) - s.pad_left;
        for (std::size_t ky = 0; ky < s.kernel_h; ++ky) {
          const std::uint8_t* row = input_row(a, oy, ky);
          const bool inside = row != nullptr && ix >= 0 && ix < static_cast<std::ptrdiff_t>(s.in_w);
          const std::int8_t* w = a.weights + (kx * quads + ky / level_quad) * level_channels * level_quad + ky % level_quad;
          for (std::size_t c = 0; c < a.channels; ++c) {
            const int x = inside ? row[static_cast<std::size_t>(ix) * s.in_c + c] ^ a.flip : a.zero;
            sums[c] += x * w[level_slot(c) * level_quad];
          }
        }
      }
      finish_row(*a.finish, output_row(a, oy * s.out_w + ox), sums, a.channels);
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

constexpr int vectors = 4;  // words of 64 channels

// What the outputs of a row have in common.
struct Line {
  const DepthwiseLevels* a;
  const std::uint8_t* const* rows;  // kernel rows in whole quads
  std::size_t quads, oy;
  __mmask64 mask;
  __m512i flip, pad;
};

// Four rows at one input column as words.
HWY_INLINE void column_of(const Line& line, std::size_t quad, std::ptrdiff_t ix, __m512i (&x)[vectors]) {
  const ConvShape& s = *line.a->shape;
  if (ix < 0 || ix >= static_cast<std::ptrdiff_t>(s.in_w)) {
    TL_UNROLL for (int k = 0; k < vectors; ++k) x[k] = line.pad;
    return;
  }
  const std::size_t at = static_cast<std::size_t>(ix) * s.in_c;
  __m512i rows[level_quad];
  TL_UNROLL for (std::size_t i = 0; i < level_quad; ++i) {
    const std::uint8_t* row = line.rows[quad * level_quad + i];
    rows[i] = row == nullptr ? line.pad : _mm512_xor_si512(line.flip, _mm512_maskz_loadu_epi8(line.mask, row + at));
  }
  const __m512i low = _mm512_unpacklo_epi8(rows[0], rows[1]);
  const __m512i high = _mm512_unpackhi_epi8(rows[0], rows[1]);
  const __m512i low_next = _mm512_unpacklo_epi8(rows[2], rows[3]);
  const __m512i high_next = _mm512_unpackhi_epi8(rows[2], rows[3]);
  x[0] = _mm512_unpacklo_epi16(low, low_next);
  x[1] = _mm512_unpackhi_epi16(low, low_next);
  x[2] = _mm512_unpacklo_epi16(high, high_next);
  x[3] = _mm512_unpackhi_epi16(high, high_next);
}

HWY_INLINE void multiply(const Line& line, std::size_t tap, const __m512i (&x)[vectors], __m512i (&sums)[vectors]) {
  const std::int8_t* w = line.a->weights + tap * level_channels * level_quad;
  TL_UNROLL for (int k = 0; k < vectors; ++k) sums[k] =
      _mm512_dpbusd_epi32(sums[k], x[k], _mm512_loadu_si512(w + static_cast<std::size_t>(k) * level_channels));
}

template <class Lookup>
HWY_INLINE void finish(const Line& line, const __m512i (&sums)[vectors], std::size_t ox, bool bytes, const QuickBytes& quick,
                       const Lookup& lookup) {
  const DepthwiseLevels& a = *line.a;
  const LevelRow row = output_row(a, line.oy * a.shape->out_w + ox);
  if (bytes) {
    __m512 scale[vectors], bias[vectors];
    TL_UNROLL for (int k = 0; k < vectors; ++k) {
      scale[k] = _mm512_loadu_ps(a.scale + static_cast<std::size_t>(k) * lanes);
      bias[k] = _mm512_loadu_ps(a.bias + static_cast<std::size_t>(k) * lanes);
    }
    _mm512_mask_storeu_epi8(row.out, line.mask, quick(sums, scale, bias, lookup));
    return;
  }
  HWY_ALIGN std::int32_t slots[level_channels];
  std::int32_t ordered[level_channels];
  TL_UNROLL for (int k = 0; k < vectors; ++k) _mm512_store_si512(slots + static_cast<std::size_t>(k) * lanes, sums[k]);
  for (std::size_t c = 0; c < level_channels; ++c) ordered[c] = slots[level_slot(c)];
  finish_row(*a.finish, row, ordered, a.channels);
}

// `count` neighbouring outputs from column `ox`; a kernel of 0: any, with dilation, one output.
template <int kernel, int stride, int count, class Lookup>
HWY_INLINE void outputs(const Line& line, std::size_t ox, bool bytes, const QuickBytes& quick, const Lookup& lookup) {
  const ConvShape& s = *line.a->shape;
  __m512i sums[count][vectors];
  TL_UNROLL for (int k = 0; k < vectors; ++k) {
    const __m512i start = _mm512_loadu_si512(line.a->start + static_cast<std::size_t>(k) * lanes);
    TL_UNROLL for (int o = 0; o < count; ++o) sums[o][k] = start;
  }
  __m512i x[vectors];
  for (std::size_t quad = 0; quad < line.quads; ++quad) {
    if (kernel == 0) {
      for (std::size_t kx = 0; kx < s.kernel_w; ++kx) {
        column_of(line, quad, static_cast<std::ptrdiff_t>(ox * s.stride_w + kx * s.dilation_w) - s.pad_left, x);
        multiply(line, kx * line.quads + quad, x, sums[0]);
      }
      continue;
    }
    const auto left = static_cast<std::ptrdiff_t>(ox * stride) - s.pad_left;
    TL_UNROLL for (int j = 0; j < (count - 1) * stride + kernel; ++j) {
      column_of(line, quad, left + j, x);
      TL_UNROLL for (int kx = 0; kx < kernel; ++kx) {
        const int from = j - kx;
        if (from >= 0 && from % stride == 0 && from / stride < count)
          multiply(line, static_cast<std::size_t>(kx) * line.quads + quad, x, sums[from / stride]);
      }
    }
  }
  TL_UNROLL for (int o = 0; o < count; ++o) finish(line, sums[o], ox + static_cast<std::size_t>(o), bytes, quick, lookup);
}

template <int kernel, int stride, class Lookup>
HWY_INLINE void line_of(const Line& line, bool bytes, const QuickBytes& quick, const Lookup& lookup) {
  constexpr int many = kernel == 0 ? 1 : 4;
  const std::size_t out_w = line.a->shape->out_w;
  std::size_t ox = 0;
  for (; ox + many <= out_w; ox += many) outputs<kernel, stride, many>(line, ox, bytes, quick, lookup);
  for (; ox < out_w; ++ox) outputs<kernel, stride, 1>(line, ox, bytes, quick, lookup);
}

constexpr std::size_t most_rows = 64;

template <class Lookup>
HWY_INLINE void quick_rows(const DepthwiseLevels& a, const Lookup& lookup) {
  const ConvShape& s = *a.shape;
  const QuickBytes quick(*a.finish);
  const bool bytes = all_bytes(*a.finish, a.row);
  const std::uint8_t* rows[most_rows];
  Line line{&a, rows, (s.kernel_h + level_quad - 1) / level_quad, 0, 0, {}, {}};
  line.mask = a.channels >= level_channels ? ~__mmask64{0} : (__mmask64{1} << a.channels) - 1;
  line.flip = _mm512_set1_epi8(static_cast<char>(a.flip));
  line.pad = _mm512_set1_epi8(static_cast<char>(a.zero));
  const bool plain = s.dilation_w == 1 && s.stride_w <= 2;
  for (line.oy = a.row_begin; line.oy < a.row_end; ++line.oy) {
    for (std::size_t ky = 0; ky < line.quads * level_quad; ++ky) rows[ky] = input_row(a, line.oy, ky);
    if (plain && s.kernel_w == 3) {
      s.stride_w == 1 ? line_of<3, 1>(line, bytes, quick, lookup) : line_of<3, 2>(line, bytes, quick, lookup);
    } else if (plain && s.kernel_w == 5) {
      s.stride_w == 1 ? line_of<5, 1>(line, bytes, quick, lookup) : line_of<5, 2>(line, bytes, quick, lookup);
    } else {
      line_of<0, 1>(line, bytes, quick, lookup);
    }
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
#if defined(__x86_64__)
  static const DepthwiseLevelKernels* fast = !__builtin_cpu_supports("avx512vnni")  ? nullptr
                                             : __builtin_cpu_supports("avx512vbmi") ? HWY_DYNAMIC_DISPATCH(depthwise_levels_vbmi)()
                                                                                    : HWY_DYNAMIC_DISPATCH(depthwise_levels_vnni)();
  if (fast != nullptr) return *fast;
#endif
  return *HWY_DYNAMIC_DISPATCH(depthwise_levels_plain)();
}

}  // namespace tl::cpu
#endif
