// usage: tl_images IMAGE ROUNDS RESULT
// Loads an image as an image model takes it, one thread: prints the least milliseconds of decoding, resizing with cropping, and
// normalizing as JSON, and writes the float16 values [3, 224, 224] to RESULT.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>

#include "tensorlogic/error.hpp"
#include "tensorlogic/image.hpp"

namespace {

using Clock = std::chrono::steady_clock;

double milliseconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4 || std::atoi(argv[2]) < 1) {
    fmt::print(stderr, "usage: tl_images IMAGE ROUNDS RESULT\n");
    return 2;
  }
  try {
    double decode = 1e9, resize = 1e9, normalize = 1e9;
    tl::Tensor result;
    for (int round = 0; round < std::atoi(argv[2]); ++round) {
      const auto start = Clock::now();
      const tl::Image image = tl::load_image(argv[1]);
      const auto decoded = Clock::now();
      const tl::Image cropped = tl::crop_for_model(image, {});
      const auto resized = Clock::now();
      result = tl::normalize(cropped, {});
      const auto end = Clock::now();
      decode = std::min(decode, milliseconds(start, decoded));
      resize = std::min(resize, milliseconds(decoded, resized));
      normalize = std::min(normalize, milliseconds(resized, end));
    }
    std::ofstream out(argv[3], std::ios::binary);
    out.write(reinterpret_cast<const char*>(result.data()), static_cast<std::streamsize>(result.bytes()));
    if (!out.flush()) {
      fmt::print(stderr, "tl_images: cannot write '{}'\n", argv[3]);
      return 4;
    }
    fmt::print("{{\"decode\": {:.3f}, \"resize\": {:.3f}, \"normalize\": {:.3f}}}\n", decode, resize, normalize);
  } catch (const tl::Error& error) {
    fmt::print(stderr, "tl_images: {}\n", error.what());
    return 3;
  }
  return 0;
}
