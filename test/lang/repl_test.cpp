#include "lang/repl.hpp"

#include <gtest/gtest.h>

namespace {

TEST(Language, TheReplReadsOnWhileABracketIsOpen) {
  std::string out;
  const tl::lang::Sink sink = [&](std::string_view text) { out += text; };
  tl::lang::Options options;
  options.out = sink;
  tl::lang::Interpreter interpreter(options);
  tl::lang::Repl repl(interpreter, sink);
  EXPECT_EQ(repl.prompt(), "tl[1]> ");
  EXPECT_TRUE(repl.feed("fn f(x) {"));
  EXPECT_EQ(repl.prompt(), "   ... ");
  EXPECT_TRUE(repl.feed("x + 1 }"));
  EXPECT_TRUE(repl.feed("f(2)"));
  EXPECT_EQ(out, "3\n");
  EXPECT_TRUE(repl.feed("g"));
  EXPECT_NE(out.find("tl[3]:1:1: error: unknown name 'g'"), std::string::npos);
  EXPECT_FALSE(repl.feed("exit"));
}

}  // namespace
