#include <algorithm>
#include <cstddef>
#include <cstdio>

// Needs the two above.
#include <jpeglib.h>

// Needs jpeglib.h.
#include <jerror.h>

#include <array>
#include <csetjmp>
#include <cstdlib>
#include <string>

#include "base/checked.hpp"
#include "format/image_codecs.hpp"

namespace tl::format {
namespace {

constexpr int max_scans = 200;
constexpr std::uint64_t max_scanned_pixels = std::uint64_t{1} << 32;

// libjpeg's errors become a message and a jump; nothing is printed. No object with a destructor may live between setjmp and the
// jump.
struct JpegErrors {
  jpeg_error_mgr base;
  std::jmp_buf jump;
  std::array<char, JMSG_LENGTH_MAX> message;
  bool cut_short;
};

extern "C" {
[[noreturn]] static void jpeg_fatal(j_common_ptr info) {
  auto* errors = reinterpret_cast<JpegErrors*>(info->err);
  info->err->format_message(info, errors->message.data());
  std::longjmp(errors->jump, 1);
}
static void jpeg_warning(j_common_ptr info, int level) {
  if (level < 0 && info->err->msg_code == JWRN_JPEG_EOF) reinterpret_cast<JpegErrors*>(info->err)->cut_short = true;
}
static void jpeg_no_output(j_common_ptr) {}
// A progressive file may repeat cheap scans without end.
static void jpeg_progress(j_common_ptr common) {
  auto* info = reinterpret_cast<j_decompress_ptr>(common);
  const auto scans = static_cast<std::uint64_t>(info->input_scan_number);
  if (scans > max_scans || scans * info->image_width * info->image_height > max_scanned_pixels) {
    auto* errors = reinterpret_cast<JpegErrors*>(info->err);
    constexpr std::string_view text = "too many scans for its size";
    std::copy(text.begin(), text.end() + 1, errors->message.begin());
    std::longjmp(errors->jump, 1);
  }
}
}

void set_handlers(JpegErrors& errors) {
  jpeg_std_error(&errors.base);
  errors.base.error_exit = jpeg_fatal;
  errors.base.emit_message = jpeg_warning;
  errors.base.output_message = jpeg_no_output;
  errors.message[0] = '\0';
  errors.cut_short = false;
}

class JpegReader {
 public:
  explicit JpegReader(std::span<const std::byte> bytes) : bytes_(bytes) {
    set_handlers(errors_);
    info_.err = &errors_.base;
    if (!read_header()) refuse();
  }
  ~JpegReader() { jpeg_destroy_decompress(&info_); }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  std::uint64_t width() const { return info_.image_width; }
  std::uint64_t height() const { return info_.image_height; }
  bool four_channels() const { return info_.out_color_space == JCS_CMYK; }

  int orientation() const {
    for (jpeg_saved_marker_ptr marker = info_.marker_list; marker != nullptr; marker = marker->next) {
      const std::span<const std::byte> data(reinterpret_cast<const std::byte*>(marker->data), marker->data_length);
      if (data.size() > 6 && std::string_view(reinterpret_cast<const char*>(data.data()), 4) == "Exif")
        return exif_orientation(data);
    }
    return 1;
  }

  void read(std::byte* out, std::size_t row_bytes) {
    if (!read_rows(out, row_bytes)) refuse();
    if (errors_.cut_short) fail(ErrorKind::bad_file, "JPEG: the image is cut short");
  }

 private:
  [[noreturn]] void refuse() {
    const std::string message = errors_.message.data();
    jpeg_destroy_decompress(&info_);
    fail(ErrorKind::bad_file, "JPEG: {}", message);
  }

  bool read_header() {
    if (setjmp(errors_.jump) != 0) return false;
    jpeg_create_decompress(&info_);
    progress_.progress_monitor = jpeg_progress;
    info_.progress = &progress_;
    jpeg_mem_src(&info_, reinterpret_cast<const unsigned char*>(bytes_.data()), bytes_.size());
    jpeg_save_markers(&info_, JPEG_APP0 + 1, 0xFFFF);
    jpeg_read_header(&info_, TRUE);
    info_.out_color_space = info_.jpeg_color_space == JCS_CMYK || info_.jpeg_color_space == JCS_YCCK ? JCS_CMYK : JCS_RGB;
    return true;
  }

