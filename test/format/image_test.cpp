#include "tensorlogic/image.hpp"

#include <gtest/gtest.h>

#include <cstring>

#include "format/format.hpp"
#include "format/image_codecs.hpp"
#include "scratch.hpp"

namespace tl {
namespace {

using test::bytes_of;
using test::data_file;
using test::error_of;
using test::Scratch;

std::map<std::string, Tensor> tensors_of(const std::string& file) {
  std::map<std::string, Tensor> result;
  for (const StoredTensor& tensor : format::read_model(data_file(file)).tensors) result.emplace(tensor.name, tensor.read());
  return result;
}

// The expected pixels are Pillow's, with its exif_transpose and convert("RGB"). gray16.png: the upper halves.
TEST(Image, DecodesToThePixelsOfPillow) {
  const auto expected = tensors_of("images/expected.safetensors");
  EXPECT_GE(expected.size(), 30U);
  for (const auto& [name, pixels] : expected) {
    const Image image = load_image(data_file("images/" + name));
    ASSERT_EQ(image.pixels.shape(), pixels.shape()) << name;
    std::int64_t different = 0;
    for (std::int64_t i = 0; i < pixels.size(); ++i) different += image.pixels.integer_at(i) != pixels.integer_at(i) ? 1 : 0;
    EXPECT_EQ(different, 0) << name;
  }
}

TEST(Image, ResizesAsPillowDoes) {
  const auto expected = tensors_of("images/resized.safetensors");
  const std::map<std::string, Filter> filters = {
      {"nearest", Filter::nearest}, {"bilinear", Filter::bilinear}, {"bicubic", Filter::bicubic}, {"lanczos", Filter::lanczos}};
  int cases = 0;
  for (const auto& [name, pixels] : expected) {
    const auto dot = name.find('.');
    if (dot == std::string::npos) continue;
    const Image source{expected.at(name.substr(0, dot))};
    const Filter filter = filters.at(name.substr(dot + 1, name.find('.', dot + 1) - dot - 1));
    const Image resized = resize(source, pixels.dim(1), pixels.dim(0), filter);
    EXPECT_TRUE(resized.pixels.identical(pixels)) << name;
    ++cases;
  }
  EXPECT_EQ(cases, 36);
}

TEST(Image, CropsAndNormalizesAsPillowAndNumPyDo) {
  const auto expected = tensors_of("images/resized.safetensors");
  const Image image = load_image(data_file("images/rgb.png"));
  const Preprocess options{.size = 12, .short_side = 16};
  const Image cropped = crop_for_model(image, options);
  EXPECT_TRUE(cropped.pixels.identical(expected.at("crop")));
  EXPECT_TRUE(normalize(cropped, options).identical(expected.at("normalized")));
}

TEST(Image, CropsRoundHalvesToEvenAndPadWithBlack) {
  Tensor row(DType::u8, {1, 7});
  for (std::uint8_t i = 0; i < 7; ++i) row.mutable_values<std::uint8_t>()[i] = static_cast<std::uint8_t>(i + 1);
  const auto first = [&](std::int64_t width) { return center_crop({row}, width, 1).pixels.integer_at(0); };
  EXPECT_EQ(first(6), 1);  // round(0.5) = 0
  EXPECT_EQ(first(5), 2);
  EXPECT_EQ(first(4), 3);                        // round(1.5) = 2
  EXPECT_EQ(first(2), 3);                        // round(2.5) = 2
  const Image wide = center_crop({row}, 10, 3);  // one black column left, two right
  EXPECT_EQ(wide.pixels.integer_at(10 + 0), 0);
  EXPECT_EQ(wide.pixels.integer_at(10 + 1), 1);
  EXPECT_EQ(wide.pixels.integer_at(10 + 7), 7);
  EXPECT_EQ(wide.pixels.integer_at(10 + 8), 0);
  EXPECT_EQ(wide.pixels.integer_at(1), 0);
}

TEST(Image, PngIsWrittenWithoutLossJpegWithLittle) {
  const Scratch scratch;
  const Image image = load_image(data_file("images/rgb.png"));
  save_image(image, scratch / "a.png");
  EXPECT_TRUE(load_image(scratch / "a.png").pixels.identical(image.pixels));
  save_image(image, scratch / "a.JPG");
  const Image lossy = load_image(scratch / "a.JPG");
  double sum = 0;
  for (std::int64_t i = 0; i < image.pixels.size(); ++i) sum += std::abs(lossy.pixels.number_at(i) - image.pixels.number_at(i));
  EXPECT_LT(sum / static_cast<double>(image.pixels.size()), 8);
  const Tensor gray = Tensor::of<std::uint8_t>({2, 2}, {0, 50, 100, 255});
  save_image({gray}, scratch / "g.png");
  EXPECT_TRUE(load_image(scratch / "g.png")
                  .pixels.identical(Tensor::of<std::uint8_t>({2, 2, 3}, {0, 0, 0, 50, 50, 50, 100, 100, 100, 255, 255, 255})));
}

TEST(Image, WrongUsesAreErrors) {
  const Scratch scratch;
  const Image image = load_image(data_file("images/rgb.png"));
  EXPECT_NE(error_of([&] { save_image(image, scratch / "a.gif"); }).find("a.gif"), std::string::npos);
  EXPECT_NE(error_of([&] { save_image({}, scratch / "a.png"); }), "");
  EXPECT_NE(error_of([&] { save_image({Tensor::zeros(DType::u8, {1, 70000, 3})}, scratch / "a.jpg"); }), "");
  EXPECT_NE(error_of([&] { save_image({Tensor::zeros(DType::f32, {2, 2, 3})}, scratch / "a.png"); }), "");
  EXPECT_NE(error_of([&] { resize(image, 0, 5); }), "");
  EXPECT_NE(error_of([&] { resize(image, std::int64_t{1} << 40, std::int64_t{1} << 40); }), "");
  EXPECT_NE(error_of([&] { resize({Tensor::zeros(DType::u8, {0, 4, 3})}, 5, 5); }), "");
  EXPECT_NE(error_of([&] { center_crop(image, -1, 4); }), "");
  EXPECT_NE(error_of([&] { load_image(scratch / "none.png"); }).find("[not found]"), std::string::npos);
  EXPECT_NE(error_of([&] { load_image(scratch.put("t.png", "text")); }).find("t.png"), std::string::npos);
  EXPECT_NE(error_of([&] { load_image(scratch.put("e.png", "")); }).find("empty"), std::string::npos);
  EXPECT_NE(error_of([&] { decode_image(test::as_bytes("GIF89a")); }).find("[unsupported]"), std::string::npos);
}

std::string png_header(std::uint32_t width, std::uint32_t height) {
  std::string bytes = bytes_of(data_file("images/rgb.png")).substr(0, 33);
  for (int i = 0; i < 4; ++i) {
    bytes[static_cast<std::size_t>(16 + i)] = static_cast<char>(width >> (24 - 8 * i));
    bytes[static_cast<std::size_t>(20 + i)] = static_cast<char>(height >> (24 - 8 * i));
  }
  // CRC-32 of the chunk, bit by bit.
  std::uint32_t crc = 0xFFFFFFFF;
  for (std::size_t i = 12; i < 29; ++i) {
    crc ^= static_cast<std::uint8_t>(bytes[i]);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1U) != 0 ? 0xEDB88320U : 0U);
  }
  crc = ~crc;
  for (int i = 0; i < 4; ++i) bytes[static_cast<std::size_t>(29 + i)] = static_cast<char>(crc >> (24 - 8 * i));
  return bytes + std::string("\0\0\0\4IDAT\x78\x9c\x03\0", 12) + std::string(300, '\0');
}

