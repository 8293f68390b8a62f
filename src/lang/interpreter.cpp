#include "lang/interpreter.hpp"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "base/file.hpp"
#include "lang/interpreter_impl.hpp"
#include "lang/lexer.hpp"
#include "lang/parser.hpp"

namespace tl::lang {

namespace fs = std::filesystem;

Interpreter::Impl::Impl(Options given) : options(std::move(given)), random(options.seed) { start(); }

// Grants a run its fuel and finds how much stack it may use.
void Interpreter::Impl::start() {
  budget->fuel = options.fuel;
  budget->max_bytes = options.max_bytes;
  const char here = 0;
  stack_base = &here;
  std::size_t left = std::size_t{1} << 20;
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
    void* low = nullptr;
    std::size_t size = 0;
    if (pthread_attr_getstack(&attributes, &low, &size) == 0)
      left = static_cast<std::size_t>(&here - static_cast<const char*>(low));
    pthread_attr_destroy(&attributes);
  }
  stack_limit = std::min<std::size_t>(left / 2, std::size_t{16} << 20);
  call_depth = 0;
  frames.clear();
  frames.emplace_back();
  folders.clear();
  ops.recording = false;
}

void Interpreter::Impl::check_stack(const Place& place) {
  const char here = 0;
  const auto used = static_cast<std::size_t>(stack_base > &here ? stack_base - &here : &here - stack_base);
  if (used > stack_limit) throw make_error({diagnose(place, "nested too deeply (endless recursion?)")}, ErrorKind::limit);
}

std::string Interpreter::Impl::find_file(const std::string& file) const {
  if (file.empty() || file[0] == '/' || exists(file)) return file;
  if (!folders.empty() && exists(folders.back() + file)) return folders.back() + file;
  for (const std::string& folder : options.directories) {
    if (exists(folder + "/" + file)) return folder + "/" + file;
  }
  return file;
}

std::shared_ptr<Script> Interpreter::Impl::load(const std::string& text, const std::string& name) {
  auto script = parse(std::make_shared<Source>(Source{name, text}));
  const auto found = check_script(*script, *this);
  if (!found.empty()) throw make_error(found);
  scripts.push_back(script);
  return script;
}

void Interpreter::Impl::declare(const Script& script) {
  for (const StmtPtr& stmt : script.statements) {
    switch (stmt->kind) {
      case StmtKind::function: functions[stmt->text] = stmt->fn; break;
      case StmtKind::structure: structs[stmt->text] = stmt->structure; break;
      case StmtKind::implement:
        for (const auto& fn : stmt->methods) methods[stmt->text][fn->name] = fn;
        break;
      case StmtKind::test: tests.emplace_back(stmt->text, stmt.get()); break;
      case StmtKind::bench: benches.emplace_back(stmt->text, stmt.get()); break;
      default: break;
    }
  }
}

Datum Interpreter::Impl::run(const std::shared_ptr<Script>& script, bool main) {
  declare(*script);
  Datum last;
  const Stmt* entry = nullptr;
  for (const StmtPtr& stmt : script->statements) {
    if (stmt->kind == StmtKind::main) {
      entry = stmt.get();
      continue;
    }
    last = Datum();
    const Flow flow = run_statement(*stmt, &last);
    if (flow == Flow::return_) return last;
    if (flow != Flow::normal) fail_at(stmt->place, "'{}' outside of a loop", flow == Flow::break_ ? "break" : "continue");
  }
  if (entry != nullptr && main) {
    const Flow flow = run_block(entry->body, nullptr);
    if (flow == Flow::break_ || flow == Flow::continue_) fail_at(entry->place, "'break' or 'continue' outside of a loop");
  }
  return last;
}

