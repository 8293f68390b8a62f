#include <fmt/format.h>

#include <memory>

#include "base/text.hpp"
#include "cli/output.hpp"

// Scripts for shells, made from the very options that the parser holds.
namespace tl::cli {
namespace {

constexpr const char* footer = R"(EXAMPLES
  tl completion bash > ~/.local/share/bash-completion/completions/tl
  tl completion zsh > "${fpath[1]}/_tl"
  tl completion fish > ~/.config/fish/completions/tl.fish)";

std::vector<std::string> option_names(Command app) {
  std::vector<std::string> names;
  for (const Option option : app.options()) {
    for (const std::string& name : option.long_names()) names.push_back("--" + name);
  }
  return names;
}

// Text inside single quotes of a shell.
std::string shell_text(std::string_view text) {
  std::string result;
  for (const char c : text) result += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return result;
}

std::string bash(Command app) {
  std::vector<std::string> names;
  std::string cases;
  for (const Command command : app.commands()) {
    names.push_back(command.name());
    cases += fmt::format("    {}) words='{}' ;;\n", command.name(), joined(option_names(command), " "));
  }
  return fmt::format(R"(_tl() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" words=''
  case "${{COMP_WORDS[1]}}" in
{}    *) words='{} {}' ;;
  esac
  if [[ $COMP_CWORD -gt 1 && $word != -* ]]; then
    compopt -o filenames 2>/dev/null
    COMPREPLY=($(compgen -f -- "$word"))
  else
    COMPREPLY=($(compgen -W "$words" -- "$word"))
  fi
}}
complete -F _tl tl
)",
                     cases, joined(names, " "), joined(option_names(app), " "));
}

std::string zsh(Command app) {
  std::string commands, cases;
  for (const Command command : app.commands()) {
    commands += fmt::format("    '{}:{}'\n", command.name(), shell_text(command.description()));
    cases += fmt::format("    {}) _arguments '*:file:_files' {} ;;\n", command.name(), joined(option_names(command), " "));
  }
  return fmt::format(R"(#compdef tl
_tl() {{
  local -a commands
  commands=(
{}  )
  if (( CURRENT == 2 )); then
    _describe command commands
    _arguments {}
    return
  fi
  case $words[2] in
{}  esac
}}
_tl "$@"
)",
                     commands, joined(option_names(app), " "), cases);
}

std::string fish(Command app) {
  std::string text;
  for (const std::string& name : option_names(app)) text += fmt::format("complete -c tl -l {}\n", name.substr(2));
  for (const Command command : app.commands()) {
    text += fmt::format("complete -c tl -n __fish_use_subcommand -f -a {} -d '{}'\n", command.name(),
                        shell_text(command.description()));
    for (const Option option : command.options()) {
      for (const std::string& name : option.long_names()) {
        text += fmt::format("complete -c tl -n '__fish_seen_subcommand_from {}' -l {} -d '{}'\n", command.name(), name,
                            shell_text(option.description()));
      }
    }
  }
  return text;
}

}  // namespace

void add_completion(Command app, Context& context) {
  const Command command = app.add_command("completion", "Print a completion script for a shell", footer);
  auto shell = std::make_shared<std::string>();
  command.add_option("SHELL", *shell, "bash, zsh or fish").required().one_of({"bash", "zsh", "fish"});
  command.set_action(context, [app, shell] {
    print(*shell == "bash" ? bash(app) : *shell == "zsh" ? zsh(app) : fish(app));
    return int{ok};
  });
}

}  // namespace tl::cli
