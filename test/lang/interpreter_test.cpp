#include "lang/interpreter.hpp"

#include <gtest/gtest.h>

#include "tensorlogic/error.hpp"

namespace {

using tl::lang::Interpreter;
using tl::lang::Options;

std::string run(const std::string& text, std::uint64_t fuel = 10'000'000) {
  std::string out;
  Options options;
  options.fuel = fuel;
  options.max_bytes = std::uint64_t{256} << 20;
  options.out = [&](std::string_view piece) { out += piece; };
  Interpreter interpreter(options);
  interpreter.run_source(text, "t.tl");
  return out;
}

std::string error_of(const std::string& text, std::uint64_t fuel = 10'000'000) {
  try {
    run(text, fuel);
  } catch (const tl::Error& error) {
    return error.what();
  }
  return "no error";
}

TEST(Language, NumbersPrintAsTheyRead) {
  EXPECT_EQ(run("print(1e-7, 0.1, 5.0, -2 ** 2, 2 ** 3 ** 2, -7 % 3, -7 / 2)"), "1e-7 0.1 5 -4 512 -1 -3\n");
  EXPECT_EQ(run("print(1.0 / 3, 1e16, 123456.0)"), "0.3333333333333333 1e16 123456\n");
  EXPECT_EQ(run("let t = [0.1, 65504.0]\nprint(t[0], t[1], t)"), "0.1 65500 [0.1000, 65504.0000]\n");
  EXPECT_EQ(run("print([-0.0, -0.00001])"), "[0.0000, 0.0000]\n");
  EXPECT_EQ(run("print(\"{:.2} {}\", 3.14159, [1, 2])"), "3.14 [1, 2]\n");
}

TEST(Language, NewlinesEndStatements) {
  EXPECT_EQ(run("let a = 1\n-2\nprint(a)"), "1\n");
  EXPECT_EQ(run("let a = 1 +\n 2\nprint(a)"), "3\n");
  EXPECT_EQ(run("let a = (1\n + 2)\nprint(a) # comment\nprint(a); print(a)"), "3\n3\n3\n");
  EXPECT_EQ(run("let x = [1.0, -1.0]\n  .relu()\nprint(x)"), "[1.0000, 0.0000]\n");
}

TEST(Language, ScopesAreLexical) {
  EXPECT_EQ(run("let x = 1\n{ let x = 2\n x = 3 }\nprint(x)"), "1\n");
  EXPECT_NE(error_of("fn f() { y }\nfn g() { let y = 1\n f() }\ng()").find("unknown name 'y'"), std::string::npos);
}

TEST(Language, StructsAndMethods) {
  EXPECT_EQ(run("struct P { x: int, y: int }\nimpl P { fn new(x: int) -> P { P { x: x, y: 2 } }\n fn sum(self) -> int { self.x "
                "+ self.y } }\n"
                "let p = P::new(5)\nprint(p.sum(), p)\np.x = 7\nprint(p.x)"),
            "7 P { x: 5, y: 2 }\n7\n");
  EXPECT_EQ(run("struct P { x: int, y: int }\nlet p = P { x: 1, y: 2 }\nprint(match p { P { x: 1, y: b } => b, _ => 0 })"),
            "2\n");
}

TEST(Language, IndexingAndAssignment) {
  EXPECT_EQ(run("let t = reshape(arange(6), [2, 3])\nt[0, 1] = 9\nt[1] = [7.0, 7.0, 7.0]\nprint(t, t[:, -1], t[0, 1:])"),
            "[[0.0000, 9.0000, 2.0000], [7.0000, 7.0000, 7.0000]] [2.0000, 7.0000] [9.0000, 2.0000]\n");
  EXPECT_EQ(run("let a = [1, 2, 3]\nlet b = a\nb[0] = 5\nprint(a, b, a[-1], a[:2])"), "[1, 2, 3] [5, 2, 3] 3 [1, 2]\n");
  EXPECT_EQ(run("let v = IntVec::new()\nv.push(4)\nv.push(5)\nprint(v, get(v, -1), len(v))"), "[4, 5] 5 2\n");
}

TEST(Language, ErrorsShowTheLineWithACaret) {
  EXPECT_EQ(error_of("let a = 1\nprint(foo)"), "t.tl:2:7: error: unknown name 'foo'\n    print(foo)\n          ^");
  EXPECT_EQ(error_of("let a = [1.0, 2.0]\nprint(a + [1.0, 2.0, 3.0])").substr(0, 16), "t.tl:2:9: error:");
  EXPECT_EQ(error_of("let a = )"), "t.tl:1:9: error: expected an expression, found ')'\n    let a = )\n            ^");
  const std::string two = error_of("print(a)\nprint(b, c)");
  EXPECT_NE(two.find("unknown name 'a'"), std::string::npos);
  EXPECT_NE(two.find("t.tl:2:10: error: unknown name 'c'"), std::string::npos);
  EXPECT_NE(error_of("let = 1\nlet b = 2\nfn (").find("t.tl:3:4"), std::string::npos);
}

TEST(Language, RefusesWhatIsWrong) {
  EXPECT_NE(error_of("fn f(a: int) { a }\nf(1, 2)").find("f takes 1 arguments, 2 are given"), std::string::npos);
  EXPECT_NE(error_of("tensor a: float17[2] = [1.0, 2.0]").find("unknown element type 'float17'"), std::string::npos);
  EXPECT_NE(error_of("tensor a: float16[2, 2] = [1.0, 2.0]").find("expected [2, 2]"), std::string::npos);
  EXPECT_NE(error_of("print(1 / 0)").find("division by zero"), std::string::npos);
  EXPECT_NE(error_of("print(9223372036854775807 + 1)").find("overflows"), std::string::npos);
  EXPECT_NE(error_of("print(\"{} {}\", 1)").find("more {} in the text"), std::string::npos);
  EXPECT_NE(error_of("fn f(a: float16[N], b: float16[N]) { a }\nf([1.0], [1.0, 2.0])").find("the dimension N is 2"),
            std::string::npos);
  EXPECT_NE(error_of("panic(\"no {}\", 3)").find("panic: no 3"), std::string::npos);
  EXPECT_NE(error_of("assert_eq(1, 2)").find("assertion failed"), std::string::npos);
  EXPECT_NE(error_of("let z = 3i").find("complex"), std::string::npos);
}

TEST(Language, HostileScriptsEndInErrors) {
  EXPECT_NE(error_of("loop { }", 1000).find("fuel"), std::string::npos);
  EXPECT_NE(error_of("fn f(n: int) { f(n + 1) }\nf(0)").find("error:"), std::string::npos);
  EXPECT_NE(error_of("zeros([100000, 100000])").find("memory limit"), std::string::npos);
  EXPECT_NE(error_of(std::string(100000, '(')).find("nested deeper"), std::string::npos);
  EXPECT_NE(error_of("print(" + std::string(100000, '-') + "1)").find("nested deeper"), std::string::npos);
  std::string chain = "1";
  for (int i = 0; i < 5000; ++i) chain += "+1";
  EXPECT_NE(error_of("print(" + chain + ")").find("in a row"), std::string::npos);
  EXPECT_NE(error_of("let a = [1.0]\na[5]").find("outside"), std::string::npos);
  EXPECT_NE(error_of("reshape(arange(4), [3])").find("do not fill"), std::string::npos);
  EXPECT_NE(error_of("let s = \"ab").find("never ends"), std::string::npos);
}

TEST(Language, LongChainsEndQuietly) {
  EXPECT_EQ(run("struct S<T> { f: T }\nlet head = S { f: 0 }\nlet cur = head\nfor i in range(100000) { cur.f = S { f: 0 }\n "
                "cur = cur.f }\nprint(1)",
                100'000'000)
                .size(),
            2U);
  EXPECT_EQ(run("let a = [\"x\"]\nfor i in range(100000) { a = [a] }\nprint(2)", 100'000'000), "2\n");
  EXPECT_NE(error_of("let v = IntVec::new()\nloop { v.push(1) }", 1'000'000'000).find("memory limit"), std::string::npos);
}

TEST(Language, SessionsPersist) {
  Interpreter interpreter;
  interpreter.run_source("let a = 2\nfn twice(x) { x * 2 }", "1");
  EXPECT_EQ(tl::lang::to_text(interpreter.evaluate("twice(a)", "2")), "4");
  EXPECT_THROW(interpreter.evaluate("twice(b)", "3"), tl::Error);
  EXPECT_EQ(tl::lang::to_text(interpreter.get("a")), "2");
  EXPECT_TRUE(tl::lang::needs_more_input("fn f() {"));
  EXPECT_FALSE(tl::lang::needs_more_input("f(1)"));
  EXPECT_FALSE(interpreter.complete("arg").empty());
}

TEST(Language, TestBlocksReport) {
  Interpreter interpreter;
  interpreter.run_source("test good { assert(1 < 2) }\ntest bad { assert(2 < 1) }", "t");
  const auto results = interpreter.run_tests();
  ASSERT_EQ(results.size(), 2U);
  EXPECT_TRUE(results[0].passed);
  EXPECT_FALSE(results[1].passed);
}

}  // namespace

namespace {

// One step of plain descent with rate 1 moves a weight by its gradient; compared with central differences of the same loss.
double gradient_gap(const std::string& loss) {
  const std::string text = "fn loss(w) { " + loss +
                           " }\n"
                           "tensor w: float32[2, 3] learnable = [[0.5, -0.3, 0.8], [1.1, 0.2, -0.7]]\n"
                           "let start = w\n"
                           "learn { objective: loss(w), optimizer: sgd(lr: 1.0), epochs: 1 }\n"
                           "let worst = 0.0\n"
                           "for i in range(2) { for j in range(3) {\n"
                           "  tensor up: float32[2, 3] = f32::zeros([2, 3])\n"
                           "  up[i, j] = 0.01\n"
                           "  let slope = (loss(start + up) - loss(start - up)) / 0.02\n"
                           "  worst = max(worst, abs((start - w)[i, j] - slope) as float)\n"
                           "} }\n"
                           "print(worst)";
  return std::stod(run(text, 1'000'000'000));
}

TEST(Language, GradientsAgreeWithDifferences) {
  for (const char* loss :
       {"mean(w * w)", "sum(tanh(w) / (w + 3.0))", "sum(sigmoid(w @ transpose(w)))", "sum(softmax(w)[:, 0] * w[:, 1])",
        "mean(exp(w) ** 2.0)", "sum(gelu(w) + silu(w) * sin(w))", "sum(einsum(\"ij,kj->ik\", w, w) * cos(w[0, 0]))",
        "sum(layer_norm(w) * w)", "sum(concat(w, w * w, 0) * concat(w, w, 0))", "sum(linear(w, w, [1.0, 2.0]) * 0.5)",
        "norm(reshape(w, [3, 2]) @ w)", "sum(embedding(w, [1, 1, 0]) ** 3.0)", "sum(max(w * w, 1))"}) {
    EXPECT_LT(gradient_gap(loss), 0.02) << loss;
  }
}

TEST(Language, LogicEndsOnCyclesAndRefusesWhatHasNoStrata) {
  const std::string graph = "relation E(a, b)\nP(X, Y) <- P(X, Z), E(Z, Y)\nP(X, Y) <- E(X, Y)\nE(n1, n2)\nE(n2, n1)\n";
  EXPECT_EQ(run(graph + "P(n1, n1)?"), "Query: P(n1, n1)\n  Found 1 solution(s)\n  Solution 1: Yes\n");
  EXPECT_EQ(run("relation A(x)\nrelation B(x)\nC(X) <- A(X), not B(X)\nA(u1)\nA(u2)\nB(u1)\nC(X)?"),
            "Query: C(X)\n  Found 1 solution(s)\n  Solution 1:\n    X = u2\n");
  EXPECT_NE(error_of("relation A(x)\nB(X) <- A(X), not B(X)\nA(u)\nB(X)?").find("own negation"), std::string::npos);
  EXPECT_NE(error_of("relation A(x)\nA(u, v)").find("takes 1 arguments"), std::string::npos);
}

}  // namespace
