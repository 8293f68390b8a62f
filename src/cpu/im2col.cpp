#include "cpu/im2col.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/im2col.cpp"
#include <hwy/foreach_target.h>

#include "cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
namespace {

template <class T>
HWY_INLINE void put_run(const T* HWY_RESTRICT source, float* HWY_RESTRICT row, std::size_t count) {
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(load(source + i), f32, row + i);
  if (i < count) hn::StoreU(load_n(source + i, count - i), f32, row + i);
}

HWY_INLINE void put_zeros(float* HWY_RESTRICT row, std::size_t count) {
  for (std::size_t i = 0; i < count; i += lanes) hn::StoreU(hn::Zero(f32), f32, row + i);
}

// A row of the tile from floats, padded to a multiple of 16 already.
HWY_INLINE void spread(const float* HWY_RESTRICT row, float* HWY_RESTRICT out, std::size_t depth, std::size_t rows) {
  for (std::size_t k = 0; k < depth; k += depth_block, out += rows * depth_block) {
    for (std::size_t j = 0; j < depth_block; j += lanes) hn::Store(hn::LoadU(f32, row + k + j), f32, out + j);
  }
}

template <class T>
HWY_INLINE void spread_run(const T* HWY_RESTRICT source, float* HWY_RESTRICT out, std::size_t count, std::size_t rows) {
  std::size_t k = 0;
  for (; k + depth_block <= count; k += depth_block, out += rows * depth_block) {
    for (std::size_t j = 0; j < depth_block; j += lanes) hn::Store(load(source + k + j), f32, out + j);
  }
  if (k == count) return;
  for (std::size_t j = 0; j < depth_block; j += lanes) {
    const std::size_t left = k + j < count ? HWY_MIN(count - k - j, lanes) : 0;
    hn::Store(left == 0 ? hn::Zero(f32) : load_up_to(source + k + j, left), f32, out + j);
  }
}

template <class T>
void pack_windows(const PackArgs& a) {
  const ConvShape& s = *a.shape;
  const std::size_t channels = s.in_c / s.groups;
  const std::size_t depth = s.depth();
  const T* x = static_cast<const T*>(a.x) + a.group * channels;
  if (s.pointwise()) {
    for (std::size_t r = 0; r < a.count; ++r)
      spread_run(x + (a.first + r) * s.in_c + a.depth_first, a.tile + r * depth_block, a.depth, a.count);
    return;
  }
  const bool joined = s.dilation_w == 1 && s.groups == 1;
  const bool whole = channels % depth_block == 0;  // runs of channels are blocks of the tile
  const std::size_t gathered = gathered_rows(s);
  const std::size_t pitch = padded_depth(depth) + depth_block;
  std::size_t ox = a.first % s.out_w;
  std::size_t oy = a.first / s.out_w % s.out_h;
  std::size_t image = a.first / s.out_w / s.out_h;
  for (std::size_t r = 0; r < a.count; ++r) {
    float* row = a.row + r % gathered * pitch;
    float* block = a.tile + r * depth_block;
    const auto left = static_cast<std::ptrdiff_t>(ox * s.stride_w) - s.pad_left;
    for (std::size_t ky = 0; ky < s.kernel_h; ++ky) {
      const auto iy = static_cast<std::ptrdiff_t>(oy * s.stride_h + ky * s.dilation_h) - s.pad_top;
      const bool outside = iy < 0 || iy >= static_cast<std::ptrdiff_t>(s.in_h);
      const T* line = outside ? nullptr : x + (image * s.in_h + static_cast<std::size_t>(iy)) * s.in_w * s.in_c;
      if (!whole && joined && !outside && left >= 0 &&
          left + static_cast<std::ptrdiff_t>(s.kernel_w) <= static_cast<std::ptrdiff_t>(s.in_w)) {
        put_run(line + static_cast<std::size_t>(left) * s.in_c, row, s.kernel_w * channels);
        row += s.kernel_w * channels;
        continue;
      }
      for (std::size_t kx = 0; kx < s.kernel_w; ++kx) {
        const std::ptrdiff_t ix = left + static_cast<std::ptrdiff_t>(kx * s.dilation_w);
        const bool empty = outside || ix < 0 || ix >= static_cast<std::ptrdiff_t>(s.in_w);
        const T* from = empty ? nullptr : line + static_cast<std::size_t>(ix) * s.in_c;
        if (whole) {
          if (empty) {
            for (std::size_t k = 0; k < channels; k += depth_block) put_zeros(block + k * a.count, depth_block);
          } else {
            spread_run(from, block, channels, a.count);
          }
          block += channels * a.count;
        } else {
          if (empty) {
            put_zeros(row, channels);
          } else {
            put_run(from, row, channels);
          }
          row += channels;
        }
      }
    }
    if (!whole) {
      put_zeros(row, padded_depth(depth) - depth);
      if (r % gathered + 1 == gathered || r + 1 == a.count) {
        const std::size_t first = r - r % gathered;
        for (std::size_t i = first; i <= r; ++i) spread(a.row + (i - first) * pitch, a.tile + i * depth_block, depth, a.count);
      }
    }
    if (++ox == s.out_w) {
      ox = 0;
      if (++oy == s.out_h) {
        oy = 0;
        ++image;
      }
    }
  }
}

void pack_tile(const PackArgs& args) {
  if (args.storage == Storage::f16) {
    pack_windows<Half>(args);
  } else {
    pack_windows<float>(args);
  }
}

PackTile pack_tile_pointer() { return &pack_tile; }

}  // namespace
}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {
HWY_EXPORT(pack_tile_pointer);
PackTile pack_tile_kernel() { return HWY_DYNAMIC_DISPATCH(pack_tile_pointer)(); }
}  // namespace tl::cpu
#endif
