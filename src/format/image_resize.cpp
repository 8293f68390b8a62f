#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

#include "base/checked.hpp"
#include "format/image_codecs.hpp"

// Two passes of fixed-point convolution with 22 fraction bits, rounded to 8 bits in between; when an axis shrinks the filter
// widens with the ratio. These are the arithmetic and the rounding of Pillow's resize, which models are trained with.
namespace tl {
namespace {

constexpr int fraction_bits = 22;

double bilinear(double x) {
  x = std::fabs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

double sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

double lanczos(double x) { return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0; }

struct Kernel {
  double (*weight)(double);
  double support;
};

Kernel kernel_of(Filter filter) {
  switch (filter) {
    case Filter::bilinear: return {bilinear, 1.0};
    case Filter::bicubic: return {bicubic, 2.0};
    case Filter::lanczos: return {lanczos, 3.0};
    case Filter::nearest: break;
  }
  fail(ErrorKind::invalid_argument, "unknown filter");
}

// Per output position: where its inputs start and their weights.
struct Taps {
  std::vector<std::int64_t> first;
  std::vector<std::size_t> begin;  // into `weights`; one more than positions
  std::vector<std::int32_t> weights;
};

Taps make_taps(std::int64_t in, std::int64_t out, const Kernel& kernel) {
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double stretch = std::max(scale, 1.0);
  const double support = kernel.support * stretch;
  const double inverse = 1.0 / stretch;
  Taps taps;
  taps.begin.push_back(0);
  std::vector<double> exact;
  for (std::int64_t i = 0; i < out; ++i) {
    const double center = (static_cast<double>(i) + 0.5) * scale;
    const std::int64_t low = std::max<std::int64_t>(static_cast<std::int64_t>(center - support + 0.5), 0);
    const std::int64_t high = std::min(static_cast<std::int64_t>(center + support + 0.5), in);
    exact.clear();
    double sum = 0.0;
    for (std::int64_t x = low; x < high; ++x) {
      exact.push_back(kernel.weight((static_cast<double>(x) - center + 0.5) * inverse));
      sum += exact.back();
    }
    for (double weight : exact) {
      if (sum != 0.0) weight /= sum;
      const double scaled = weight * (1 << fraction_bits);
      taps.weights.push_back(static_cast<std::int32_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5));
    }
    taps.first.push_back(low);
    taps.begin.push_back(taps.weights.size());
  }
  return taps;
}

std::uint8_t to_byte(std::int32_t sum) { return static_cast<std::uint8_t>(std::clamp(sum >> fraction_bits, 0, 255)); }

// One output position of `count` neighbouring columns: their sums stay in registers.
template <std::size_t... c>
void weigh(const std::uint8_t* row, std::int64_t pitch, const std::int32_t* weight, const std::int32_t* end, std::uint8_t* out,
           std::index_sequence<c...>) {
  constexpr auto half = [](std::size_t) { return 1 << (fraction_bits - 1); };
  std::int32_t sums[] = {half(c)...};
  for (; weight != end; ++weight, row += pitch) {
    const std::int32_t w = *weight;
    ((sums[c] += row[c] * w), ...);
  }
  ((out[c] = to_byte(sums[c])), ...);
}

// Convolves one axis: [outer, in, inner] to [outer, out, inner].
void convolve(const std::uint8_t* in, std::uint8_t* out, std::int64_t outer, std::int64_t in_size, std::int64_t out_size,
              std::int64_t inner, const Taps& taps) {
  for (std::int64_t o = 0; o < outer; ++o) {
    for (std::int64_t i = 0; i < out_size; ++i, out += inner) {
      const std::uint8_t* row = in + (o * in_size + taps.first[uz(i)]) * inner;
      const std::int32_t* weight = taps.weights.data() + taps.begin[uz(i)];
      const std::int32_t* end = taps.weights.data() + taps.begin[uz(i) + 1];
      std::int64_t c = 0;
      for (; c + 8 <= inner; c += 8) weigh(row + c, inner, weight, end, out + c, std::make_index_sequence<8>());
      for (; c + 3 <= inner; c += 3) weigh(row + c, inner, weight, end, out + c, std::make_index_sequence<3>());
      for (; c < inner; ++c) weigh(row + c, inner, weight, end, out + c, std::make_index_sequence<1>());
    }
  }
}

// The steps are added up, as Pillow does, so that ties fall the same way.
std::vector<std::int64_t> nearest_positions(std::int64_t in, std::int64_t out) {
  const double step = static_cast<double>(in) / static_cast<double>(out);
  std::vector<std::int64_t> positions;
  double at = step * 0.5;
  for (std::int64_t i = 0; i < out; ++i, at += step) positions.push_back(std::min(static_cast<std::int64_t>(at), in - 1));
  return positions;
}

void resize_nearest(const Image& image, Tensor& result, std::int64_t channels) {
  const auto xs = nearest_positions(image.width(), result.dim(1));
  const auto ys = nearest_positions(image.height(), result.dim(0));
  const auto in = image.pixels.values<std::uint8_t>();
  auto to = result.mutable_values<std::uint8_t>().begin();
  for (const std::int64_t y : ys) {
    for (const std::int64_t x : xs) to = std::copy_n(in.begin() + (y * image.width() + x) * channels, channels, to);
  }
}

}  // namespace

Image resize(const Image& image, std::int64_t width, std::int64_t height, Filter filter) {
  const std::int64_t channels = format::channels_of(image);
  constexpr std::int64_t max_pixels = std::int64_t{1} << 28;
  if (width < 1 || height < 1) fail(ErrorKind::invalid_argument, "cannot resize an image to {}x{}", width, height);
  if (width > max_pixels || height > max_pixels / width)
    fail(ErrorKind::limit, "cannot resize an image to {}x{}: too many pixels", width, height);
  if (width == image.width() && height == image.height()) return image;

  const auto shape = [&](std::int64_t h, std::int64_t w) {
    return image.pixels.rank() == 2 ? Shape{h, w} : Shape{h, w, channels};
  };
  if (filter == Filter::nearest) {
    Tensor result(DType::u8, shape(height, width));
    resize_nearest(image, result, channels);
    return {result};
  }
  const Kernel kernel = kernel_of(filter);
  const std::int64_t loss_x = image.width() - width, loss_y = image.height() - height;
  // The order matters to the last bit: rows first only where much more height than width is lost (Pillow 13).
  const bool rows_first = loss_y > 0 && loss_y > 2 * loss_x;
  const std::int64_t middle_width = rows_first ? image.width() : width, middle_height = rows_first ? height : image.height();
  if (middle_height > max_pixels / middle_width) {
    fail(ErrorKind::limit, "cannot resize an image to {}x{}: too many pixels on the way", width, height);
  }
  const auto along_x = [&](const Tensor& from) {
    Tensor to(DType::u8, shape(from.dim(0), width));
    convolve(from.values<std::uint8_t>().data(), to.mutable_values<std::uint8_t>().data(), from.dim(0), from.dim(1), width,
             channels, make_taps(from.dim(1), width, kernel));
    return to;
  };
  const auto along_y = [&](const Tensor& from) {
    Tensor to(DType::u8, shape(height, from.dim(1)));
    convolve(from.values<std::uint8_t>().data(), to.mutable_values<std::uint8_t>().data(), 1, from.dim(0), height,
             from.dim(1) * channels, make_taps(from.dim(0), height, kernel));
    return to;
  };
  if (loss_x == 0) return {along_y(image.pixels)};
  if (loss_y == 0) return {along_x(image.pixels)};
  return {rows_first ? along_x(along_y(image.pixels)) : along_y(along_x(image.pixels))};
}

}  // namespace tl
