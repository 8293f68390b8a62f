#pragma once

#include "cli/command.hpp"
#include "lang/interpreter.hpp"

namespace tl::cli {

// A session on the process's streams: answers on stdout, progress on stderr unless quiet, `input` from stdin.
lang::Options session_options(const Context& context, std::vector<std::string> args);

// Runs `body`; an error of a script is printed as it is, with its line and caret, and gives `failed`.
int guarded(const std::function<int()>& body);

}  // namespace tl::cli