void Interpreter::Impl::import(const std::string& file, const Place& place) {
  std::string path = file;
  if (!folders.empty() && file[0] != '/' && exists(folders.back() + file)) path = folders.back() + file;
  if (!exists(path)) path = find_file(file);
  if (!exists(path)) fail_at(place, "no file '{}' beside this script or in the working directory", file);
  std::error_code ignored;
  const std::string canonical = fs::weakly_canonical(path, ignored).string();
  if (!imported.insert(canonical).second) return;
  check_stack(place);
  const auto script = load(read_text(path, std::size_t{64} << 20), path);
  folders.push_back(fs::path(path).parent_path().string() + (path.find('/') == std::string::npos ? "" : "/"));
  run(script, false);
  folders.pop_back();
}

Interpreter::Interpreter(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Interpreter::~Interpreter() = default;

void Interpreter::run_file(const std::string& path) {
  const std::string text = read_text(path, std::size_t{64} << 20);
  impl_->start();
  const auto script = impl_->load(text, path);
  const std::size_t slash = path.rfind('/');
  impl_->folders.push_back(slash == std::string::npos ? "" : path.substr(0, slash + 1));
  impl_->run(script);
}

void Interpreter::run_source(const std::string& text, const std::string& name) { evaluate(text, name); }

Datum Interpreter::evaluate(const std::string& text, const std::string& name) {
  impl_->start();
  return impl_->run(impl_->load(text, name));
}

std::vector<Diagnostic> Interpreter::check(const std::string& text, const std::string& name) const {
  try {
    return check_script(*parse(std::make_shared<Source>(Source{name, text})), *impl_);
  } catch (const Error& error) {
    std::string message = error.message();
    if (message.starts_with("error: ")) message.erase(0, 7);
    return {Diagnostic{error.where(), message, ""}};
  }
}

std::vector<BlockResult> Interpreter::run_tests() {
  std::vector<BlockResult> results;
  for (const auto& [name, stmt] : impl_->tests) {
    BlockResult result{name, true, "", 0};
    impl_->start();
    const auto start = std::chrono::steady_clock::now();
    try {
      impl_->run_block(stmt->body, nullptr);
    } catch (const Error& error) {
      result.passed = false;
      result.error = error.what();
    }
    result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    results.push_back(std::move(result));
  }
  return results;
}

std::vector<BlockResult> Interpreter::run_benches() {
  std::vector<BlockResult> results;
  for (const auto& [name, stmt] : impl_->benches) {
    impl_->start();
    const auto start = std::chrono::steady_clock::now();
    impl_->run_block(stmt->body, nullptr);
    results.push_back({name, true, "", std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()});
  }
  return results;
}

Datum Interpreter::get(const std::string& name) const {
  const auto found = impl_->globals.find(name);
  if (found == impl_->globals.end()) fail(ErrorKind::not_found, "no variable '{}'", name);
  return found->second;
}

void Interpreter::set(const std::string& name, Datum value) { impl_->globals[name] = std::move(value); }
void Interpreter::set(const std::string& name, const Tensor& value) { impl_->globals[name] = impl_->ops.box(value); }

std::vector<std::string> Interpreter::variables() const {
  std::vector<std::string> names;
  for (const auto& [name, value] : impl_->globals) names.push_back(name);
  return names;
}

void Interpreter::clear() {
  Options options = impl_->options;
  impl_ = std::make_unique<Impl>(std::move(options));
}

std::vector<std::string> Interpreter::complete(const std::string& prefix) const {
  std::set<std::string> names;
  const auto add = [&](std::string_view name) {
    if (name.starts_with(prefix)) names.emplace(name);
  };
  for (const auto word : keywords()) add(word);
  for (const auto& [name, builtin] : builtins()) add(name);
  for (const auto& [name, value] : impl_->globals) add(name);
  for (const auto& [name, fn] : impl_->functions) add(name);
  for (const auto& [name, decl] : impl_->structs) add(name);
  for (const auto& [name, relation] : impl_->knowledge.relations) add(name);
  return {names.begin(), names.end()};
}

bool needs_more_input(const std::string& text) { return is_incomplete(text); }

}  // namespace tl::lang
