#include <cmath>

#include "base/checked.hpp"
#include "format/array_files.hpp"
#include "format/byte_reader.hpp"

namespace tl::format {
namespace {

constexpr std::uint16_t pcm = 1, ieee_float = 3, extensible = 0xFFFE;

struct WavFormat {
  std::uint16_t tag = 0, channels = 0, sample_bits = 0;
};

WavFormat read_format(ByteReader reader) {
  WavFormat format;
  format.tag = reader.read<std::uint16_t>("wav format");
  format.channels = reader.read<std::uint16_t>("wav format");
  reader.skip(10, "wav format");
  format.sample_bits = reader.read<std::uint16_t>("wav format");
  if (format.tag == extensible) {
    reader.skip(8, "wav format");
    format.tag = reader.read<std::uint16_t>("wav format");
  }
  const bool integers = format.tag == pcm && (format.sample_bits == 8 || format.sample_bits == 16 || format.sample_bits == 24 ||
                                              format.sample_bits == 32);
  const bool floats = format.tag == ieee_float && (format.sample_bits == 32 || format.sample_bits == 64);
  if (!integers && !floats)
    fail(ErrorKind::unsupported, "wav: encoding {} with {} bits is not read", format.tag, format.sample_bits);
  if (format.channels == 0) fail(ErrorKind::bad_file, "wav: no channels");
  return format;
}

float read_sample(ByteReader& reader, const WavFormat& format) {
  if (format.tag == ieee_float) {
    return format.sample_bits == 32 ? reader.read<float>("sample") : static_cast<float>(reader.read<double>("sample"));
  }
  switch (format.sample_bits) {
    case 8: return static_cast<float>(reader.read<std::uint8_t>("sample") - 128) / 128.0F;
    case 16: return static_cast<float>(reader.read<std::int16_t>("sample")) / 32768.0F;
    case 24: {
      const auto low = reader.read<std::uint16_t>("sample");
      const auto high = reader.read<std::int8_t>("sample");
      return static_cast<float>(high * 65536 + low) / 8388608.0F;
    }
    default: return static_cast<float>(reader.read<std::int32_t>("sample")) / 2147483648.0F;
  }
}

}  // namespace

Tensor decode_wav(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  if (reader.text(4, "wav header") != "RIFF") fail(ErrorKind::bad_file, "wav: does not start with 'RIFF'");
  reader.skip(4, "wav header");
  if (reader.text(4, "wav header") != "WAVE") fail(ErrorKind::bad_file, "wav: no WAVE file");
  WavFormat format;
  while (true) {
    const std::string_view name = reader.text(4, "wav chunk (there is no data)");
    const std::uint64_t size = reader.read<std::uint32_t>("wav chunk");
    if (name == "data") {
      if (format.tag == 0) fail(ErrorKind::bad_file, "wav: data before format");
      const std::uint64_t frame = std::uint64_t{format.channels} * format.sample_bits / 8;
      // Recorders that were stopped leave 0 or all ones as the size.
      const std::uint64_t available = size == 0 || size == 0xFFFFFFFF ? reader.remaining() : size;
      const auto frames = iz(available / frame);
      ByteReader data(reader.take(available, "wav data"));
      const std::int64_t channels = format.channels;
      Tensor result(DType::f32, channels == 1 ? Shape{frames} : Shape{channels, frames});
      auto out = result.mutable_values<float>();
      for (std::int64_t t = 0; t < frames; ++t) {
        for (std::int64_t c = 0; c < channels; ++c) out[uz(c * frames + t)] = read_sample(data, format);
      }
      return result;
    }
    const auto chunk = reader.take(size, "wav chunk");
    if (name == "fmt ") format = read_format(ByteReader(chunk));
    if (size % 2 == 1) reader.skip(1, "wav padding");
  }
}

}  // namespace tl::format
