#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <chrono>
#include <random>

#include "format/format.hpp"
#include "ir/verify.hpp"
#include "scratch.hpp"

// Damaged copies of every committed model file: an error or a model, in bounded time and memory.
//   TL_MUTANTS=all tl_tests --gtest_filter='Mutants.*'   every truncation and every bit, rather than a sample (minutes)
namespace tl::format {
namespace {

namespace fs = std::filesystem;
using test::data_file;
using test::Scratch;

struct Tally {
  std::size_t mutants = 0, refused = 0;
  double slowest = 0;
};

double peak_mebibytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

// Loads a model as a program does: description, weights, verified program.
void load(const std::string& path) {
  const ir::Model model = read_model(path);
  for (const StoredTensor& tensor : model.tensors) {
    if (element_count(tensor.shape) <= (std::int64_t{1} << 22)) tensor.read();
  }
  if (model.program != nullptr) ir::verify(*model.program);
}

void attempt(const std::string& path, const std::string& what, Tally& tally) {
  const auto start = std::chrono::steady_clock::now();
  try {
    load(path);
  } catch (const Error& error) {
    ++tally.refused;
    EXPECT_NE(error.kind(), ErrorKind::internal) << what << ": " << error.what();
    EXPECT_FALSE(error.message().empty()) << what;
  } catch (const std::exception& error) {
    ADD_FAILURE() << what << ": " << error.what();
  }
  ++tally.mutants;
  tally.slowest = std::max(tally.slowest, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

bool everything() {
  const char* wanted = std::getenv("TL_MUTANTS");
  return wanted != nullptr && std::string_view(wanted) == "all";
}

// `part` is the damaged file inside the model at `model`.
void mutate(const std::string& model, const std::string& part, Tally& tally) {
  const std::string bytes = read_text(part);
  const auto write = [&](std::string_view text) {
    std::ofstream(part, std::ios::binary | std::ios::trunc).write(text.data(), static_cast<std::streamsize>(text.size()));
  };
  std::mt19937 random(7);
  const bool all = everything() && bytes.size() <= 20000;
  const std::size_t cuts = all ? bytes.size() : std::min<std::size_t>(bytes.size(), 12);
  for (std::size_t i = 0; i < cuts; ++i) {
    const std::size_t size = all ? i : i < 4 ? i : random() % bytes.size();
    write(std::string_view(bytes).substr(0, size));
    attempt(model, fmt::format("{} cut to {} bytes", part, size), tally);
  }
  const std::size_t flips = all ? bytes.size() * 8 : 24;
  for (std::size_t i = 0; i < flips; ++i) {
    // Half of the sample falls on the first bytes, where counts and lengths stand.
    const std::size_t bit = all ? i : random() % (8 * (i % 2 == 0 ? std::min<std::size_t>(bytes.size(), 256) : bytes.size()));
    std::string mutant = bytes;
    mutant[bit / 8] = static_cast<char>(mutant[bit / 8] ^ (1 << (bit % 8)));
    if (i % 3 == 2) mutant[bit / 8] = '\xff';
    write(mutant);
    attempt(model, fmt::format("{} with bit {} changed", part, bit), tally);
  }
  write(bytes);
}

std::vector<fs::path> committed_models() {
  std::vector<fs::path> found;
  for (auto entry = fs::recursive_directory_iterator(data_file("")); entry != fs::recursive_directory_iterator(); ++entry) {
    const std::string kind = entry->path().extension().string();
    if (kind == ".mlpackage" || kind == ".mlmodelc") entry.disable_recursion_pending();
    if (kind == ".mlpackage" || kind == ".mlmodelc" || kind == ".mlmodel" || kind == ".gguf" ||
        (kind == ".safetensors" && entry->file_size() < 100'000))
      found.push_back(entry->path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

TEST(Mutants, OfEveryCommittedModel) {
  const Scratch scratch;
  Tally tally;
  double largest = 0;
  const auto models = committed_models();
  EXPECT_GT(models.size(), 20U);
  load(models.front().string());
  const double before = peak_mebibytes();
  for (const fs::path& model : models) {
    const std::string copy = scratch / "model" + model.extension().string();
    fs::copy(model, copy, fs::copy_options::recursive);
    if (fs::is_directory(copy)) {
      for (const auto& entry : fs::recursive_directory_iterator(copy)) {
        if (!entry.is_regular_file()) continue;
        largest = std::max(largest, static_cast<double>(entry.file_size()) / (1 << 20));
        mutate(copy, entry.path().string(), tally);
      }
    } else {
      largest = std::max(largest, static_cast<double>(fs::file_size(copy)) / (1 << 20));
      mutate(copy, copy, tally);
    }
    fs::remove_all(copy);
  }
  std::printf("%zu mutants, %zu refused, slowest %.0f ms, %.0f MiB more than before\n", tally.mutants, tally.refused,
              tally.slowest * 1e3, peak_mebibytes() - before);
  EXPECT_GT(tally.refused, tally.mutants / 4);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(tally.slowest, 5);  // a second on a machine of its own
  EXPECT_LT(peak_mebibytes() - before, 64 + 2 * largest);
#endif
}

// What is no regular file is refused, not waited for.
TEST(Mutants, PipesAndFoldersInPlaceOfFiles) {
  const std::string package = data_file("models/branches.mlpackage");
  for (const char* part :
       {"Manifest.json", "Data/com.apple.CoreML/model.mlmodel", "Data/com.apple.CoreML/weights/weight.bin"}) {
    for (const bool pipe : {true, false}) {
      const Scratch scratch;
      const std::string copy = scratch / "m.mlpackage";
      fs::copy(package, copy, fs::copy_options::recursive);
      fs::remove(copy + "/" + part);
      if (pipe) {
        ASSERT_EQ(mkfifo((copy + "/" + part).c_str(), 0600), 0);
      } else {
        fs::create_directory(copy + "/" + part);
      }
      EXPECT_NE(test::error_of([&] { load(copy); }), "") << part << (pipe ? " as a pipe" : " as a folder");
    }
  }
  const Scratch scratch;
  for (const char* name : {"x.gguf", "x.safetensors", "x.mlmodel"}) {
    ASSERT_EQ(mkfifo((scratch / name).c_str(), 0600), 0);
    EXPECT_NE(test::error_of([&] { load(scratch / name); }), "") << name;
  }
}

}  // namespace
}  // namespace tl::format
