#include "format/spec_model.hpp"

#include <google/protobuf/arena.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/stubs/logging.h>

#include <algorithm>

#include "base/checked.hpp"
#include "format/classic/program.hpp"
#include "format/format.hpp"
#include "format/spec_description.hpp"
#include "format/wire_scan.hpp"

namespace tl::format {
namespace {

constexpr int max_depth = 100;
constexpr int max_links = 8;

// The newest specification whose rules are known.
constexpr int max_specification_version = 10;

// The specification version that an opset came with.
int version_of(std::string_view opset) {
  constexpr std::pair<std::string_view, int> versions[] = {
      {"ios15", 6}, {"ios16", 7}, {"ios17", 8}, {"ios18", 9}, {"ios26", 10}};
  for (const auto& [name, version] : versions) {
    if (name == opset) return version;
  }
  fail(ErrorKind::unsupported, "the opset '{}' has no place in a package", opset);
}

using SpecPtr = std::shared_ptr<const spec::Model>;

SpecPtr parse_spec(std::span<const std::byte> bytes) {
  const int size = checked_cast<int>(bytes.size(), "size of the specification");
  scan_wire(bytes, {.depth = max_depth});
  const google::protobuf::LogSilencer quiet;  // it writes to stderr what the error says as well
  auto arena = std::make_shared<google::protobuf::Arena>();
  auto* message = google::protobuf::Arena::CreateMessage<spec::Model>(arena.get());
  google::protobuf::io::ArrayInputStream stream(bytes.data(), size);
  google::protobuf::io::CodedInputStream input(&stream);
  input.SetRecursionLimit(max_depth);
  input.SetTotalBytesLimit(size);
  if (!message->ParseFromCodedStream(&input) || !input.ConsumedEntireMessage()) {
    fail(ErrorKind::bad_file, "the specification is damaged near byte {} of {}", input.CurrentPosition(), size);
  }
  return {std::move(arena), message};
}

}  // namespace

ir::Model read_spec(std::span<const std::byte> bytes, const BlobReader& blobs, const SpecPlace& place) {
  const SpecPtr shared = parse_spec(bytes);
  const spec::Model& message = *shared;
  ir::Model model;
  model.info.specification_version = message.specificationversion();
  model.info.model_type = model_type_name(message);
  if (model.info.model_type.empty()) fail(ErrorKind::bad_model, "the specification names no model type");
  if (message.specificationversion() > max_specification_version) {
    const std::string reason =
        fmt::format("specification version {}, up to {} is read", message.specificationversion(), max_specification_version);
    if (!place.lenient) fail(ErrorKind::unsupported, "{}", reason);
    model.refusal = reason;
  }
  read_description(message.description(), model.info);
  if (message.has_mlprogram()) {
    model.program = read_program(message.mlprogram(), blobs);
    // Apple's compiler writes scalars as such, program(1.3), from iOS 18 on.
    if (message.specificationversion() < version_of("ios18")) {
      model.program->style.plain_scalars = false;
      model.program->style.version = "1.0";
    }
    for (Interface& interface : model.info.interfaces) {
      // A single-function description doesn't name its function.
      if (model.program->function(interface.function) == nullptr && model.program->functions.size() == 1) {
        interface.function = model.program->functions[0]->name;
      }
    }
    list_program_tensors(model);
  } else {
    if (model.refusal.empty()) model.refusal = why_refused(message);
    if (!model.refusal.empty() && !place.lenient) return model;
    const LinkReader links = [&](const spec::LinkedModelFile& link) {
      if (!place.folder) fail(ErrorKind::unsupported, "a model in memory leads to no other file");
      if (place.links >= max_links) fail(ErrorKind::limit, "links lead over {} models", max_links);
      return read_model(find_linked(link, *place.folder),
                        {.copy = place.copy, .links = place.links + 1, .lenient = place.lenient});
    };
    model.program = translate_model(shared, model.info, blobs, links, place.lenient ? &model.refusal : nullptr);
    list_program_tensors(model);
  }
  return model;
}

void write_spec(const ir::Model& model, spec::Model& message) {
  if (model.program == nullptr) fail(ErrorKind::unsupported, "only models with a program can be written as a package");
  int version = model.info.specification_version;
  for (const auto& function : model.program->functions) version = std::max(version, version_of(function->opset));
  if (model.program->functions.size() > 1) version = std::max(version, version_of("ios18"));
  message.set_specificationversion(version);
  write_description(model.info, *message.mutable_description());
  write_program(*model.program, *message.mutable_mlprogram());
}

std::string serialize(const google::protobuf::MessageLite& message) {
  constexpr std::size_t most = std::size_t{1} << 31;
  if (message.ByteSizeLong() >= most) fail(ErrorKind::limit, "a message of over 2 GiB");
  std::string result;
  google::protobuf::io::StringOutputStream stream(&result);
  google::protobuf::io::CodedOutputStream out(&stream);
  out.SetSerializationDeterministic(true);
  if (!message.SerializeToCodedStream(&out)) fail(ErrorKind::internal, "the specification cannot be written");
  out.Trim();
  return result;
}

}  // namespace tl::format
