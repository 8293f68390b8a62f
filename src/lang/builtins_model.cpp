#include <algorithm>
#include <cstring>
#include <fstream>
#include <limits>

#include "base/file.hpp"
#include "format/format.hpp"
#include "lang/export.hpp"
#include "lang/interpreter_impl.hpp"
#include "plan/model_impl.hpp"
#include "tensorlogic/compare.hpp"
#include "tensorlogic/profile.hpp"

namespace tl::lang {

namespace {

const ModelBox& model_of(const Datum& value) {
  const auto* m = value.as<std::shared_ptr<ModelBox>>();
  if (m == nullptr) fail(ErrorKind::invalid_argument, "a model is needed, this is {}", type_name(value));
  return **m;
}

Datum labels_of(Interpreter::Impl& session, const ModelInfo& info) {
  std::vector<Datum> labels(info.string_labels.begin(), info.string_labels.end());
  if (labels.empty()) labels.assign(info.integer_labels.begin(), info.integer_labels.end());
  return session.array(std::move(labels), "list");
}

Datum metadata_of(Interpreter::Impl& session, const ModelInfo& info) {
  auto object = std::make_shared<Object>();
  object->type = "Metadata";
  const auto add = [&](const char* name, Datum value) { object->fields.emplace_back(name, std::move(value)); };
  std::vector<Datum> inputs, outputs;
  if (!info.interfaces.empty()) {
    for (const Feature& feature : info.interfaces[0].inputs) inputs.emplace_back(feature.name);
    for (const Feature& feature : info.interfaces[0].outputs) outputs.emplace_back(feature.name);
  }
  add("format", std::string(to_string(info.format)));
  add("quantization", info.quantization);
  add("name", info.name);
  add("model_type", info.model_type);
  add("inputs", session.array(std::move(inputs), "list"));
  add("outputs", session.array(std::move(outputs), "list"));
  add("author", info.author);
  add("license", info.license);
  add("version", info.version);
  add("description", info.short_description);
  auto user = std::make_shared<Object>();
  user->type = "User";
  for (const auto& [key, value] : info.user_metadata) user->fields.emplace_back(key, value);
  add("user", user);
  return object;
}

bool has_prefix(const Model& model, const std::string& prefix) {
  return std::any_of(model.tensors().begin(), model.tensors().end(),
                     [&](const StoredTensor& t) { return t.name.starts_with(prefix + "."); });
}

// The value of a script as what the feature takes.
tl::Value feature_value(Interpreter::Impl& session, const Feature& feature, const Datum& value) {
  if (const auto* wanted = std::get_if<ImageFeature>(&feature.kind)) {
    std::shared_ptr<const Image> image;
    if (const auto* box = value.as<std::shared_ptr<ImageBox>>()) {
      image = std::make_shared<Image>(crop_for_model((*box)->image, Preprocess{}));
    } else if (const auto* t = value.as<TensorPtr>()) {
      image = (*t)->pixels;
      if (!image) return (*t)->data;
    } else {
      fail(ErrorKind::invalid_argument, "input '{}' takes an image, this is {}", feature.name, type_name(value));
    }
    const bool fits = image->width() == wanted->width && image->height() == wanted->height;
    return (fits || wanted->width <= 0 || wanted->height <= 0 ? *image : resize(*image, wanted->width, wanted->height)).pixels;
  }
  if (const auto* s = value.as<std::string>()) return Tensor::scalar(*s);
  if (std::holds_alternative<Int64Feature>(feature.kind)) return Tensor::scalar(session.integer(value, "the input"));
  if (std::holds_alternative<DoubleFeature>(feature.kind)) return Tensor::scalar(session.number(value, "the input"));
  if (const auto* box = value.as<std::shared_ptr<ImageBox>>())
    return normalize(crop_for_model((*box)->image, Preprocess{}), Preprocess{});
  const auto* array = std::get_if<ArrayFeature>(&feature.kind);
  return session.tensor(value, "a tensor", array != nullptr ? array->dtype : DType::f32)->data;
}

Datum from_value(Interpreter::Impl& session, const tl::Value& value) {
  if (value.is_tensor()) {
    const Tensor& t = value.tensor();
    if (t.rank() == 0 && t.dtype() == DType::string) return t.strings()[0];
    if (t.rank() == 0 && t.dtype() == DType::i64) return t.integer_at(0);
    return session.ops.box(t);
  }
  if (value.is_list()) {
    std::vector<Datum> items;
    for (const tl::Value& item : value.list().items) items.push_back(from_value(session, item));
    return session.array(std::move(items), "list");
  }
  auto object = std::make_shared<Object>();
  object->type = "Dict";
  for (const auto& [key, item] : value.dict().items)
    object->fields.emplace_back(to_text(from_value(session, key)), from_value(session, item));
  return object;
}

// Probabilities as a tensor in the order of the labels (that of the dictionary when the model names none).
Datum probabilities(Interpreter::Impl& session, const ModelInfo& info, const Dict& dict) {
  std::map<std::string, double> by_label;
  std::vector<double> values;
  for (const auto& [key, value] : dict.items) {
    values.push_back(value.tensor().number_at(0));
    by_label[to_text(from_value(session, key))] = values.back();
  }
  std::vector<std::string> labels = info.string_labels;
  for (const std::int64_t label : info.integer_labels) labels.push_back(fmt::format("{}", label));
  const bool ordered = labels.size() == by_label.size() &&
                       std::all_of(labels.begin(), labels.end(), [&](const auto& l) { return by_label.contains(l); });
  Tensor out(DType::f32, {iz(values.size())});
  auto target = out.mutable_values<float>();
  for (std::size_t i = 0; i < values.size(); ++i) target[i] = static_cast<float>(ordered ? by_label[labels[i]] : values[i]);
  return session.ops.box(std::move(out));
}

void collect(const Object& object, const std::string& prefix, std::vector<std::pair<std::string, Tensor>>& out,
             std::size_t& steps, int depth) {
  if (++steps > 1'000'000) fail(ErrorKind::limit, "a struct of more than a million fields");
  if (depth > 32) fail(ErrorKind::limit, "structs nested deeper than 32 levels");
  for (const auto& [name, value] : object.fields) {
    if (const auto* t = value.as<TensorPtr>()) out.emplace_back(prefix + name, (*t)->data);
    if (const auto* inner = value.as<ObjectPtr>()) collect(**inner, prefix + name + ".", out, steps, depth + 1);
  }
}

}  // namespace

Datum Interpreter::Impl::model_member(const ModelBox& box, const std::string& name) {
  if (box.prefix.empty()) {
    if (name == "metadata") return metadata_of(*this, box.model.info());
    if (name == "labels") return labels_of(*this, box.model.info());
    if (name == "last_predict_seconds") return last_predict_seconds;
    if (name == "device") return std::string(box.model.device());
  }
  const std::string path = box.prefix.empty() ? name : box.prefix + "." + name;
  const auto& tensors = box.model.tensors();
  if (std::any_of(tensors.begin(), tensors.end(), [&](const StoredTensor& t) { return t.name == path; }))
    return ops.box(box.model.tensor(path));
  if (has_prefix(box.model, path)) return std::make_shared<ModelBox>(ModelBox{box.model, path});
  if (box.prefix.empty() && !tensors.empty()) ops.box(box.model.tensor(path));  // its error names close matches
  fail(ErrorKind::script, "the model has no property or weight '{}'", path);
}

Datum builtin_load_model(Call& c) {
  return std::make_shared<ModelBox>(ModelBox{Model::load(c.session.find_file(c.text(0)), c.session.options.load), ""});
}

namespace {

// The arguments from `first` on as inputs of the model, by position or label.
NamedValues inputs_of(Call& c, const Interface& interface, std::size_t first = 1) {
  NamedValues inputs;
  std::size_t next = 0;
  for (std::size_t i = first; i < c.args.size(); ++i) {
    const Feature* feature = nullptr;
    if (c.labels[i].empty()) {
      if (next < interface.inputs.size()) feature = &interface.inputs[next++];
    } else {
      for (const Feature& input : interface.inputs) feature = input.name == c.labels[i] ? &input : feature;
    }
    if (feature == nullptr) {
      std::string names;
      for (const Feature& input : interface.inputs) names += (names.empty() ? "" : ", ") + input.name;
      if (c.labels[i].empty())
        fail(ErrorKind::invalid_argument, "the model takes {} inputs: {}", interface.inputs.size(), names);
      fail(ErrorKind::invalid_argument, "the model has no input '{}'; it has: {}", c.labels[i], names);
    }
    inputs[feature->name] = feature_value(c.session, *feature, c.args[i]);
  }
  return inputs;
}

}  // namespace

Datum builtin_predict(Call& c) {
  const ModelBox& box = model_of(c.args[0]);
  const Interface& interface = box.model.interface();
  const NamedValues inputs = inputs_of(c, interface);
  const Datum start = builtin_now(c);
  const NamedValues outputs = box.model.predict(inputs);
  c.session.last_predict_seconds = *builtin_now(c).as<double>() - *start.as<double>();
  const auto scores = outputs.find(interface.predicted_probabilities);
  if (scores != outputs.end()) {
    if (scores->second.is_dict()) return probabilities(c.session, box.model.info(), scores->second.dict());
    return from_value(c.session, scores->second);
  }
  if (outputs.size() == 1) return from_value(c.session, outputs.begin()->second);
  auto object = std::make_shared<Object>();
  object->type = "Outputs";
  for (const Feature& feature : interface.outputs) {
    const auto found = outputs.find(feature.name);
    if (found != outputs.end()) object->fields.emplace_back(feature.name, from_value(c.session, found->second));
  }
  return object;
}

Datum builtin_profile(Call& c) {
  const ModelBox& box = model_of(c.args[0]);
  const NamedValues inputs = inputs_of(c, box.model.interface());
  State state = box.model.interface().states.empty() ? State() : box.model.make_state();
  const Profile measured = profile(box.model, inputs, {}, state.defined() ? &state : nullptr);
  double total = 0;
  for (const ProfileStep& step : measured.steps) total += step.seconds;
  std::vector<Datum> steps;
  for (const ProfileStep& step : measured.steps) {
    auto row = std::make_shared<Object>();
    row->type = "Step";
    row->fields = {{"op", step.op},
                   {"type", step.type},
                   {"kernel", step.kernel},
                   {"ms", step.seconds * 1e3},
                   {"share", total > 0 ? step.seconds / total : 0.0},
                   {"gflop", step.flops * 1e-9},
                   {"bytes", step.bytes},
                   {"roofline", step.roofline.value_or(0.0)}};
    steps.emplace_back(std::move(row));
  }
  auto object = std::make_shared<Object>();
  object->type = "Profile";
  object->fields = {{"ms", measured.predict_seconds * 1e3},
                    {"steps", c.session.array(std::move(steps), "list")},
                    {"report", profile_text(measured, true, 10)}};
  return object;
}

Datum builtin_compare(Call& c) {
  const ModelBox& box = model_of(c.args[0]);
  const bool pair = c.has(1) && c.args[1].as<std::shared_ptr<ModelBox>>() != nullptr;
  CompareOptions options;
  options.function = box.model.options().function;
  options.threads = box.model.options().threads;
  options.inputs = {inputs_of(c, box.model.interface(), pair ? 2 : 1)};
  const CompareReport report = pair ? compare(box.model.info().path, model_of(c.args[1]).model.info().path, options)
                                    : compare(box.model.info().path, options);
  const auto texts = [&](const std::vector<std::string>& names) {
    return c.session.array({names.begin(), names.end()}, "list");
  };
  double psnr = std::numeric_limits<double>::infinity();
  double cosine = 1;
  for (const ComparedOutput& output : report.outputs) {
    psnr = std::min(psnr, output.accuracy.psnr);
    cosine = std::min(cosine, output.accuracy.cosine);
  }
  auto object = std::make_shared<Object>();
  object->type = "Comparison";
  object->fields = {{"passed", report.passed},
                    {"psnr", psnr},
                    {"cosine", cosine},
                    {"first_op", report.first_op},
                    {"reason", report.reason},
                    {"keep", texts(report.keep)},
                    {"op_selector", report.op_selector},
                    {"report", to_text(report)}};
  return object;
}

Datum builtin_load_image(Call& c) { return std::make_shared<ImageBox>(ImageBox{load_image(c.session.find_file(c.text(0)))}); }

Datum builtin_preprocess(Call& c) {
  const auto* image = c.args[0].as<std::shared_ptr<ImageBox>>();
  if (image == nullptr) fail(ErrorKind::invalid_argument, "preprocess takes an image, this is {}", type_name(c.args[0]));
  Preprocess options;
  static constexpr std::string_view order[] = {"size", "mean", "std"};
  for (std::size_t i = 1; i < c.args.size(); ++i) {
    const std::string label = c.labels[i].empty() ? std::string(order[i - 1]) : c.labels[i];
    if (label == "size") {
      options.size = c.integer(i);
      if (options.size < 1 || options.size > 16384)
        fail(ErrorKind::invalid_argument, "preprocess: a size of {} pixels", options.size);
      options.short_side = (options.size * 256 + 112) / 224;
    } else if (label == "mean" || label == "std") {
      const std::vector<Datum> values = c.session.elements(c.args[i], "preprocess");
      if (values.size() != 3) fail(ErrorKind::invalid_argument, "preprocess: {} needs three numbers", label);
      for (std::size_t k = 0; k < 3; ++k) {
        const double value = c.session.number(values[k], "a channel's value");
        if (label == "std" && value == 0) fail(ErrorKind::invalid_argument, "preprocess: a std of zero");
        (label == "mean" ? options.mean : options.std)[k] = static_cast<float>(value);
      }
    } else {
      fail(ErrorKind::invalid_argument, "preprocess has no option '{}'; it has: size, mean, std", label);
    }
  }
  auto cropped = std::make_shared<Image>(crop_for_model((*image)->image, options));
  TensorPtr result = c.ops().box(normalize(*cropped, options));
  result->pixels = cropped;
  return result;
}

Datum builtin_get_tensor(Call& c) { return c.ops().box(model_of(c.args[0]).model.tensor(c.text(1))); }
Datum builtin_num_tensors(Call& c) { return iz(model_of(c.args[0]).model.tensors().size()); }
Datum builtin_tensor_names(Call& c) {
  std::vector<std::string> names;
  for (const StoredTensor& t : model_of(c.args[0]).model.tensors()) names.push_back(t.name);
  std::sort(names.begin(), names.end());
  return c.session.array({names.begin(), names.end()}, "list");
}

Datum builtin_save_model(Call& c) {
  const std::string path = c.text(1);
  const std::size_t dot = path.rfind('.');
  const std::string extension = dot == std::string::npos ? "" : path.substr(dot);
  if (extension == ".mlpackage" || extension == ".mlmodelc") {
    const auto write = extension == ".mlpackage" ? format::write_mlpackage : format::write_mlmodelc;
    if (const auto* box = c.args[0].as<std::shared_ptr<ModelBox>>()) {
      write((*box)->model.impl().model, path);
    } else {
      write(export_program(c.session, c.args[0]), path);
    }
    return {};
  }
  if (extension == ".gguf") fail(ErrorKind::unsupported, "save_model does not write .gguf; .safetensors and .mlpackage are");
  if (extension != ".safetensors") {
    fail(ErrorKind::invalid_argument,
         "save_model: the file name must end in .safetensors, .mlpackage or .mlmodelc, this is '{}'", path);
  }
  std::vector<std::pair<std::string, Tensor>> tensors;
  std::size_t steps = 0;
  if (const auto* object = c.args[0].as<ObjectPtr>()) {
    collect(**object, "", tensors, steps, 0);
  } else {
    for (const StoredTensor& t : model_of(c.args[0]).model.tensors()) tensors.emplace_back(t.name, t.read());
  }
  if (tensors.empty()) fail(ErrorKind::invalid_argument, "save_model: there are no tensors in this {}", type_name(c.args[0]));
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  format::write_safetensors(tensors, path);
  return {};
}

// u32 rank, u32 extents, u32 element size, elements; little endian.
Datum builtin_save(Call& c) {
  const Tensor t = c.tensor(0)->data;
  if (t.dtype() != DType::f16 && t.dtype() != DType::f32)
    fail(ErrorKind::invalid_argument, "save writes float16 and float32, this is {}", name(t.dtype()));
  std::vector<std::uint32_t> header = {static_cast<std::uint32_t>(t.rank())};
  for (const std::int64_t extent : t.shape()) header.push_back(checked_cast<std::uint32_t>(extent, "an extent"));
  header.push_back(static_cast<std::uint32_t>(bits(t.dtype()) / 8));
  write_file(c.text(1), {std::as_bytes(std::span(header)), std::span(t.data(), t.bytes())});
  return {};
}

Datum builtin_load(Call& c) {
  const std::string path = c.session.find_file(c.text(0));
  return within([&] { return path; },
                [&]() -> Datum {
                  const auto file = FileBytes::open(path, true);
                  const auto bytes = file->bytes();
                  const auto word = [&](std::uint64_t i) {
                    check_range(i * 4, 4, bytes.size(), "the header");
                    std::uint32_t value = 0;
                    std::memcpy(&value, bytes.data() + i * 4, 4);
                    return value;
                  };
                  const std::uint32_t rank = word(0);
                  if (rank > 32) fail(ErrorKind::bad_file, "a tensor of {} axes", rank);
                  Shape shape;
                  for (std::uint32_t i = 0; i < rank; ++i) shape.push_back(word(i + 1));
                  const std::uint32_t size = word(rank + 1);
                  if (size != 2 && size != 4) fail(ErrorKind::bad_file, "elements of {} bytes", size);
                  const DType dtype = size == 2 ? DType::f16 : DType::f32;
                  const std::size_t data = (rank + 2) * std::size_t{4};
                  const std::size_t count = packed_bytes(dtype, element_count(shape));
                  if (bytes.size() - data != count)
                    fail(ErrorKind::bad_file, "{} bytes of elements, the shape needs {}", bytes.size() - data, count);
                  Tensor out(dtype, shape);
                  if (count != 0) std::memcpy(out.mutable_data(), bytes.data() + data, count);
                  return c.ops().box(std::move(out));
                });
}

}  // namespace tl::lang
