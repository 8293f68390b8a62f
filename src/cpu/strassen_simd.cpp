#include <array>
#include <initializer_list>
#include <utility>

#include "cpu/strassen.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/strassen_simd.cpp"
#include <hwy/foreach_target.h>

#include "cpu/finish-inl.hpp"
#include "cpu/gemm_sums-inl.hpp"
#include "cpu/simd-inl.hpp"

HWY_BEFORE_NAMESPACE();
namespace tl::cpu::HWY_NAMESPACE {
namespace {

bool pack_rows(const StrassenRows& args) {
  const std::size_t pairs = (args.rows + 1) / 2;
  const std::size_t half = args.depth / 2;
  const std::size_t matrix = pairs * half;
  const std::size_t step = args.half_step;
  const auto row = [&](std::size_t i) { return static_cast<const Half*>(args.x[HWY_MIN(i, args.rows - 1)]); };
  bool mixes = true;
  for (std::size_t pair = 0; pair < pairs; ++pair) {
    const Half* HWY_RESTRICT top = row(2 * pair);
    const Half* HWY_RESTRICT bottom = row(2 * pair + 1);
    const Half* next_top = row(2 * pair + 2);
    const Half* next_bottom = row(2 * pair + 3);
    const bool alone = 2 * pair + 1 == args.rows;
    const V keep = constant(alone ? 0.0f : 1.0f);
    float* HWY_RESTRICT out = args.tile + pair * depth_block;
    V top_squares = hn::Zero(f32);
    V bottom_squares = hn::Zero(f32);
    for (std::size_t k = 0; k < half; k += depth_block, out += pairs * depth_block) {
      TL_UNROLL for (std::size_t j = 0; j < depth_block; j += lanes) {
        __builtin_prefetch(next_top + k + j, 0, 3);
        __builtin_prefetch(next_top + step + k + j, 0, 3);
        __builtin_prefetch(next_bottom + k + j, 0, 3);
        __builtin_prefetch(next_bottom + step + k + j, 0, 3);
        const V q11 = load(top + k + j);
        const V q12 = load(top + step + k + j);
        const V q21 = hn::Mul(load(bottom + k + j), keep);
        const V q22 = hn::Mul(load(bottom + step + k + j), keep);
        top_squares = hn::MulAdd(q11, q11, hn::MulAdd(q12, q12, top_squares));
        bottom_squares = hn::MulAdd(q21, q21, hn::MulAdd(q22, q22, bottom_squares));
        const V sum1 = hn::Add(q21, q22);
        const V sum2 = hn::Sub(sum1, q11);
        hn::Store(q11, f32, out + a11 * matrix + j);
        hn::Store(q12, f32, out + a12 * matrix + j);
        hn::Store(q22, f32, out + a22 * matrix + j);
        hn::Store(sum1, f32, out + s1 * matrix + j);
        hn::Store(sum2, f32, out + s2 * matrix + j);
        hn::Store(hn::Sub(q11, q21), f32, out + s3 * matrix + j);
        hn::Store(hn::Sub(q12, sum2), f32, out + s4 * matrix + j);
      }
    }
    const float squares = hn::GetLane(hn::SumOfLanes(f32, top_squares));
    mixes &= strassen_mixes(squares, alone ? squares : hn::GetLane(hn::SumOfLanes(f32, bottom_squares)));
  }
  if (mixes && !args.quarters) return true;
  for (std::size_t pair = 0; pair < pairs; ++pair) {
    const Half* HWY_RESTRICT bottom = row(2 * pair + 1);
    float* HWY_RESTRICT out = args.tile + a21 * matrix + pair * depth_block;
    for (std::size_t k = 0; k < half; k += depth_block, out += pairs * depth_block) {
      for (std::size_t j = 0; j < depth_block; j += lanes) hn::Store(load(bottom + k + j), f32, out + j);
    }
  }
  return mixes;
}

// The right sides of Strassen of a pair, a vector of each at a time.
struct PairColumns {
  const Half* HWY_RESTRICT left_top;
  const Half* HWY_RESTRICT left_bottom;
  const Half* HWY_RESTRICT right_top;
  const Half* HWY_RESTRICT right_bottom;
  float* HWY_RESTRICT out;
  std::size_t step;  // from one vector to the next in what is read
  std::size_t count, matrix;

