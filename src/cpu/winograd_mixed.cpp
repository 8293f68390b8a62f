#include "cpu/winograd_mixed.hpp"

#include <algorithm>

#include "cpu/conv.hpp"

namespace tl::cpu {
namespace {

struct Segment {
  std::size_t first, outputs;
  std::vector<std::size_t> taps;  // of its transformed samples
};

// Empty when the outputs can't be cut into segments of 4 and 3.
std::vector<Segment> segments_of(std::size_t outputs, std::size_t stride) {
  const std::size_t threes = (4 - outputs % 4) % 4;
  if (outputs < 3 * threes) return {};
  std::vector<Segment> segments;
  const std::size_t count = (outputs - 3 * threes) / 4 + threes;
  std::size_t first = 0;
  for (std::size_t i = 0; i < count; ++i) {
    Segment segment{first, i + threes < count ? std::size_t{4} : std::size_t{3}, {}};
    const std::size_t points = stride == 1 ? 6 : 5;
    // The shorter segment does without the last finite point.
    for (std::size_t tap = 0; tap < points; ++tap) {
      if (segment.outputs == 4 || tap + 2 != points) segment.taps.push_back(tap);
    }
    if (stride == 2) segment.taps.insert(segment.taps.end(), segment.outputs, 5);
    first += segment.outputs;
    segments.push_back(std::move(segment));
  }
  return segments;
}

std::size_t samples_of(const std::vector<Segment>& segments) {
  std::size_t total = 0;
  for (const Segment& s : segments) total += s.taps.size();
  return total;
}

// Patches are transformed, then each matrix of weights meets its rows, then the sums are transformed back. Many patches and few
// weights: each task takes a part of the patches all the way. Else all work on all patches step by step. Weights are
// transformed ahead, or, where that would take much memory, by panels and chunks of the depth while they are multiplied.
class MixedConv final : public WeightKernel {
 public:
  MixedConv(const KernelRequest& request, const ConvShape& shape, const Weights& weights, const std::vector<Segment>& down,
            const std::vector<Segment>& across, bool ahead)
      : WeightKernel(request, shape),
        gemm_(gemm_kernels()),
        kernels_(mixed_kernels()),
        bias_(bias_of(request)),
        weight_storage_(ahead ? Storage::f32 : weights.storage),
        ahead_(ahead),
        chunk_(ahead ? shape.in_c : chunk_of(shape.in_c)) {
    panels_ = (shape_.out_c + gemm_.shape.panel - 1) / gemm_.shape.panel;
    pack_weights(weights);
    lay_out(down, across);
    std::size_t rows = 0;
    for (const Part& part : parts_) rows = std::max(rows, part.rows);
    in_bytes_ = rounded(rows * shape_.in_c * sizeof(float));
    out_bytes_ = rounded(rows * shape_.out_c * sizeof(float));
    scratch_ = ahead_ ? 0 : mixed_points * point_step(gemm_.shape.panel);
  }

  std::string_view name() const noexcept override { return shape_.stride_h == 1 ? "winograd_mixed" : "winograd_strided"; }
  plan::Workspace workspace() const noexcept override {
    if (parts_.size() > 1) return {0, in_bytes_ + out_bytes_};
    return {in_bytes_ + out_bytes_, scratch_ * sizeof(float)};
  }
  std::size_t packed_bytes() const noexcept override {
    return weight_bytes_ + places_.size() * sizeof(MixedPlace) + bias_.size() * sizeof(float);
  }

  Status run(const KernelArgs& args) const noexcept override {
    if (parts_.size() == 1) {
      together(args, parts_.front());
    } else {
      args.pool->parallel(parts_.size(), [&](std::size_t i, std::size_t worker) { alone(args, parts_[i], worker); });
    }
    return {};
  }

 private:
  // A multiple of 16 that divides the depth.
  static std::size_t chunk_of(std::size_t depth) {
    constexpr std::size_t most = 64;
    std::size_t chunk = most;
    while (depth % chunk != 0) chunk -= depth_block;
    return chunk;
  }

  // Floats between transformed weights of one point and the next: a cache line more than they take, so that all of them don't
  // meet in one set of the cache.
  std::size_t point_step(std::size_t width) const noexcept { return chunk_ * width + 16; }

