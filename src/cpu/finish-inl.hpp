// What ends a tile of a product. Included once per target.
#if defined(TL_CPU_FINISH_INL) == defined(HWY_TARGET_TOGGLE)
#ifdef TL_CPU_FINISH_INL
#undef TL_CPU_FINISH_INL
#else
#define TL_CPU_FINISH_INL
#endif

#include "cpu/math-inl.hpp"
#include "cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {

// To memory, row after row.
template <int rows, int vectors>
HWY_INLINE void store_sums(const V (&sums)[rows][vectors], float* HWY_RESTRICT to) {
  TL_UNROLL for (int r = 0; r < rows; ++r) {
    TL_UNROLL for (int v = 0; v < vectors; ++v, to += lanes) hn::Store(sums[r][v], f32, to);
  }
}

// Rows of sums that went to memory: `pitch` floats each, of which `valid` count.
struct SumRows {
  const float* sums;
  std::size_t rows, pitch, row, column, valid;
};

template <class T, class Block>
void finish_rows_as(const SumRows& s, const Block& g) {
  T* out = static_cast<T*>(g.c) + s.row * g.c_stride + s.column;
  const T* residual = static_cast<const T*>(g.residual);
  if (residual != nullptr) residual += s.row * g.residual_stride + s.column;
  with_activation<T>(g.activation, [&](auto f) HWY_ATTR {
    for (std::size_t r = 0; r < s.rows; ++r) {
      for_lanes(s.valid, [&](std::size_t i, std::size_t n) HWY_ATTR {
        V sum = hn::LoadU(f32, s.sums + r * s.pitch + i);
        if (residual != nullptr) sum = hn::Add(sum, load_up_to(residual + r * g.residual_stride + i, n));
        store_up_to(f(sum), out + r * g.c_stride + i, n);
      });
    }
  });
}

// Adds the residual, applies the activation and stores: one copy for all sizes of tiles.
template <class Block>
HWY_NOINLINE void finish_rows(const SumRows& s, const Block& g) {
  if (g.c_storage == Storage::f16) {
    finish_rows_as<Half>(s, g);
  } else {
    finish_rows_as<float>(s, g);
  }
}

// Adds the residual to rows x vectors of sums, of which `valid` columns count, applies the activation and stores.
// Block: GemmBlock, DotBlock.
template <int rows, int vectors, class T, class Block>
HWY_INLINE void finish_as(const Block& g, const V (&sums)[rows][vectors], std::size_t row, std::size_t column,
                          std::size_t valid) {
  T* HWY_RESTRICT out = static_cast<T*>(g.c) + row * g.c_stride + column;
  const T* residual = static_cast<const T*>(g.residual);
  if (residual != nullptr) residual += row * g.residual_stride + column;
  if (g.activation.kind == Activation::clamp && valid == vectors * lanes) {
    const V low = constant(g.activation.alpha);
    const V high = constant(g.activation.beta);
    TL_UNROLL for (int r = 0; r < rows; ++r) {
      TL_UNROLL for (int v = 0; v < vectors; ++v) {
        const std::size_t offset = static_cast<std::size_t>(v) * lanes;
        V sum = sums[r][v];
        if (residual != nullptr) sum = hn::Add(sum, load(residual + static_cast<std::size_t>(r) * g.residual_stride + offset));
        store(at_most(high, at_least(low, sum)), out + static_cast<std::size_t>(r) * g.c_stride + offset);
      }
    }
    return;
  }
  HWY_ALIGN float scratch[rows][vectors * lanes];
  store_sums(sums, scratch[0]);
  finish_rows({scratch[0], rows, vectors * lanes, row, column, valid}, g);
}

template <int rows, int vectors, class Block>
HWY_INLINE void finish(const Block& g, const V (&sums)[rows][vectors], std::size_t row, std::size_t column, std::size_t valid) {
  if (g.c_storage == Storage::f16) {
    finish_as<rows, vectors, Half>(g, sums, row, column, valid);
  } else {
    finish_as<rows, vectors, float>(g, sums, row, column, valid);
  }
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
