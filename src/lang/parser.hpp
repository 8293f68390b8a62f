#pragma once

#include "lang/ast.hpp"

namespace tl::lang {

// Parses a whole source. Throws Error{script} with every syntax error found (the parser resumes at the next statement).
std::shared_ptr<Script> parse(std::shared_ptr<const Source> source);

// True when a bracket or a comment is still open at the end (a prompt should read on).
bool is_incomplete(const std::string& text);

}  // namespace tl::lang
