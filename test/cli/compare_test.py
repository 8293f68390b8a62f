"""tl compare, split and extract from outside: each model of test/data/compare breaks in float16 in a known way."""

import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TL = os.environ.get("TL", str(ROOT / "build" / "bin" / "tl"))
MODELS = ROOT / "test" / "data" / "compare"

# The op that breaks, and what has to stay in float32 with it: the values that float16 cannot hold, and their readers.
BROKEN = {
    "softmax_by_hand": ("exponents", ["exponents", "total", "probabilities"]),
    "masks_added": ("causal_mask", ["padding_mask", "causal_mask", "attention"]),
    "variance_overflow": ("squares", ["squares", "mean_of_squares"]),
    "variance_cancels": ("squares", ["squares", "mean_of_squares", "mean", "square_of_mean", "variance"]),
    "small_epsilon": ("squares", ["squares", "variance", "guarded", "scale"]),
    "long_sum": ("total", ["total", "scaled"]),
    "large_norm": ("sum_of_squares", ["sum_of_squares", "scale"]),
    "divided_by_zero": ("product", ["product", "divisor", "ratio"]),
    "index_in_half": ("position", ["position", "moved", "index"]),
    "large_scores": ("scores", ["scores", "scaled"]),
    "loop_adds": ("step", ["loop", "step", "scaled"]),
}


def tl(*args):
    return subprocess.run([TL, *map(str, args)], capture_output=True, text=True, timeout=120)


