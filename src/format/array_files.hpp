#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tensorlogic/value.hpp"

namespace tl::format {

using NamedTensors = std::vector<std::pair<std::string, Tensor>>;

// The data of a file, told by content: .npy and images (u8 [height, width, 3]) as they are; .wav as float32 [samples] when
// mono, else [channels, samples], from -1 to 1; JSON numbers, nested lists (int64 when all are integers, else float64),
// booleans and strings as a tensor, JSON objects as a Dict. Archives with one member count as that member. Throws Error whose
// `where` starts with the path.
Value read_array(const std::string& path);
// The members of .npz and .safetensors by name; any other file as one tensor with an empty name.
NamedTensors read_arrays(const std::string& path);

// By extension: .npz .safetensors .json take any number of tensors; .npy .png .jpg .jpeg take one. NumPy files widen what NumPy
// lacks (bf16 and fp8 to float32, sub-byte integers to bytes). Written to a temporary name, synced, renamed.
void write_arrays(const std::string& path, const NamedTensors& tensors);

// One per format.
Tensor decode_npy(std::span<const std::byte> bytes);
std::vector<std::byte> encode_npy(const Tensor& tensor);
Tensor decode_wav(std::span<const std::byte> bytes);
Value decode_json(std::string_view text);
// Tensors as nested lists, strings as strings, non-finite numbers as null; lists and dictionaries as such.
std::string encode_json(const Value& value);

}  // namespace tl::format