TEST(Image, ClaimsOfManyPixelsAllocateNothing) {
  EXPECT_NE(error_of([] { decode_image(test::as_bytes(png_header(16384, 16384))); }).find("cannot hold"), std::string::npos);
  EXPECT_NE(error_of([] { decode_image(test::as_bytes(png_header(0x7FFFFFFF, 0x7FFFFFFF))); }), "");
  EXPECT_NE(error_of([] { decode_image(test::as_bytes(png_header(0xFFFFFFFF, 1))); }), "");
  EXPECT_NE(error_of([] { decode_image(test::as_bytes(png_header(0, 5))); }), "");
  EXPECT_THROW(format::allocate_rgb(1 << 15, (1 << 13) + 1), Error);
  EXPECT_THROW(format::allocate_rgb(std::uint64_t{1} << 63, 4), Error);
  std::string jpeg = bytes_of(data_file("images/rgb.jpg"));
  const auto frame = jpeg.find("\xFF\xC0");
  ASSERT_NE(frame, std::string::npos);
  for (std::size_t i = frame + 5; i < frame + 9; ++i) jpeg[i] = '\xFF';  // 65535 x 65535
  EXPECT_NE(error_of([&] { decode_image(test::as_bytes(jpeg)); }), "");
}

TEST(Image, CutAndDamagedFilesAreErrorsNotCrashes) {
  for (const char* name : {"rgb.jpg", "progressive.jpg", "cmyk.jpg", "rgb.png", "interlaced.png", "palette.png", "lossy.webp",
                           "lossless.webp", "exif6.jpg", "exif6.webp"}) {
    const std::string bytes =
        bytes_of(data_file(std::string("images/") + (std::string(name) == "exif6.jpg" ? "exif6.jpg" : name)));
    for (std::size_t size = 0; size < bytes.size() - 24; size += 1 + size / 32) {
      EXPECT_NE(error_of([&] { decode_image(test::as_bytes(bytes.substr(0, size))); }), "") << name << " cut to " << size;
    }
    for (std::size_t bit = 0; bit < bytes.size() * 8; bit += 37) {
      std::string damaged = bytes;
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
      error_of([&] { decode_image(test::as_bytes(damaged)); });
    }
  }
}

TEST(Image, DamagedExifMeansUpright) {
  const auto orientation = [](std::string_view text) { return format::exif_orientation(test::as_bytes(text)); };
  const std::string little("II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0", 22);
  EXPECT_EQ(orientation(little), 6);
  EXPECT_EQ(orientation(std::string("Exif\0\0", 6) + little), 6);
  EXPECT_EQ(orientation(std::string("MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x08\0\0", 22)), 8);
  EXPECT_EQ(orientation(""), 1);
  EXPECT_EQ(orientation("II*"), 1);
  EXPECT_EQ(orientation(std::string("II*\0\xFF\xFF\xFF\xFF", 8)), 1);
  EXPECT_EQ(orientation(std::string("II*\0\x08\0\0\0\xFF\xFF", 10)), 1);
  std::string nine = little;
  nine[18] = '\x09';
  EXPECT_EQ(orientation(nine), 1);
}

}  // namespace
}  // namespace tl
