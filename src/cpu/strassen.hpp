#pragma once

#include <cstddef>

#include "cpu/activation.hpp"
#include "cpu/gemm.hpp"

namespace tl::cpu {

// One level of Winograd's form of Strassen's product, all in float: seven products of quarters for eight. A pair of rows (an
// even one and the next), the two halves of a depth and a pair of columns make the quarters:
//   S1 = A21 + A22, S2 = S1 - A11, S3 = A11 - A21, S4 = A12 - S2; T1 = B12 - B11, T2 = B22 - T1, T3 = B22 - B12, T4 = B21 - T2
//   U = A11 B11 + S2 T2; C11 = A11 B11 + A12 B21, C12 = U + S1 T1 + S4 B22, C21 = U + S3 T3 + A22 T4, C22 = U + S3 T3 + S1 T1
// A sum meets its partner's row and column on the way, so both must be of one order of magnitude and finite. Else a tile is
// multiplied as it stands, quarter by quarter.
// In the order in which they are multiplied, so that reading runs on from one to the next.
enum StrassenLeft : std::size_t { a11, a12, s2, s3, a22, s1, s4, a21, strassen_lefts };
enum StrassenRight : std::size_t { b11, b21, t2, t3, t4, t1, b22, b12, strassen_rights };

// Floats between right sides, which are written at once: lines of all of them would meet in one set of the cache.
constexpr std::size_t strassen_gap = 80;
constexpr std::size_t strassen_depth_unit = 2 * depth_block;
// How much larger than its partner the norm of a row or column may be. Errors of the smaller one grow in proportion: from a
// fiftieth of half a unit of float16, as of plain sums, to a tenth of it.
constexpr float strassen_most_ratio = 8;

// Rows of float16 to strassen_lefts matrices of [depth / 2 / 16][pairs][16], one after the other.
struct StrassenRows {
  const void* const* x;   // of each row
  std::size_t rows;       // an odd last one has zeros for a partner
  std::size_t depth;      // a multiple of strassen_depth_unit
  std::size_t half_step;  // elements from the first half of the depth to the second
  bool quarters;          // A21 is wanted as well; without, it is there where rows may not be mixed
  float* tile;
};

// One packed panel, or a pair of columns of equal width, from the first depth of a pass: two panels or the halves of one.
struct StrassenColumns {
  const void* panels[2];  // [depth][width]
  std::size_t width, depth;
  std::size_t side;  // columns of each of a pair: a panel or half of one; 0: no pair
  bool quarters;     // B12 is wanted as well
  float* scratch;    // strassen_rights * ([depth / 2][whole vectors of a panel] + strassen_gap)
};

// The right sides of Strassen of the pair that comes next, computed while tiles of this one are multiplied.
struct StrassenAhead {
  const void* panels[2];  // [depth][panel]
  std::size_t depth, side;
  float* scratch;              // as of StrassenColumns
  std::size_t done, per_step;  // vectors of a quarter: so far, and with every depth_block of a product
};

// A tile of `rows` rows and the columns of StrassenColumns.
struct StrassenTile {
  const float* left;
  const float* right;  // the scratch of StrassenColumns
  std::size_t rows, depth;
  std::size_t side;        // as of StrassenColumns
  bool sums;               // or quarter by quarter
  std::size_t columns[2];  // that count, of each of the pair
  const float* bias;       // whole panels
  const float* scale;      // whole panels, or null: what sums and bias are multiplied with
  const void* residual;    // float16, as `c`, or null
  void* c;                 // float16
  std::size_t stride;      // of c and the residual
  ActivationSpec activation;
  float* partial;        // sums of earlier passes, four quarters of whole panels
  bool first, last;      // of the passes
  StrassenAhead* ahead;  // or null
};

struct StrassenKernels {
  const char* name;
  // Returns whether its pairs of rows may be mixed.
  bool (*pack_rows)(const StrassenRows& rows);
  void (*pack_columns)(const StrassenColumns& columns);
  // The rest of what tiles have begun.
  void (*pack_rest)(StrassenAhead& ahead);
  void (*multiply)(const StrassenTile& tile);
  float (*square_sum)(const void* values, std::size_t count);  // of float16
};
const StrassenKernels& strassen_kernels();

// Whether vectors of these squared norms may be mixed.
constexpr bool strassen_mixes(float a, float b) {
  constexpr float most = strassen_most_ratio * strassen_most_ratio;
  constexpr float largest = 3.4e38F;
  return a <= most * b && b <= most * a && a < largest && b < largest;
}

}  // namespace tl::cpu