  struct Rows {
    std::size_t first, count;
  };
  // Patches that are worked on at once, and the rows that each matrix of weights meets.
  struct Part {
    std::size_t first, count, rows;
    std::array<Rows, mixed_points> points;
  };

  void lay_out(const std::vector<Segment>& down, const std::vector<Segment>& across) {
    std::vector<std::pair<const Segment*, const Segment*>> segments;
    for (std::size_t image = 0; image < shape_.batch; ++image) {
      for (const Segment& y : down) {
        for (const Segment& x : across) {
          patches_.push_back(
              {image, y.first, x.first, static_cast<std::uint8_t>(y.outputs), static_cast<std::uint8_t>(x.outputs)});
          segments.emplace_back(&y, &x);
        }
      }
    }
    constexpr std::size_t part_bytes = std::size_t{700} << 10;  // stays in the second-level cache
    constexpr std::size_t light_weights = std::size_t{3} << 20;
    const std::size_t samples = mixed_samples(shape_.stride_h, 4);
    const std::size_t patch_bytes = samples * samples * (shape_.in_c + shape_.out_c) * sizeof(float);
    const std::size_t most = std::max<std::size_t>(1, part_bytes / patch_bytes);
    std::size_t parts = (patches_.size() + most - 1) / most;
    if (!ahead_ || weight_bytes_ > light_weights || parts < 2 * threads_) parts = 1;
    if (parts > 1) parts = (parts + threads_ - 1) / threads_ * threads_;
    places_.resize(patches_.size() * mixed_most * mixed_most);
    for (std::size_t i = 0; i < parts; ++i) {
      Part part{patches_.size() * i / parts, 0, 0, {}};
      part.count = patches_.size() * (i + 1) / parts - part.first;
      const auto each_sample = [&](auto&& body) {
        for (std::size_t p = part.first; p < part.first + part.count; ++p) {
          MixedPlace* place = places_.data() + p * mixed_most * mixed_most;
          for (const std::size_t y : segments[p].first->taps) {
            for (const std::size_t x : segments[p].second->taps) body(part.points[y * mixed_taps + x], *place++);
          }
        }
      };
      each_sample([](Rows& point, MixedPlace&) { ++point.count; });
      for (Rows& point : part.points) {
        point.first = part.rows;
        part.rows += point.count;
      }
      std::array<std::size_t, mixed_points> next{};
      each_sample([&](const Rows& point, MixedPlace& place) {
        place = place_of(point, next[static_cast<std::size_t>(&point - part.points.data())]++);
      });
      parts_.push_back(part);
    }
  }

  MixedPlace place_of(const Rows& point, std::size_t row) const {
    const std::size_t tiles = (point.count + gemm_.shape.tile_rows - 1) / gemm_.shape.tile_rows;
    std::size_t t = row * tiles / point.count;
    while (tile_range(point.count, tiles, t).first + tile_range(point.count, tiles, t).count <= row) ++t;
    while (tile_range(point.count, tiles, t).first > row) --t;
    const TileRange tile = tile_range(point.count, tiles, t);
    const std::size_t first = point.first * shape_.in_c + tile.first * chunk_ + (row - tile.first) * depth_block;
    const auto narrow = [](std::size_t v) { return static_cast<std::uint32_t>(v); };
    return {narrow(first), narrow(point.count * chunk_), narrow(tile.count * depth_block), narrow(point.first + row)};
  }

  void pack_weights(const Weights& weights) {
    const std::size_t element = size_of(weights.storage);
    const std::size_t last = gemm_.shape.width_of(shape_.out_c - (panels_ - 1) * gemm_.shape.panel);
    const std::size_t columns = (panels_ - 1) * gemm_.shape.panel + last;
    point_size_ = columns * shape_.in_c;
    weight_bytes_ = ahead_ ? mixed_points * point_size_ * sizeof(float) : 9 * point_size_ * element;
    weights_ = plan::allocate_aligned(weight_bytes_);
    std::vector<std::byte> taps(ahead_ ? 9 * gemm_.shape.panel * shape_.in_c * element : 0);
    for (std::size_t p = 0; p < panels_; ++p) {
      const std::size_t first = p * gemm_.shape.panel;
      const std::size_t width = std::min(gemm_.shape.panel, columns - first);
      const std::size_t valid = std::min(width, shape_.out_c - first);
      std::byte* target = ahead_ ? taps.data() : weights_.get() + 9 * first * shape_.in_c * element;
      const std::byte* source = weights.values.data() + first * shape_.in_c * 9 * element;
      if (element == 2) {
        order<std::uint16_t>(source, target, valid, width);
      } else {
        order<std::uint32_t>(source, target, valid, width);
      }
      if (ahead_) {
        kernels_.weights(taps.data(), weights.storage, shape_.stride_h, shape_.in_c, width,
                         reinterpret_cast<float*>(weights_.get()) + first * shape_.in_c, point_size_);
      }
    }
  }

