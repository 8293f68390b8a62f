#include "cpu/panels.hpp"

#include <algorithm>

namespace tl::cpu {
namespace {

// Weights stand as [out][in / groups][tap].
template <class T>
void reorder(const std::byte* source, std::byte* target, std::size_t rows, std::size_t channels, std::size_t taps) {
  const T* from = reinterpret_cast<const T*>(source);
  T* to = reinterpret_cast<T*>(target);
  for (std::size_t r = 0; r < rows; ++r, from += channels * taps, to += channels * taps) {
    for (std::size_t c = 0; c < channels; ++c)
      for (std::size_t t = 0; t < taps; ++t) to[t * channels + c] = from[c * taps + t];
  }
}

}  // namespace

Panels pack_panels(const ConvShape& shape, const Weights& weights, Storage storage) {
  const GemmKernels& gemm = gemm_kernels();
  const std::size_t element = size_of(weights.storage);
  const std::size_t packed_element = size_of(storage);
  const std::size_t taps = shape.kernel_h * shape.kernel_w;
  const std::size_t channels = shape.in_c / shape.groups;
  const std::size_t depth = shape.depth();
  const std::size_t columns = shape.out_c / shape.groups;
  const std::size_t panel = gemm.shape.panel;
  const std::size_t count = (columns + panel - 1) / panel;
  Panels panels;
  panels.storage = storage;
  panels.group_bytes = ((count - 1) * panel + gemm.shape.width_of(columns - (count - 1) * panel)) * depth * packed_element;
  panels.total_bytes = shape.groups * panels.group_bytes;
  panels.bytes = plan::allocate_aligned(panels.total_bytes);
  std::vector<std::byte> ordered(taps == 1 ? 0 : panel * depth * element);
  std::vector<std::byte> narrow(packed_element == element ? 0 : panel * depth * element);
  for (std::size_t group = 0; group < shape.groups; ++group) {
    for (std::size_t p = 0; p < count; ++p) {
      const std::size_t valid = std::min(panel, columns - p * panel);
      const std::byte* source = weights.values.data() + (group * columns + p * panel) * depth * element;
      if (taps != 1) {
        if (element == 2) {
          reorder<std::uint16_t>(source, ordered.data(), valid, channels, taps);
        } else {
          reorder<std::uint32_t>(source, ordered.data(), valid, channels, taps);
        }
        source = ordered.data();
      }
      const std::size_t width = gemm.shape.width_of(valid);
      std::byte* target = panels.bytes.get() + group * panels.group_bytes + p * panel * depth * packed_element;
      gemm.pack_panel(source, weights.storage, depth, depth, valid, width, narrow.empty() ? target : narrow.data(),
                      weights.storage);
      if (!narrow.empty()) gemm.convert(narrow.data(), weights.storage, reinterpret_cast<float*>(target), width * depth);
    }
  }
  return panels;
}

}  // namespace tl::cpu
