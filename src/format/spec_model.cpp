#include "format/spec_model.hpp"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "base/checked.hpp"
#include "format/spec_description.hpp"

namespace tl::format {
namespace {

constexpr int max_depth = 100;

// The newest specification whose rules are known.
constexpr int max_specification_version = 10;

}  // namespace

void parse_spec(std::span<const std::byte> bytes, spec::Model& message) {
  const int size = checked_cast<int>(bytes.size(), "size of the specification");
  google::protobuf::io::ArrayInputStream stream(bytes.data(), size);
  google::protobuf::io::CodedInputStream input(&stream);
  input.SetRecursionLimit(max_depth);
  input.SetTotalBytesLimit(size);
  if (!message.ParseFromCodedStream(&input) || !input.ConsumedEntireMessage()) {
    fail(ErrorKind::bad_file, "the specification is damaged near byte {} of {}", input.CurrentPosition(), size);
  }
}

ir::Model read_spec(const spec::Model& message, const BlobReader& blobs) {
  ir::Model model;
  model.info.specification_version = message.specificationversion();
  model.info.model_type = model_type_name(message);
  if (model.info.model_type.empty()) fail(ErrorKind::bad_model, "the specification names no model type");
  if (message.specificationversion() > max_specification_version) {
    fail(ErrorKind::unsupported, "specification version {}, up to {} is read", message.specificationversion(),
         max_specification_version);
  }
  read_description(message.description(), model.info);
  if (message.has_mlprogram()) {
    model.program = read_program(message.mlprogram(), blobs);
    for (Interface& interface : model.info.interfaces) {
      // A single-function description doesn't name its function.
      if (model.program->function(interface.function) == nullptr && model.program->functions.size() == 1) {
        interface.function = model.program->functions[0]->name;
      }
    }
    list_program_tensors(model);
  }
  return model;
}

}  // namespace tl::format