  bool read_rows(std::byte* out, std::size_t row_bytes) {
    if (setjmp(errors_.jump) != 0) return false;
    jpeg_start_decompress(&info_);
    while (info_.output_scanline < info_.output_height) {
      auto* row = reinterpret_cast<JSAMPROW>(out + row_bytes * info_.output_scanline);
      jpeg_read_scanlines(&info_, &row, 1);
    }
    jpeg_finish_decompress(&info_);
    return true;
  }

  std::span<const std::byte> bytes_;
  jpeg_decompress_struct info_{};
  jpeg_progress_mgr progress_{};
  JpegErrors errors_{};
};

// Four-channel files hold inverted inks, as Adobe writes them.
void inks_to_rgb(std::span<const std::uint8_t> inks, std::span<std::uint8_t> rgb) {
  for (std::size_t i = 0; i < rgb.size() / 3; ++i) {
    const std::uint32_t black = inks[4 * i + 3];
    for (std::size_t c = 0; c < 3; ++c) {
      const std::uint32_t product = (255U - inks[4 * i + c]) * black + 128U;
      rgb[3 * i + c] = static_cast<std::uint8_t>(black - ((product + (product >> 8)) >> 8));
    }
  }
}

class JpegWriter {
 public:
  JpegWriter() {
    set_handlers(errors_);
    info_.err = &errors_.base;
  }
  ~JpegWriter() {
    jpeg_destroy_compress(&info_);
    std::free(data_);
  }
  JpegWriter(const JpegWriter&) = delete;
  JpegWriter& operator=(const JpegWriter&) = delete;

  std::vector<std::byte> write(const Image& image, std::int64_t channels) {
    if (!encode(image.pixels.data(), static_cast<unsigned>(image.width()), static_cast<unsigned>(image.height()),
                static_cast<int>(channels))) {
      fail(ErrorKind::limit, "JPEG: {}", errors_.message.data());
    }
    const auto* begin = reinterpret_cast<const std::byte*>(data_);
    return {begin, begin + size_};
  }

 private:
  bool encode(const std::byte* pixels, unsigned width, unsigned height, int channels) {
    if (setjmp(errors_.jump) != 0) return false;
    jpeg_create_compress(&info_);
    jpeg_mem_dest(&info_, &data_, &size_);
    info_.image_width = width;
    info_.image_height = height;
    info_.input_components = channels;
    info_.in_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&info_);
    jpeg_set_quality(&info_, 95, TRUE);
    jpeg_start_compress(&info_, TRUE);
    while (info_.next_scanline < height) {
      const std::byte* row = pixels + std::size_t{width} * static_cast<std::size_t>(channels) * info_.next_scanline;
      auto* samples = reinterpret_cast<JSAMPROW>(const_cast<std::byte*>(row));
      jpeg_write_scanlines(&info_, &samples, 1);
    }
    jpeg_finish_compress(&info_);
    return true;
  }

  jpeg_compress_struct info_{};
  JpegErrors errors_{};
  unsigned char* data_ = nullptr;
  unsigned long size_ = 0;
};

}  // namespace

DecodedImage decode_jpeg(std::span<const std::byte> bytes) {
  JpegReader reader(bytes);
  DecodedImage result{allocate_rgb(reader.width(), reader.height()), reader.orientation()};
  if (!reader.four_channels()) {
    reader.read(result.pixels.mutable_data(), reader.width() * 3);
    return result;
  }
  Tensor inks(DType::u8, {iz(reader.height()), iz(reader.width()), 4});
  reader.read(inks.mutable_data(), reader.width() * 4);
  inks_to_rgb(inks.values<std::uint8_t>(), result.pixels.mutable_values<std::uint8_t>());
  return result;
}

std::vector<std::byte> encode_jpeg(const Image& image) {
  const std::int64_t channels = channels_of(image);
  if (image.width() > JPEG_MAX_DIMENSION || image.height() > JPEG_MAX_DIMENSION) {
    fail(ErrorKind::invalid_argument, "JPEG: {}x{} pixels, each side may have {}", image.width(), image.height(),
         JPEG_MAX_DIMENSION);
  }
  return JpegWriter().write(image, channels);
}

}  // namespace tl::format
