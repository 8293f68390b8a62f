#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

// The parser of the command line as the commands see it. Its own headers take seconds to compile, so that options.cpp alone
// includes them.
namespace tl::cli {

struct Context;

// A handle: copies name the same option, which lives as long as its command. What changes it returns it, for chains.
class Option {
 public:
  explicit Option(CLI::Option* option) : option_(option) {}

  Option required() const;                                        // wrong usage without it
  Option hint(const char* text) const;                            // after the name in the help, for the type's name
  Option type(const char* name) const;                            // name of the type, in the help and in errors
  Option range(int least, int most) const;                        // both included
  Option range(double least, double most) const;                  // both included
  Option not_negative() const;                                    // a number from 0 on
  Option one_of(std::initializer_list<const char*> words) const;  // these words only
  Option byte_size() const;                                       // takes k, M, G (powers of 1000) and Ki, Mi, Gi
  Option repeated() const;                                        // one value each time that it is given; all are kept
  Option no_extra() const;                                        // words after its value are not its own
  Option split_at(char delimiter) const;                          // several values in one word
  Option needs(Option other) const;                               // wrong usage unless `other` is given
  Option excludes(Option other) const;                            // wrong usage when `other` is given
  const std::vector<std::string>& long_names() const;             // without the dashes
  const std::string& description() const;                         // as given to add_option
  bool operator==(const Option& other) const = default;

 private:
  CLI::Option* option_;
};

// A handle, as Option; the targets of its options must live until the command has run.
class Command {
 public:
  explicit Command(CLI::App* app) : app_(app) {}

  // A subcommand with its description and the text after its options (examples).
  Command add_command(const char* name, const char* description, const char* footer) const;

  // `names`: "NAME" for a place, "--name", or "-n,--name". The target keeps its value when the option is not given.
  Option add_option(const char* names, std::string& target, const char* description) const;
  Option add_option(const char* names, std::optional<std::string>& target, const char* description) const;
  Option add_option(const char* names, int& target, const char* description) const;
  Option add_option(const char* names, std::uint64_t& target, const char* description) const;
  Option add_option(const char* names, double& target, const char* description) const;
  Option add_option(const char* names, std::vector<std::string>& target, const char* description) const;
  Option add_option(const char* names, std::vector<int>& target, const char* description) const;
  Option add_flag(const char* names, bool& target, const char* description) const;
  void remove_option(const char* name) const;

  // What context.action becomes when this command is the one chosen.
  void set_action(Context& context, std::function<int()> action) const;

  std::string name() const;
  std::string description() const;
  std::vector<Command> commands() const;  // all subcommands, in the order in which they were added
  std::vector<Option> options() const;    // all, --help included
  std::vector<Option> given() const;      // by place on the command line, one for each value

 protected:
  CLI::App* app_;
};

// The command `tl` itself, which owns all others.
class Program : public Command {
 public:
  Program(const char* name, const char* description, const char* footer, const std::string& version);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // Runs the checks of all options. Empty when a command was chosen; otherwise the exit status, and what there is to say
  // (help, version, what is wrong) has been printed.
  std::optional<int> parse(int argc, char** argv) const;

 private:
  std::unique_ptr<CLI::App> owner_;
};

}  // namespace tl::cli