  // [out][in][9] to [in][9][width].
  template <class T>
  void order(const std::byte* source, std::byte* target, std::size_t valid, std::size_t width) const {
    const T* from = reinterpret_cast<const T*>(source);
    T* to = reinterpret_cast<T*>(target);
    const std::size_t depth = 9 * shape_.in_c;
    for (std::size_t k = 0; k < depth; ++k) {
      for (std::size_t n = 0; n < valid; ++n) to[k * width + n] = from[n * depth + k];
      std::fill(to + k * width + valid, to + (k + 1) * width, T(0));
    }
  }

  MixedBlock block_of(const KernelArgs& args, const Part& part) const noexcept {
    MixedBlock b{};
    b.shape = &shape_;
    b.patches = patches_.data() + part.first;
    b.places = places_.data() + part.first * mixed_most * mixed_most;
    b.count = part.count;
    b.chunk = chunk_;
    b.bias = bias_.empty() ? nullptr : bias_.data();
    b.residual = residual_of(args);
    b.activation = activation_;
    return b;
  }

  static void transform(void (*kernel)(const MixedBlock&), MixedBlock block, const void* image, float* values,
                        std::size_t begin, std::size_t end) noexcept {
    block.image = image;
    block.values = values;
    block.channel_begin = begin;
    block.channel_end = end;
    kernel(block);
  }

  void alone(const KernelArgs& args, const Part& part, std::size_t worker) const noexcept {
    auto* in = reinterpret_cast<float*>(args.own(worker));
    float* out = in + in_bytes_ / sizeof(float);
    const MixedBlock b = block_of(args, part);
    transform(kernels_.patches_in, b, args.inputs[0], in, 0, shape_.in_c);
    for (std::size_t point = 0; point < mixed_points; ++point) multiply(part, point, in, out, 0, panels_);
    transform(kernels_.patches_out, b, args.outputs[0], out, 0, shape_.out_c);
  }

  void together(const KernelArgs& args, const Part& part) const noexcept {
    auto* in = reinterpret_cast<float*>(args.shared);
    float* out = in + in_bytes_ / sizeof(float);
    const MixedBlock b = block_of(args, part);
    const auto split = [&](std::size_t channels, auto&& body) {
      const std::size_t blocks = channels / depth_block;
      const std::size_t tasks = std::min(blocks, threads_ * 2);
      args.pool->parallel(tasks, [&](std::size_t task, std::size_t) {
        body(blocks * task / tasks * depth_block, blocks * (task + 1) / tasks * depth_block);
      });
    };
    split(shape_.in_c,
          [&](std::size_t begin, std::size_t end) { transform(kernels_.patches_in, b, args.inputs[0], in, begin, end); });
    if (ahead_) {
      args.pool->parallel(mixed_points * panels_, [&](std::size_t unit, std::size_t) {
        multiply(part, unit / panels_, in, out, unit % panels_, unit % panels_ + 1);
      });
    } else {
      args.pool->parallel(panels_, [&](std::size_t panel, std::size_t worker) {
        multiply_panel(part, panel, in, out, reinterpret_cast<float*>(args.own(worker)));
      });
    }
    split(shape_.out_c,
          [&](std::size_t begin, std::size_t end) { transform(kernels_.patches_out, b, args.outputs[0], out, begin, end); });
  }

  GemmBlock product(const Rows& point, const float* in, float* out) const noexcept {
    GemmBlock g{};
    g.a = in + point.first * shape_.in_c;
    g.rows = point.count;
    g.depth = g.depth_total = shape_.in_c;
    g.b_storage = Storage::f32;
    g.c = out + point.first * shape_.out_c;
    g.c_stride = shape_.out_c;
    g.c_storage = Storage::f32;
    return g;
  }

