"""tl_conformance from outside: what it refuses, and that it says so. Run by test/cli/run; the tool stands beside tl."""

import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOL = Path(os.environ.get("TL", ROOT / "build" / "bin" / "tl")).with_name("tl_conformance")
CASE = {"test": "a::b", "atol": 1e-4, "rtol": 1e-4, "dtype": "fp32", "check_shapes": True, "mismatch": 0}


def conformance(*args):
    done = subprocess.run([TOOL, *map(str, args)], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


class Conformance(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)

    def case(self, text):
        (self.folder / "one").mkdir()
        (self.folder / "one" / "case.json").write_text(text)

    def refused(self, *args, says):
        code, out, err = conformance(*args)
        self.assertEqual((code, out), (2, ""), err)
        for part in ("tl_conformance: ", *says):
            self.assertIn(part, err)

    def test_nothing_to_run_is_no_success(self):
        self.refused(self.folder, says=[f"no case in '{self.folder}'"])
        self.case(json.dumps(CASE))
        self.refused(self.folder, "--filter", "TestNone", says=[f"no case in '{self.folder}' matches 'TestNone'"])

    def test_broken_cases_are_named(self):
        self.case('{"test": ')
        file = self.folder / "one" / "case.json"
        self.refused(self.folder, says=[str(file), "parse error"])
        file.write_text(json.dumps(CASE | {"atol": "small"}))
        self.refused(self.folder, says=[str(file), "must be number"])
        file.write_text(json.dumps({k: v for k, v in CASE.items() if k != "rtol"}))
        self.refused(self.folder, says=[str(file), "'rtol' not found"])

    def test_a_case_without_a_model_fails(self):
        self.case(json.dumps(CASE))
        code, out, _ = conformance(self.folder, "--json", self.folder / "out.json")
        self.assertEqual(code, 1)
        self.assertIn("0 passed, 1 failed, 0 skipped", out)
        [row] = json.loads((self.folder / "out.json").read_text())
        self.assertEqual((row["id"], row["test"], row["passed"]), ("one", "a::b", False))
        code, _, err = conformance(self.folder, "--json", self.folder / "none" / "out.json")
        self.assertEqual(code, 2)
        self.assertIn("--json: '", err)

    def test_wrong_options_are_named(self):
        self.case(json.dumps(CASE))
        for count in ("x", "2x", "", "0", "-1", "99999999999"):
            self.refused(self.folder, "--workers", count, says=["--workers", f"'{count}'"])
        self.refused(self.folder, "--workers", says=["--workers needs a value"])
        self.refused(self.folder, "--jobs", "2", says=["'--jobs'", "usage"])
        self.refused(self.folder, self.folder, says=["usage"])
        self.refused(says=["which folder", "usage"])
        self.refused(self.folder / "none", says=["none' cannot be read"])
        self.refused(self.folder, "--known", self.folder / "none", says=["--known", "none' cannot be read"])


if __name__ == "__main__":
    unittest.main()
