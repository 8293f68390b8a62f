#include <png.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstring>
#include <string>

#include "base/checked.hpp"
#include "format/image_codecs.hpp"

namespace tl::format {
namespace {

// libpng's errors become a message and a jump; nothing is printed. No object with a destructor may live between setjmp and the
// jump.
struct PngErrors {
  std::jmp_buf jump;
  std::array<char, 160> message;
};

extern "C" {
[[noreturn]] static void png_fatal(png_structp png, png_const_charp text) {
  auto* errors = static_cast<PngErrors*>(png_get_error_ptr(png));
  std::strncpy(errors->message.data(), text, errors->message.size() - 1);
  std::longjmp(errors->jump, 1);
}
static void png_quiet(png_structp, png_const_charp) {}
static void png_from_span(png_structp png, png_bytep out, size_t count) {
  auto* rest = static_cast<std::span<const std::byte>*>(png_get_io_ptr(png));
  if (count > rest->size()) png_error(png, "the image is cut short");
  std::memcpy(out, rest->data(), count);
  *rest = rest->subspan(count);
}
static void png_to_vector(png_structp png, png_bytep data, size_t count) {
  auto* out = static_cast<std::vector<std::byte>*>(png_get_io_ptr(png));
  const auto* begin = reinterpret_cast<const std::byte*>(data);
  bool full = false;
  try {
    out->insert(out->end(), begin, begin + count);
  } catch (const std::bad_alloc&) {
    full = true;
  }
  if (full) png_error(png, "no memory");
}
static void png_no_flush(png_structp) {}
}

class PngReader {
 public:
  explicit PngReader(std::span<const std::byte> bytes) : rest_(bytes) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, &errors_, png_fatal, png_quiet);
    info_ = png_ == nullptr ? nullptr : png_create_info_struct(png_);
    if (info_ == nullptr || !read_header()) refuse();
  }
  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  std::uint64_t width() const { return png_get_image_width(png_, info_); }
  std::uint64_t height() const { return png_get_image_height(png_, info_); }
  std::uint64_t stored_bits() const { return std::uint64_t{png_get_channels(png_, info_)} * png_get_bit_depth(png_, info_); }

  void read(std::byte* out) {
    if (!read_rows(out)) refuse();
  }
  int orientation() const {
    png_uint_32 size = 0;
    png_bytep data = nullptr;
    if (png_get_eXIf_1(png_, info_, &size, &data) == 0) return 1;
    return exif_orientation({reinterpret_cast<const std::byte*>(data), size});
  }

 private:
  [[noreturn]] void refuse() {
    const std::string message = errors_.message.data();
    png_destroy_read_struct(&png_, &info_, nullptr);
    fail(ErrorKind::bad_file, "PNG: {}", message.empty() ? "no memory" : message);
  }

  bool read_header() {
    if (setjmp(errors_.jump) != 0) return false;
    png_set_read_fn(png_, &rest_, png_from_span);
    png_set_user_limits(png_, 0x7FFFFFFF, 0x7FFFFFFF);
    png_read_info(png_, info_);
    return true;
  }

  // Everything becomes 8-bit RGB: palettes and small depths expand, 16 bits keep their upper half, alpha is dropped.
  bool read_rows(std::byte* out) {
    if (setjmp(errors_.jump) != 0) return false;
    const int color = png_get_color_type(png_, info_);
    if (color == PNG_COLOR_TYPE_PALETTE) png_set_palette_to_rgb(png_);
    if ((color & PNG_COLOR_MASK_COLOR) == 0) {
      png_set_expand_gray_1_2_4_to_8(png_);
      png_set_gray_to_rgb(png_);
    }
    png_set_strip_16(png_);
    png_set_strip_alpha(png_);
    const int passes = png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    const std::size_t row_bytes = std::size_t{png_get_image_width(png_, info_)} * 3;
    if (png_get_rowbytes(png_, info_) != row_bytes) png_error(png_, "unexpected layout");
    const png_uint_32 height = png_get_image_height(png_, info_);
    for (int pass = 0; pass < passes; ++pass) {
      for (png_uint_32 y = 0; y < height; ++y) png_read_row(png_, reinterpret_cast<png_bytep>(out + row_bytes * y), nullptr);
    }
    png_read_end(png_, info_);
    return true;
  }

  std::span<const std::byte> rest_;
  PngErrors errors_{};
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
};

class PngWriter {
 public:
  PngWriter() {
    png_ = png_create_write_struct(PNG_LIBPNG_VER_STRING, &errors_, png_fatal, png_quiet);
    info_ = png_ == nullptr ? nullptr : png_create_info_struct(png_);
  }
  ~PngWriter() { png_destroy_write_struct(&png_, &info_); }
  PngWriter(const PngWriter&) = delete;
  PngWriter& operator=(const PngWriter&) = delete;

  std::vector<std::byte> write(const Image& image, std::int64_t channels) {
    const auto width = static_cast<png_uint_32>(image.width());
    const auto height = static_cast<png_uint_32>(image.height());
    if (info_ == nullptr ||
        !encode(image.pixels.data(), width, height, channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB,
                static_cast<std::size_t>(channels))) {
      fail(ErrorKind::limit, "PNG: {}", errors_.message[0] == '\0' ? "no memory" : errors_.message.data());
    }
    return std::move(out_);
  }

 private:
  bool encode(const std::byte* pixels, png_uint_32 width, png_uint_32 height, int color, std::size_t channels) {
    if (setjmp(errors_.jump) != 0) return false;
    png_set_write_fn(png_, &out_, png_to_vector, png_no_flush);
    png_set_user_limits(png_, 0x7FFFFFFF, 0x7FFFFFFF);
    png_set_IHDR(png_, info_, width, height, 8, color, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png_, info_);
    for (png_uint_32 y = 0; y < height; ++y) {
      png_write_row(png_, reinterpret_cast<png_const_bytep>(pixels + std::size_t{width} * channels * y));
    }
    png_write_end(png_, info_);
    return true;
  }

  std::vector<std::byte> out_;
  PngErrors errors_{};
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
};

}  // namespace

DecodedImage decode_png(std::span<const std::byte> bytes) {
  PngReader reader(bytes);
  // Deflate cannot shrink to less than 1/1032: a short file that claims many pixels is refused before they are allocated.
  const std::uint64_t stored = reader.width() * reader.height() / 8 * reader.stored_bits();
  if (stored / 1032 > bytes.size())
    fail(ErrorKind::bad_file, "PNG: {} bytes cannot hold {}x{} pixels", bytes.size(), reader.width(), reader.height());
  DecodedImage result{allocate_rgb(reader.width(), reader.height()), 1};
  reader.read(result.pixels.mutable_data());
  result.orientation = reader.orientation();
  return result;
}

std::vector<std::byte> encode_png(const Image& image) { return PngWriter().write(image, channels_of(image)); }

}  // namespace tl::format
