#include "cli/options.hpp"

#include <fmt/core.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include "cli/command.hpp"
#include "cli/output.hpp"

namespace tl::cli {

Option Option::required() const { return Option(option_->required()); }
Option Option::hint(const char* text) const { return Option(option_->option_text(text)); }
Option Option::type(const char* name) const { return Option(option_->type_name(name)); }
Option Option::range(int least, int most) const { return Option(option_->check(CLI::Range(least, most))); }
Option Option::range(double least, double most) const { return Option(option_->check(CLI::Range(least, most))); }
Option Option::not_negative() const { return Option(option_->check(CLI::NonNegativeNumber)); }
Option Option::one_of(std::initializer_list<const char*> words) const {
  return Option(option_->check(CLI::IsMember(std::vector<std::string>(words.begin(), words.end()))));
}
Option Option::byte_size() const { return Option(option_->transform(CLI::AsSizeValue(true))); }
Option Option::repeated() const { return Option(option_->expected(1)->take_all()); }
Option Option::no_extra() const { return Option(option_->allow_extra_args(false)); }
Option Option::split_at(char delimiter) const { return Option(option_->delimiter(delimiter)); }
Option Option::needs(Option other) const { return Option(option_->needs(other.option_)); }
Option Option::excludes(Option other) const { return Option(option_->excludes(other.option_)); }
const std::vector<std::string>& Option::long_names() const { return option_->get_lnames(); }
const std::string& Option::description() const { return option_->get_description(); }

Command Command::add_command(const char* name, const char* description, const char* footer) const {
  CLI::App* command = app_->add_subcommand(name, description);
  command->footer(footer);
  command->fallthrough();
  return Command(command);
}

Option Command::add_option(const char* names, std::string& target, const char* description) const {
  return Option(app_->add_option(names, target, description));
}
Option Command::add_option(const char* names, std::optional<std::string>& target, const char* description) const {
  return Option(app_->add_option(names, target, description));
}
Option Command::add_option(const char* names, int& target, const char* description) const {
  return Option(app_->add_option(names, target, description));
}
Option Command::add_option(const char* names, std::uint64_t& target, const char* description) const {
  return Option(app_->add_option(names, target, description));
}
Option Command::add_option(const char* names, double& target, const char* description) const {
  return Option(app_->add_option(names, target, description));
}
Option Command::add_option(const char* names, std::vector<std::string>& target, const char* description) const {
  return Option(app_->add_option(names, target, description));
}
Option Command::add_option(const char* names, std::vector<int>& target, const char* description) const {
  return Option(app_->add_option(names, target, description));
}
Option Command::add_flag(const char* names, bool& target, const char* description) const {
  return Option(app_->add_flag(names, target, description));
}
void Command::remove_option(const char* name) const { app_->remove_option(app_->get_option(name)); }

void Command::set_action(Context& context, std::function<int()> action) const {
  app_->callback([&context, action = std::move(action)] { context.action = action; });
}

std::string Command::name() const { return app_->get_name(); }
std::string Command::description() const { return app_->get_description(); }

std::vector<Command> Command::commands() const {
  std::vector<Command> result;
  for (CLI::App* app : app_->get_subcommands([](CLI::App*) { return true; })) result.emplace_back(app);
  return result;
}

std::vector<Option> Command::options() const {
  std::vector<Option> result;
  for (CLI::Option* option : app_->get_options()) result.emplace_back(option);
  return result;
}

std::vector<Option> Command::given() const {
  std::vector<Option> result;
  for (CLI::Option* option : app_->parse_order()) result.emplace_back(option);
  return result;
}

Program::Program(const char* name, const char* description, const char* footer, const std::string& version)
    : Command(new CLI::App(description, name)), owner_(app_) {
  app_->footer(footer);
  app_->set_version_flag("--version", version);
  app_->require_subcommand(1);
  app_->get_formatter()->column_width(28);
}

Program::~Program() = default;

std::optional<int> Program::parse(int argc, char** argv) const {
  try {
    app_->parse(argc, argv);
  } catch (const CLI::Success& success) {
    return app_->exit(success);
  } catch (const CLI::ParseError& error) {
    const auto chosen = app_->get_subcommands();
    const std::string unknown = argc > 1 && argv[1][0] != '-' && chosen.empty() ? argv[1] : "";
    error_line(unknown.empty() ? error.what() : fmt::format("no command '{}'", unknown));
    fmt::print(stderr, "Run `tl{}{} --help` for how it is used.\n", chosen.empty() ? "" : " ",
               chosen.empty() ? "" : chosen.front()->get_name());
    return usage;
  }
  return std::nullopt;
}

}  // namespace tl::cli