class Compare(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.dir = Path(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def report(self, code, *args):
        done = tl("compare", *args, "--json")
        self.assertEqual(done.returncode, code, done.stderr)
        return json.loads(done.stdout)

    def test_each_break_is_found_and_fixed(self):
        for name, (first, keep) in BROKEN.items():
            with self.subTest(name):
                model, values = MODELS / f"{name}.mlpackage", MODELS / f"{name}.npz"
                fixed = self.dir / f"{name}.mlpackage"
                report = self.report(1, model, "--in", values, "--fix", fixed)
                self.assertEqual(report["first_op"], first)
                self.assertEqual(sorted(report["keep"]), sorted(keep))
                self.assertTrue(report["keep_verified"] and report["keep_minimal"])
                for op in keep:
                    self.assertIn(f'"{op}"', report["op_selector"])
                for output in report["fixed_outputs"]:
                    self.assertTrue(output["passed"], output)
                # NumPy's numbers, which the model as it was misses.
                check = ["--in", values, "--assert", values, "--rtol", "0.01", "--atol", "0.002"]
                self.assertEqual(tl("predict", fixed, *check).returncode, 0, tl("predict", fixed, *check).stderr)
                self.assertEqual(tl("predict", model, *check, "--device", "reference").returncode, 0 if name == "small_epsilon" else 1)
                # What was fixed needs no fix.
                self.assertTrue(self.report(0, fixed, "--in", values)["passed"])

    def test_float32_that_breaks_itself(self):
        report = self.report(1, MODELS / "epsilon_lost.mlpackage")
        self.assertTrue(report["float32_breaks"])
        self.assertEqual((report["first_op"], report["keep"]), ("ratio", []))

    def test_an_overflow_that_does_no_harm(self):
        report = self.report(0, MODELS / "harmless.mlpackage", "--in", MODELS / "harmless.npz")
        overflowed = {op["op"]: op["overflowed"] for op in report["ops"]}
        self.assertGreater(overflowed["cube"], 0)
        self.assertIsNone(report["first_op"])

    def test_states_branches_and_palettes(self):
        report = self.report(0, ROOT / "test/data/models/branches.mlpackage", "--samples", "3")
        self.assertEqual(report["runs"], 3)
        self.assertIn("relu", {op["type"] for op in report["ops"]})

    def test_targets(self):
        model, values = MODELS / "variance_overflow.mlpackage", MODELS / "variance_overflow.npz"
        self.assertTrue(self.report(1, model, "--in", values, "--target-cosine", "0.999")["keep"])
        report = self.report(1, model, "--in", values, "--target-psnr", "60")
        self.assertGreaterEqual(report["kept_outputs"][0]["psnr"], 60)
        self.assertEqual(self.report(1, model, "--in", values, "--no-search")["keep"], [])
        self.assertEqual(tl("compare", model, "--target-psnr", "-3").returncode, 2)

    def test_text(self):
        page = self.dir / "report.html"
        done = tl("compare", MODELS / "long_sum.mlpackage", "--in", MODELS / "long_sum.npz", "--html", page)
        self.assertEqual(done.returncode, 1)
        self.assertIn("First to break: 'total': 1 of 1 values overflow to infinity", done.stdout)
        self.assertIn("FP16ComputePrecision", done.stdout)
        self.assertIn("First to break: total", page.read_text())

    def test_another_model(self):
        model, values = MODELS / "variance_overflow.mlpackage", MODELS / "variance_overflow.npz"
        fixed = self.dir / "fixed.mlpackage"
        self.report(1, model, "--in", values, "--fix", fixed)
        same = self.report(0, model, model)
        self.assertEqual([op["total"]["equal"] == op["total"]["count"] for op in same["ops"]], [True] * len(same["ops"]))
        apart = self.report(1, model, fixed, "--in", values)
        self.assertEqual(apart["first_op"], "squares")
        self.assertEqual(apart["ops"][0]["op"], "h")
        self.assertIsNone(apart["ops"][0]["added"]["snr"])

    def test_recorded_values(self):
        fixed, values = self.dir / "fixed.mlpackage", MODELS / "large_norm.npz"
        model = MODELS / "large_norm.mlpackage"
        report = self.report(1, model, values, "--in", values)
        self.assertEqual([output["name"] for output in report["outputs"]], ["normalized"])
        self.report(1, model, "--in", values, "--fix", fixed)
        self.assertGreater(self.report(0, fixed, values, "--in", values)["outputs"][0]["psnr"], 60)
        self.assertEqual(tl("compare", model, MODELS / "long_sum.npz").returncode, 2)

    def test_split_and_extract(self):
        model, values = MODELS / "softmax_by_hand.mlpackage", MODELS / "softmax_by_hand.npz"
        done = tl("split", model, self.dir / "parts", "--at", "logits", "--at", "total", "--json")
        self.assertEqual(done.returncode, 0, done.stderr)
        report = json.loads(done.stdout)
        self.assertEqual([part["inputs"] for part in report["parts"]], [["x"], ["logits"], ["exponents", "total"]])
        self.assertEqual([part["outputs"] for part in report["parts"]], [["logits"], ["exponents", "total"], ["probabilities"]])
        whole, parts = self.dir / "whole.npz", self.dir / "pipeline.npz"
        for path, out in ((model, whole), (report["pipeline"], parts)):
            self.assertEqual(tl("predict", path, "--in", values, "--out", out, "--device", "reference").returncode, 0)
        self.assertEqual(tl("predict", report["pipeline"], "--in", values, "--assert", whole, "--atol", "0", "--rtol", "0").returncode, 0)
        self.assertEqual(tl("split", model, self.dir / "more", "--parts", "3").returncode, 0)
        self.assertEqual(tl("split", model, self.dir / "none", "--at", "nosuch").returncode, 4)
        self.assertFalse((self.dir / "none").exists())
        self.assertEqual(tl("split", model, self.dir / "none").returncode, 2)

        part = self.dir / "part.mlpackage"
        self.assertEqual(tl("extract", model, part, "--outputs", "exponents").returncode, 0)
        logits = self.dir / "logits.json"
        logits.write_text(json.dumps([[i / 10 for i in range(16)]] * 2))
        self.assertEqual(tl("extract", model, part, "--inputs", "logits", "--outputs", "exponents,total").returncode, 0)
        done = tl("predict", part, "--in", f"logits={logits}", "--json")
        total = json.loads(done.stdout)["total"][0][0]
        self.assertAlmostEqual(total, sum(2.718281828 ** (i / 10) for i in range(16)), delta=0.05)
        self.assertEqual(tl("extract", model, part, "--inputs", "total", "--outputs", "probabilities").returncode, 2)
        self.assertEqual(tl("extract", model, part, "--outputs", "nosuch").returncode, 4)


if __name__ == "__main__":
    unittest.main()
