#pragma once

#include "ir/text.hpp"
#include "ir/text_scanner.hpp"

namespace tl::ir {

inline constexpr int max_text_depth = 100;

// True for a word that starts a type: "tensor", "list", "fp16", ...
bool starts_type(std::string_view word) noexcept;
Type parse_type(TextScanner& scanner, int depth = 0);
// type(value): the parenthesized value too.
ConstantPtr parse_literal(TextScanner& scanner, const TextBlobReader& blobs);
// [a = type(value), ...]: after the opening bracket.
Attributes parse_attributes(TextScanner& scanner, const TextBlobReader& blobs);

}  // namespace tl::ir