  // Args: StrassenColumns, StrassenAhead.
  template <class Args>
  HWY_INLINE HWY_ATTR explicit PairColumns(const Args& args) : out(args.scratch) {
    const bool halves = args.side == lanes;
    left_top = static_cast<const Half*>(args.panels[0]);
    left_bottom = left_top + args.depth / 2 * panel_columns;
    right_top = halves ? left_top + lanes : static_cast<const Half*>(args.panels[1]);
    right_bottom = right_top + args.depth / 2 * panel_columns;
    step = halves ? panel_columns : lanes;
    count = args.depth / 2 * (args.side / lanes);
    matrix = args.depth / 2 * args.side + strassen_gap;
  }

  HWY_INLINE HWY_ATTR void put(V v, StrassenRight place, std::size_t i) const {
    hn::Store(v, f32, out + place * matrix + i * lanes);
  }
  HWY_INLINE HWY_ATTR void pack(std::size_t i) const {
    const V q11 = load(left_top + i * step);
    const V q12 = load(right_top + i * step);
    const V q21 = load(left_bottom + i * step);
    const V q22 = load(right_bottom + i * step);
    put(q11, b11, i);
    put(q21, b21, i);
    put(q22, b22, i);
    const V sum1 = hn::Sub(q12, q11);
    put(sum1, t1, i);
    put(hn::Sub(q22, q12), t3, i);
    const V sum2 = hn::Sub(q22, sum1);
    put(sum2, t2, i);
    put(hn::Sub(q21, sum2), t4, i);
  }
  HWY_INLINE HWY_ATTR void fetch(std::size_t i) const {
    __builtin_prefetch(left_top + i * step, 0, 2);
    __builtin_prefetch(right_top + i * step, 0, 2);
    __builtin_prefetch(left_bottom + i * step, 0, 2);
    __builtin_prefetch(right_bottom + i * step, 0, 2);
  }
};

// Vectors between a fetch and its use.
constexpr std::size_t fetch_distance = 16;

void pack_rest(StrassenAhead& ahead) {
  const PairColumns columns(ahead);
  for (; ahead.done < columns.count; ++ahead.done) columns.pack(ahead.done);
}

void pack_columns(const StrassenColumns& args) {
  if (args.side != 0) {
    const PairColumns columns(args);
    for (std::size_t i = 0; i < columns.count; ++i) {
      columns.pack(i);
      if (args.quarters) columns.put(load(columns.right_top + i * columns.step), b12, i);
    }
    return;
  }
  const std::size_t half = args.depth / 2;
  const std::size_t width = args.width;
  const std::size_t pitch = width <= lanes ? lanes : panel_columns;
  const std::size_t matrix = half * pitch + strassen_gap;
  float* HWY_RESTRICT out = args.scratch;
  const auto* HWY_RESTRICT top = static_cast<const Half*>(args.panels[0]);
  const auto* HWY_RESTRICT bottom = top + half * width;
  for (std::size_t k = 0; k < half; ++k) {
    for (std::size_t j = 0; j < pitch; j += lanes) {
      const std::size_t n = j < width ? HWY_MIN(width - j, lanes) : 0;
      hn::Store(load_up_to(top + k * width + j, n), f32, out + b11 * matrix + k * pitch + j);
      hn::Store(load_up_to(bottom + k * width + j, n), f32, out + b21 * matrix + k * pitch + j);
    }
  }
}

// One step of a chain of sums: adds left * right (null: nothing), adds `more`, keeps the sums in `save`.
struct Link {
  const float* left;
  const float* right;
  const float* more;
  float* save;
};
// Where the sums of a chain go: the quarter of the result.
struct Quarter {
  std::size_t odd, right;
};

template <int rows, int vectors>
HWY_INLINE void add_sums(const float* HWY_RESTRICT from, V (&sums)[rows][vectors]) {
  TL_UNROLL for (int r = 0; r < rows; ++r) {
    TL_UNROLL for (int v = 0; v < vectors; ++v, from += lanes) sums[r][v] = hn::Add(sums[r][v], hn::Load(f32, from));
  }
}

// Every other row of the result: what finish_rows writes to.
struct Target {
  void* c;
  const void* residual;
  std::size_t c_stride, residual_stride;
  ActivationSpec activation;
  Storage c_storage = Storage::f16;
};

// Bias or earlier passes, then residual, activation and rounding, or on to the next pass.
template <int rows, int vectors>
HWY_INLINE void put(V (&sums)[rows][vectors], const StrassenTile& t, std::size_t odd, std::size_t right) {
  constexpr std::size_t width = vectors * lanes;
  const std::size_t column = right * width;
  if (t.first) {
    TL_UNROLL for (int v = 0; v < vectors; ++v) {
      const V bias = load(t.bias + column + static_cast<std::size_t>(v) * lanes);
      TL_UNROLL for (int r = 0; r < rows; ++r) sums[r][v] = hn::Add(sums[r][v], bias);
    }
  }
  float* partial = t.partial + (2 * right + odd) * rows * width;
  if (!t.first) add_sums(partial, sums);
  if (t.last && t.scale != nullptr) {
    TL_UNROLL for (int v = 0; v < vectors; ++v) {
      const V scale = load(t.scale + column + static_cast<std::size_t>(v) * lanes);
      TL_UNROLL for (int r = 0; r < rows; ++r) sums[r][v] = hn::Mul(sums[r][v], scale);
    }
  }
  if (!t.last) return store_sums(sums, partial);
  const std::size_t start = odd * t.stride + column;
  Target target{static_cast<Half*>(t.c) + start, nullptr, 2 * t.stride, 2 * t.stride, t.activation};
  if (t.residual != nullptr) target.residual = static_cast<const Half*>(t.residual) + start;
  if (odd != 0 && t.rows % 2 != 0) {
    HWY_ALIGN float values[rows][width];
    store_sums(sums, values[0]);
    finish_rows({values[0], rows - 1, width, 0, 0, t.columns[right]}, target);
  } else {
    finish_as<rows, vectors, Half>(target, sums, 0, 0, t.columns[right]);
  }
}

// `rows` rows of a quarter.
template <int rows, int vectors>
void chain(const Link* links, std::size_t count, const Quarter& c, const StrassenTile& t) {
  constexpr std::size_t width = vectors * lanes;
  Sums<rows, vectors, false> sums;
  TL_UNROLL for (int r = 0; r < rows; ++r) { TL_UNROLL for (int v = 0; v < vectors; ++v) sums.full[r][v] = hn::Zero(f32); }
  if (t.last) {
    const std::size_t first = c.odd * t.stride + c.right * width;
    TL_UNROLL for (int r = 0; r < rows; ++r) {
      const std::size_t at = first + 2 * static_cast<std::size_t>(r) * t.stride;
      if (t.residual != nullptr) __builtin_prefetch(static_cast<const Half*>(t.residual) + at, 0, 3);
      __builtin_prefetch(static_cast<const Half*>(t.c) + at, 1, 3);
    }
  }
  if (!t.first) {
    const float* from = t.partial + (2 * c.right + c.odd) * rows * width;
    TL_UNROLL for (int r = 0; r < rows; ++r) {
      TL_UNROLL for (int v = 0; v < vectors; ++v, from += lanes) __builtin_prefetch(from, 0, 3);
    }
  }
  const StrassenAhead none{};
  const StrassenAhead& next = t.ahead == nullptr ? none : *t.ahead;
  const PairColumns columns(next);
  std::size_t at = next.done;
  for (const Link* link = links; link < links + count; ++link) {
    const float* HWY_RESTRICT a = link->left;
    const float* HWY_RESTRICT b = link->right;
    for (std::size_t block = a == nullptr ? 0 : t.depth / 2 / depth_block; block > 0; --block) {
      for (std::size_t k = 0; k < depth_block; k += 4, b += 4 * width) sums.template four_steps<depth_block>(a + k, b);
      a += rows * depth_block;
      for (const std::size_t until = HWY_MIN(columns.count, at + next.per_step); at < until; ++at) {
        columns.fetch(at + fetch_distance);
        columns.pack(at);
      }
    }
    if (link->more != nullptr) add_sums(link->more, sums.full);
    if (link->save != nullptr) store_sums(sums.full, link->save);
  }
  if (t.ahead != nullptr) t.ahead->done = at;
  put<rows, vectors>(sums.full, t, c.odd, c.right);
}

using ChainKernel = void (*)(const Link*, std::size_t, const Quarter&, const StrassenTile&);
template <int vectors, std::size_t... r>
constexpr auto chains_of(std::index_sequence<r...>) {
  return std::array<ChainKernel, sizeof...(r)>{&chain<static_cast<int>(r) + 1, vectors>...};
}

void multiply(const StrassenTile& t) {
  static constexpr std::make_index_sequence<tile_rows> all;
  static constexpr std::array<ChainKernel, tile_rows> two = chains_of<2>(all);
  static constexpr std::array<ChainKernel, tile_rows> one = chains_of<1>(all);
  const std::size_t pairs = (t.rows + 1) / 2;
  const bool whole = t.side == 0 ? t.columns[0] > lanes : t.side == panel_columns;
  const ChainKernel kernel = (whole ? two : one)[pairs - 1];
  const std::size_t left_matrix = pairs * (t.depth / 2);
  const std::size_t right_matrix = t.depth / 2 * (whole ? panel_columns : lanes) + strassen_gap;
  const auto product = [&](StrassenLeft left, StrassenRight right, const float* more = nullptr, float* save = nullptr) {
    return Link{t.left + left * left_matrix, t.right + right * right_matrix, more, save};
  };
  // The links are read where they were written: copies of them would wait for all stores before.
  const auto run = [&](std::size_t odd, std::size_t right, std::initializer_list<Link> links) {
    kernel(links.begin(), links.size(), {odd, right}, t);
  };
  if (t.side == 0 || !t.sums) {
    run(0, 0, {product(a11, b11), product(a12, b21)});
    run(1, 0, {product(a21, b11), product(a22, b21)});
    if (t.side == 0) return;
    run(0, 1, {product(a11, b12), product(a12, b22)});
    run(1, 1, {product(a21, b12), product(a22, b22)});
    return;
  }
  HWY_ALIGN float kept[3][tile_rows * panel_columns];  // A11 B11, then U; U + S3 T3; S1 T1
  run(0, 0, {product(a11, b11, nullptr, kept[0]), product(a12, b21)});
  run(1, 0, {product(s2, t2, kept[0], kept[0]), product(s3, t3, nullptr, kept[1]), product(a22, t4)});
  run(0, 1, {product(s1, t1, nullptr, kept[2]), product(s4, b22, kept[0])});
  run(1, 1, {Link{nullptr, nullptr, kept[1], nullptr}, Link{nullptr, nullptr, kept[2], nullptr}});
}

float square_sum(const void* values, std::size_t count) {
  const auto* from = static_cast<const Half*>(values);
  V sum = hn::Zero(f32);
  for_lanes(count, [&](std::size_t i, std::size_t n) HWY_ATTR {
    const V v = load_up_to(from + i, n);
    sum = hn::MulAdd(v, v, sum);
  });
  return hn::GetLane(hn::SumOfLanes(f32, sum));
}

}  // namespace

const StrassenKernels& strassen_table() {
  static const StrassenKernels table = {
      "strassen_" TL_TARGET_NAME, &pack_rows, &pack_columns, &pack_rest, &multiply, &square_sum};
  return table;
}

}  // namespace tl::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tl::cpu {
HWY_EXPORT(strassen_table);
const StrassenKernels& strassen_kernels() { return HWY_DYNAMIC_DISPATCH(strassen_table)(); }
}  // namespace tl::cpu
#endif
