#pragma once

#include <fmt/core.h>

#include <utility>

#include "tensorlogic/error.hpp"

namespace tl {

// Throws Error{kind} with a formatted message and no place; the callers around add theirs.
template <class... Args>
[[noreturn]] void fail(ErrorKind kind, fmt::format_string<Args...> text, Args&&... args) {
  throw Error(kind, fmt::format(text, std::forward<Args>(args)...));
}

// Runs `body`; an Error that leaves it is rethrown with `place()` put before its path. `place` is called on errors only.
template <class Place, class Body>
decltype(auto) within(Place&& place, Body&& body) {
  try {
    return std::forward<Body>(body)();
  } catch (const Error& error) {
    throw error.within(place());
  }
}

}  // namespace tl