  void multiply(const Part& part, std::size_t point, const float* in, float* out, std::size_t begin,
                std::size_t end) const noexcept {
    GemmBlock g = product(part.points[point], in, out);
    g.b = weights_.get() + point * point_size_ * sizeof(float);
    g.columns = shape_.out_c;
    g.panel_begin = begin;
    g.panel_end = end;
    gemm_.multiply(g);
  }

  void multiply_panel(const Part& part, std::size_t panel, const float* in, float* out, float* scratch) const noexcept {
    const std::size_t first = panel * gemm_.shape.panel;
    const std::size_t width = gemm_.shape.width_of(std::min(gemm_.shape.panel, shape_.out_c - first));
    const std::size_t element = size_of(weight_storage_);
    for (std::size_t k = 0; k < shape_.in_c; k += chunk_) {
      kernels_.weights(weights_.get() + (first * shape_.in_c + k * width) * 9 * element, weight_storage_, shape_.stride_h,
                       chunk_, width, scratch, point_step(width));
      for (std::size_t point = 0; point < mixed_points; ++point) {
        GemmBlock g = product(part.points[point], in, out);
        g.a += k * g.rows;
        g.depth_first = k;
        g.depth = chunk_;
        g.b = scratch + point * point_step(width);
        g.b_first = k;
        g.columns = width;
        g.panel_end = 1;
        g.c = static_cast<float*>(g.c) + first;
        g.partial = static_cast<float*>(g.c);
        g.partial_stride = shape_.out_c;
        gemm_.multiply(g);
      }
    }
  }

  const GemmKernels& gemm_;
  const MixedKernels& kernels_;
  std::vector<float> bias_;
  std::vector<MixedPatch> patches_;
  std::vector<MixedPlace> places_;
  std::vector<Part> parts_;
  plan::AlignedBytes weights_;
  Storage weight_storage_;
  bool ahead_;
  std::size_t chunk_, panels_ = 0, point_size_ = 0, weight_bytes_ = 0;
  std::size_t in_bytes_ = 0, out_bytes_ = 0, scratch_ = 0;
};

constexpr std::size_t most_weights = std::size_t{12} << 20;  // bytes of transformed weights that are kept
constexpr std::size_t most_values = std::size_t{16} << 20;   // bytes of transformed samples, and of sums

}  // namespace

std::unique_ptr<Kernel> mixed_conv(const KernelRequest& request) {
  const auto input = winograd_input(request);
  if (!input) return nullptr;
  const ConvShape& s = input->shape;
  if (s.stride_h != s.stride_w || s.stride_h > 2) return nullptr;
  // Whole patches of a stride of 1 are for winograd_conv, and so are many of them.
  constexpr std::size_t many_patches = 56;
  if (s.stride_h == 1 && ((s.out_h % 4 == 0 && s.out_w % 4 == 0) || s.rows() > 16 * many_patches)) return nullptr;
  const std::vector<Segment> down = segments_of(s.out_h, s.stride_h);
  const std::vector<Segment> across = segments_of(s.out_w, s.stride_w);
  if (down.empty() || across.empty()) return nullptr;
  // In multiply-adds per input and output channel. Products of few rows reach less of the peak; transforming weights on the way
  // costs as much as `transform` rows, and more than it brings with strides of 2.
  constexpr double overhead = 1.2;
  constexpr double transform = 110;
  constexpr std::size_t least_channels = 64;
  const std::size_t rows = s.batch * samples_of(down) * samples_of(across);
  const bool ahead = mixed_points * s.in_c * s.out_c * sizeof(float) <= most_weights;
  const double products = overhead * static_cast<double>(rows) + (ahead ? 0 : transform);
  const bool pays = s.in_c >= least_channels && s.out_c >= least_channels && products < static_cast<double>(9 * s.rows()) &&
                    (ahead || s.stride_h == 1) && rows * std::max(s.in_c, s.out_c) * sizeof(float) <= most_values;
  if (!pays || !finite(input->weights)) return nullptr;
  return std::make_unique<MixedConv>(request, s, input->weights, down, across, ahead);
}

}  // namespace tl::cpu
