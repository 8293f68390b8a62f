#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/file.hpp"
#include "tensorlogic/tensor.hpp"

namespace tl::format {

// A weight file of Core ML, version 2: a 64-byte header, then per blob 64 bytes of metadata that name its data.
class BlobFile {
 public:
  static std::shared_ptr<const BlobFile> open(const std::string& path, bool copy = false);

  // A view of the blob whose metadata stands at `offset`. Throws Error{bad_file} when sentinel, alignment or bounds are wrong,
  // Error{bad_model} when its dtype or size is not the declared one.
  Tensor read(std::uint64_t offset, DType dtype, const Shape& shape) const;

 private:
  explicit BlobFile(std::shared_ptr<const FileBytes> file) : file_(std::move(file)) {}
  std::shared_ptr<const FileBytes> file_;
};

// Collects tensors and writes them as a weight file; `add` returns the offset that the program names.
class BlobWriter {
 public:
  BlobWriter();
  std::uint64_t add(const Tensor& tensor);
  bool empty() const noexcept { return count_ == 0; }
  std::vector<std::byte> take();  // the file's bytes

 private:
  std::vector<std::byte> bytes_;
  std::uint32_t count_ = 0;
};

// True for dtypes that a weight file can hold.
bool fits_blob(DType dtype) noexcept;

}  // namespace tl::format
