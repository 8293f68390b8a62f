"""The command tl from outside: exit codes, streams, files. Run by test/cli/run."""

import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TL = os.environ.get("TL", str(ROOT / "build" / "bin" / "tl"))
DATA = ROOT / "test" / "data"

# Two fp16 inputs of [1, 3]; out = x * y.
MODEL_TEXT = """program(1.3)
[buildInfo = dict<string, string>({})]
{
    func main<ios16>(tensor<fp16, [1, 3]> x, tensor<fp16, [1, 3]> y) {
            tensor<fp16, [1, 3]> out = mul(x = x, y = y)[name = string("out")];
        } -> (out);
}
"""


def tl(*args, stdin="", **env):
    return subprocess.run([TL, *map(str, args)], input=stdin, capture_output=True, text=True, timeout=60, env={**os.environ, **env})


class Cli(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.dir = Path(self.folder.name)
        self.model = self.dir / "multiply.mlmodelc"
        self.model.mkdir()
        self.describe("[1, 3]", "Float16")

    def describe(self, shape, dtype):
        mil = {"Float16": "fp16", "Float32": "fp32"}[dtype]
        (self.model / "model.mil").write_text(MODEL_TEXT.replace("fp16", mil).replace("[1, 3]", shape))
        feature = {"type": "MultiArray", "dataType": dtype, "shape": shape, "hasShapeFlexibility": "0", "isOptional": "0", "shortDescription": ""}
        (self.model / "metadata.json").write_text(json.dumps([{
            "specificationVersion": 7,
            "inputSchema": [{**feature, "name": "x"}, {**feature, "name": "y"}],
            "outputSchema": [{**feature, "name": "out"}],
        }]))

    def tearDown(self):
        self.folder.cleanup()

    def put(self, name, value):
        path = self.dir / name
        path.write_text(json.dumps(value))
        return path

    def ok(self, *args, **more):
        done = tl(*args, **more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def fails(self, code, *args, **more):
        done = tl(*args, **more)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stderr

    def test_version_and_help(self):
        self.assertRegex(self.ok("--version"), r"^tl \d+\.\d+\.\d+\n$")
        text = self.ok("--help")
        for command in "run repl predict info print tensors check bench compile knobs ops completion".split():
            self.assertIn(command, text)
            self.assertIn("EXAMPLES", self.ok(command, "--help"), command)

    def test_print_gives_mil_text_back(self):
        for path in sorted((DATA / "mil").glob("*.mil")):
            self.assertEqual(self.ok("print", "--all", path), path.read_text(), path)
        (self.dir / "broken.mil").write_text("program(1.3)\n{ func main<ios16>() { x } }")
        self.assertIn("broken.mil: line 2, column", self.fails(3, "print", self.dir / "broken.mil"))

    def test_wrong_usage_is_2(self):
        for args in ([], ["nosuch"], ["predict"], ["info", self.model, "--nosuch"], ["completion", "tcsh"], ["run"],
                     ["info", self.model, "--compute-units", "tpu"], ["bench", self.model, "--iterations", "0"],
                     ["compile", self.model, self.dir / "out.txt"]):
            self.assertTrue(self.fails(2, *args).startswith("tl: error: "), args)

    def test_check_predicts(self):
        report = json.loads(self.ok("check", self.model, "--json", "--compute-units", "cpuAndNeuralEngine"))
        self.assertEqual(report["kind"], "check")
        self.assertEqual(report["target"]["chip"], "M4")
        (op,) = report["ops"]
        self.assertEqual((op["name"], op["type"], op["supported"], op["predicted"]), ("out", "mul", ["CPU", "ANE"], "CPU"))
        text = self.ok("check", self.model, "--chip", "M1", "--os", "macOS 13")
        self.assertIn("Predicted for M1 under macOS 13", text)
        self.describe("[1, 3]", "Float32")
        self.assertIn("Not an fp16 model", self.ok("check", self.model))

    def test_check_requirements(self):
        self.ok("check", self.model, "--require", "segments<=0,cpu>=100%")
        errors = self.fails(1, "check", self.model, "--require", "ane>=95%,segments<=1")
        self.assertEqual(errors, "tl: error: requirement failed: ane is 0 %, >= 95 % is required: 95 % short\n")
        for wrong in ("npu>5", "ane>=", ""):
            self.fails(2, "check", self.model, "--require", wrong)
        self.fails(2, "check", self.model, "--chip", "M9")
        self.fails(2, "check", self.model, "--os", "Windows")
        self.fails(3, "check", DATA / "classic" / "forest.safetensors")
        self.fails(4, "check", self.dir / "none.mlpackage")

    def test_check_in_scripts(self):
        custom = DATA / "apple" / "custom_layer.mlmodel"
        code = f'let r = check("{custom}", chip: "M1")\nprint("{{}} {{}} {{}}", r.chip, r.segments, r.ops[1].rule)'
        self.assertEqual(self.ok("run", "-e", code), "M1 0 F2\n")
        self.assertIn("chip, os and compute_units", self.fails(1, "run", "-e", f'check("{custom}", colour: "red")'))
        text = self.ok("run", ROOT / "examples" / "check.tl", custom)
        self.assertIn("b (custom_layer) on CPU: a custom op has no implementation", text)

    def test_check_page(self):
        page = self.dir / "page.html"
        self.ok("check", DATA / "apple" / "custom_layer.mlmodel", "--html", page)
        text = page.read_text()
        self.assertIn("SwirlLayer", text)
        for outside in ("http://", "https://", "src=", "<link"):
            self.assertNotIn(outside, text.replace("http://www.w3.org/2000/svg", ""))
        self.fails(4, "check", self.model, "--html", self.dir / "none" / "page.html")

    def test_errors_name_the_path(self):
        missing = self.dir / "none.mlpackage"
        self.assertTrue(self.fails(4, "info", missing).startswith(f"tl: error: {missing}: "))
        noise = self.dir / "noise.mlmodel"
        noise.write_bytes(b"\1\2\3")
        self.assertTrue(self.fails(3, "info", noise).startswith(f"tl: error: {noise}: "))
        pickle = self.dir / "weights.pt"
        pickle.write_bytes(b"\x80\x02}q\x00.")
        self.assertIn("safetensors", self.fails(3, "predict", pickle))

    def test_predict_prints_json(self):
        out = self.ok("predict", self.model, "--in", "x=[[1, 2, 3]]", "--in", "y=[[2, 2, 0.5]]", "--json")
        self.assertEqual(json.loads(out), {"out": [[2, 4, 1.5]]})

    def test_predict_writes_and_asserts(self):
        ins = ["--in", f"x={self.put('x.json', [[1, 2, 3]])}", "--in", "y=[[2, 2, 2]]"]
        for name in ("o.npy", "o.npz", "o.safetensors", "o.json"):
            path = self.dir / name
            self.ok("predict", self.model, *ins, "--out", path)
            self.assertGreater(path.stat().st_size, 0)
            if name != "o.json":
                self.ok("predict", self.model, *ins, "--assert", path, "--atol", "0", "--rtol", "0")
        good, bad = self.put("good.json", [[2, 4, 6]]), self.put("bad.json", [[2, 4, 6.5]])
        self.ok("predict", self.model, *ins, "--assert", good)
        error = self.fails(1, "predict", self.model, *ins, "--assert", bad)
        self.assertIn("1 of 3 values", error)
        self.ok("predict", self.model, *ins, "--assert", bad, "--atol", "0.5")
        self.assertIn("shape", self.fails(1, "predict", self.model, *ins, "--assert", self.put("s.json", [1, 2])))
        self.assertEqual(sorted(p.name for p in self.dir.iterdir() if "tmp" in p.name), [])

    def test_predict_reads_what_numpy_wrote(self):
        self.describe("[2, 3, 4]", "Float32")
        arrays = DATA / "arrays"
        self.ok("predict", self.model, "--in", f"x={arrays / 'c.npy'}", "--in", f"y={arrays / 'fortran.npy'}", "--out", self.dir / "o.npy")
        y = self.dir / "y.npz"
        self.ok("tensors", arrays / "expected.safetensors", "--read", "a", "--out", y)
        self.ok("predict", self.model, "--in", f"x={arrays / 'big.npy'}", "--in", f"y={y}", "--assert", self.dir / "o.npy",
                "--atol", "0", "--rtol", "0")

    def test_wrong_inputs_are_2(self):
        for args in (["--in", "z=[1]"], ["--in", "x=[[1, 2, 3]]"], ["--in", "x=[[1, 2]]", "--in", "y=[[1, 2, 3]]"], ["--in", self.put("a.json", 1)]):
            self.assertTrue(self.fails(2, "predict", self.model, *args).startswith("tl: error: "), args)
        self.assertIn("it takes: x, y", self.fails(2, "predict", self.model, "--in", "z=[1]"))

    def test_info(self):
        data = json.loads(self.ok("info", self.model, "--json"))
        self.assertEqual(data["functions"][0]["ops"], {"mul": 1})
        self.assertEqual([f["name"] for f in data["functions"][0]["inputs"]], ["x", "y"])
        self.assertEqual(data["runs_on"], "cpu")
        self.assertIn("1 mul", self.ok("info", self.model))
        gguf = json.loads(self.ok("info", DATA / "gguf" / "sample.gguf", "--json"))
        self.assertEqual((gguf["format"], gguf["runs_on"]), ("GGUF", None))

    def test_tensors(self):
        sample = DATA / "gguf" / "sample.gguf"
        rows = json.loads(self.ok("tensors", sample, "--json"))
        self.assertEqual([r["name"] for r in rows], ["ints", "plain.f16", "plain.f32", "q4_0", "q8_0"])
        self.assertEqual(json.loads(self.ok("tensors", sample, "--read", "ints")), {"ints": [1, -2, 3]})
        self.ok("tensors", sample, "--read", "q4_0", "--read", "ints", "--out", self.dir / "t.safetensors")
        self.assertEqual(len(json.loads(self.ok("tensors", self.dir / "t.safetensors", "--json"))), 2)
        self.assertIn("nosuch", self.fails(4, "tensors", sample, "--read", "nosuch"))

    def test_print_and_compile(self):
        self.assertIn("mul(x = x, y = y)", self.ok("print", self.model))
        copy = self.dir / "copy.mlmodelc"
        self.ok("compile", self.model, copy)
        self.assertEqual(self.ok("print", copy, "--all"), self.ok("print", self.model, "--all"))
        self.fails(3, "print", DATA / "gguf" / "sample.gguf")

    def test_bench(self):
        data = json.loads(self.ok("bench", self.model, "--iterations", "3", "--warmup", "1", "--threads", "1", "--json"))
        self.assertLessEqual(data["p50_ms"], data["p99_ms"])
        self.assertGreater(data["peak_memory_bytes"], 0)
        self.assertIn("p90", self.ok("bench", self.model, "--iterations", "2", "--warmup", "1"))

    def test_notes_go_to_stderr_and_quiet_silences_them(self):
        args = ["predict", self.model, "--in", "x=[[1, 2, 3]]", "--in", "y=[[1, 1, 1]]", "--compute-units", "cpuAndNeuralEngine", "--json"]
        loud, quiet = tl(*args), tl("--quiet", *args)
        self.assertIn("CPU", loud.stderr)
        self.assertEqual(quiet.stderr, "")
        self.assertEqual(loud.stdout, quiet.stdout)
        self.assertEqual(tl(*args, "-q").stderr, "")

    def test_knobs(self):
        knobs = {k["name"]: k for k in json.loads(self.ok("knobs", "--json", TL_THREADS="3"))}
        self.assertEqual(knobs["threads"]["value"], 3)
        self.assertIn("TL_THREADS", self.ok("knobs"))

    def test_ops(self):
        ops = {op["op"]: op for op in json.loads(self.ok("ops", "--json"))}
        self.assertEqual(ops["conv"]["versions"], ["13", "17"])
        self.assertIn("gemm_conv", ops["tl.conv"]["kernels"])
        self.assertRegex(self.ok("ops"), r"(?m)^constexpr_lut_to_sparse +18 ")
        self.fails(2, "ops", "--markdown", "--tests", self.dir)
        table = self.ok("ops", "--markdown", "--tests", ROOT / "test")
        self.assertTrue((ROOT / "doc" / "ops.md").read_text().startswith(table), "doc/ops.md is out of date: run tools/ops_doc")

    def test_completion(self):
        script = self.ok("completion", "bash")
        self.assertEqual(subprocess.run(["bash", "-n"], input=script, text=True).returncode, 0)
        words = subprocess.run(["bash", "-c", script + "COMP_WORDS=(tl pre); COMP_CWORD=1; _tl; echo ${COMPREPLY[@]}"], capture_output=True, text=True)
        self.assertEqual(words.stdout.strip(), "predict")
        self.assertIn("#compdef tl", self.ok("completion", "zsh"))
        self.assertIn("complete -c tl", self.ok("completion", "fish"))

    def test_run(self):
        self.assertEqual(self.ok("run", "-e", "print(1 + 2)"), "3\n")
        script = self.dir / "say.tl"
        script.write_text("print(x, args())\n")
        self.assertEqual(self.ok("run", "-e", "let x = 1", script, "-e", "print(x + 1)", "word"), '1 ["word"]\n2\n')
        script = self.dir / "a.tl"
        script.write_text("main {\n  print(args())\n}\n")
        self.assertIn("ten", self.ok("run", script, "ten"))
        error = self.fails(1, "run", "-e", "print(nosuch)")
        self.assertIn("-e:1:7: error:", error)
        self.assertIn("^", error)
        self.fails(4, "run", self.dir / "none.tl")
        self.assertIn("3", self.ok("repl", stdin="1 + 2\n"))

    def test_a_full_disk_is_an_error(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        with open("/dev/full", "w") as full:
            done = subprocess.run([TL, "knobs"], stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 4, done.stderr)


if __name__ == "__main__":
    unittest.main()
