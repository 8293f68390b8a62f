"""tl graph, diff, profile and bench from outside: files, figures, exit codes, hostile names. Run by test/cli/run."""

import html.parser
import http.server
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.parse
import xml.etree.ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TL = os.environ.get("TL", str(ROOT / "build" / "bin" / "tl"))
MODELS = ROOT / "models"
DATA = ROOT / "test" / "data"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = "</script><img src=x onerror=alert(1)>"


def tl(*args, **env):
    return subprocess.run([TL, *map(str, args)], capture_output=True, text=True, timeout=120, env={**os.environ, **env})


def feature(name, shape):
    return {"name": name, "type": "MultiArray", "dataType": "Float32", "shape": shape, "hasShapeFlexibility": "0", "isOptional": "0", "shortDescription": ""}


def write_model(folder, ops, output, shape="[1, 4]"):
    """A .mlmodelc of one float32 input x; ops are lines of MIL."""
    folder.mkdir(exist_ok=True)
    body = "".join(f"            {line}\n" for line in ops)
    (folder / "model.mil").write_text(
        "program(1.3)\n[buildInfo = dict<string, string>({})]\n{\n"
        f"    func main<ios16>(tensor<fp32, {shape}> x) {{\n{body}        }} -> ({output});\n}}\n")
    (folder / "metadata.json").write_text(json.dumps([{"specificationVersion": 7, "inputSchema": [feature("x", shape)], "outputSchema": [feature(output, shape)]}]))
    return folder


def op(kind, name, arguments, label=None, shape="[1, 4]"):
    return f'tensor<fp32, {shape}> {name} = {kind}({arguments})[name = string("{label or name}")];'


def big_model(folder, layers):
    """25 ops a layer, named as a transformer's."""
    lines, x = [], "x"
    weight = "tensor<fp32, [4, 4]>([" + ", ".join(["[0x1p-4, 0x1p-3, 0x1p-5, 0x1p-4]"] * 4) + "])"
    for layer in range(layers):
        at = f"encoder_layer_{layer}"

        def linear(source, part):
            name = f"{at}_{part}"
            lines.append(f'tensor<fp32, [4, 4]> {name}_weight = const()[name = string("{name}_weight"), val = {weight}];')
            lines.append(op("linear", f"{name}_out", f"weight = {name}_weight, x = {source}"))
            return f"{name}_out"

        heads = [linear(x, f"attention_{part}") for part in ("query", "key", "value")]
        for i, head in enumerate(heads):
            for j, kind in enumerate(("tanh", "sigmoid", "relu")):
                lines.append(op(kind, f"{at}_h{i}_{j}", f"x = {head}"))
                head = f"{at}_h{i}_{j}"
            heads[i] = head
        lines.append(op("add", f"{at}_qk", f"x = {heads[0]}, y = {heads[1]}"))
        lines.append(op("mul", f"{at}_qkv", f"x = {at}_qk, y = {heads[2]}"))
        out = linear(f"{at}_qkv", "attention_output")
        lines.append(op("add", f"{at}_residual", f"x = {x}, y = {out}"))
        up = linear(f"{at}_residual", "mlp_up")
        last = up
        for j, kind in enumerate(("silu", "tanh", "relu", "softsign", "sigmoid")):
            lines.append(op(kind, f"{at}_m{j}", f"x = {last}"))
            last = f"{at}_m{j}"
        down = linear(last, "mlp_down")
        lines.append(op("add", f"{at}_sum", f"x = {at}_residual, y = {down}"))
        lines.append(op("tanh", f"{at}_end", f"x = {at}_sum"))
        x = f"{at}_end"
    return write_model(folder, lines, x)


def lite0_multiplications():
    """Of EfficientNet-Lite0 at 224: per stage expansion, kernel, channels, stride, repeats."""
    side, channels = 112, 32
    total = side * side * channels * 27
    for expansion, kernel, out, stride, repeats in ((1, 3, 16, 1, 1), (6, 3, 24, 2, 2), (6, 5, 40, 2, 2), (6, 3, 80, 2, 3), (6, 5, 112, 1, 3), (6, 5, 192, 2, 4), (6, 3, 320, 1, 1)):
        for i in range(repeats):
            wide = channels * expansion
            total += side * side * channels * wide if expansion > 1 else 0
            side //= stride if i == 0 else 1
            total += side * side * wide * (kernel * kernel + out)
            channels = out
    return total + side * side * channels * 1280 + 1280 * 1000


def message(*fields):
    """A protobuf message of (number, text, bytes or integer) pairs."""

    def varint(value):
        out = b""
        while value >= 0x80:
            out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
        return out + bytes([value])

    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value)
        else:
            value = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def network(path, kind, parameters=b""):
    """A neural network x -> sqrt -> a layer of this kind -> sqrt -> y."""
    array = message((5, message((1, b"\x02\x03"), (2, 65568))))
    layers = [message((1, name), (2, source), (3, target), (number, payload)) for name, source, target, number, payload in
              (("first", "x", "a", 220, b""), ("odd", "a", "b", kind, parameters), ("last", "b", "y", 220, b""))]
    description = message((1, message((1, "x"), (3, array))), (10, message((1, "y"), (3, array))))
    path.write_bytes(message((1, 4), (2, description), (500, message(*[(1, layer) for layer in layers], (5, 1)))))
    return path


def text_pipeline(path):
    """A text classifier of Apple's in a pipeline: text -> label."""
    text = message((3, b""))
    description = message((1, message((1, "text"), (3, text))), (10, message((1, "label"), (3, text))), (11, "label"))
    stage = message((1, 3), (2, description), (2000, message((1, 1))))
    path.write_bytes(message((1, 3), (2, description), (200, message((1, message((1, stage)))))))
    return path


class Scripts(html.parser.HTMLParser):
    """The elements of a page, and the texts of its scripts by id."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.open = [], {}, None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.open = dict(attributes).get("id", "") if tag == "script" else None

    def handle_data(self, data):
        if self.open is not None:
            self.texts[self.open] = self.texts.get(self.open, "") + data

    def handle_endtag(self, tag):
        self.open = None


class Insight(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.dir = Path(self.folder.name)
        self.env = {"XDG_CACHE_HOME": str(self.dir / "cache")}

    def ok(self, *args, code=0):
        done = tl(*args, **self.env)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout

    def parts(self, page):
        """The parts of a page by kind; checks that it asks nothing of a network."""
        text = page.read_text()
        scripts = Scripts(text)
        for tag, attributes in scripts.tags:
            self.assertNotIn(tag, ("link", "img", "iframe"))
            self.assertFalse({"src", "href", "onerror"} & set(attributes), (tag, attributes))
        found = {}
        for part in json.loads(scripts.texts["data"]):
            found.setdefault(part["part"], []).append(part)
        return found

    def chain(self, name="m.mlmodelc", middle="tanh", label=None):
        return write_model(self.dir / name, [op("exp", "a", "x = x", label), op(middle, "b", "x = a"), op("relu", "c", "x = b")], "c")

    def test_graph_of_every_kind_of_model(self):
        page, picture = self.dir / "g.html", self.dir / "g.svg"
        for model, types in ((DATA / "models/branches.mlpackage", {"cond", "linear", "result"}), (DATA / "networks/legacy_lstm.mlmodel", {"input", "output"}),
                             (DATA / "classic/forest.mlmodel", {"tl.tree_ensemble"}), (DATA / "classic/two_programs.mlpackage", {"output"})):
            self.ok("graph", model, "--html", page, "--svg", picture)
            graphs = self.parts(page)["graphs"][0]["graphs"]
            self.assertLessEqual(types, {node["type"] for graph in graphs for node in graph["nodes"]}, model)
            tree = xml.etree.ElementTree.parse(picture)
            boxes = [e for e in tree.iter() if e.tag.endswith("rect")]
            self.assertEqual(len(boxes), sum(len(graph["nodes"]) for graph in graphs), model)

    def test_graph_of_what_cannot_run(self):
        model = write_model(self.dir / "odd.mlmodelc", ["tensor<fp32, [1, 4]> a = no_such_op(x = x)[name = string(\"a\")];", op("relu", "b", "x = a")], "b")
        self.ok("graph", model, "--html", self.dir / "g.html")
        nodes = self.parts(self.dir / "g.html")["graphs"][0]["graphs"][0]["nodes"]
        self.assertEqual([node["type"] for node in nodes], ["input", "no_such_op", "relu", "output"])
        self.assertEqual(tl("profile", model, **self.env).returncode, 3)

    def test_what_cannot_run_is_looked_at(self):
        odd = network(self.dir / "odd.mlmodel", 4000)
        plain = network(self.dir / "plain.mlmodel", 220)
        strange = network(self.dir / "strange.mlmodel", 220, message((1, 77)))  # a function that nobody knows
        program = write_model(self.dir / "odd.mlmodelc", [op("exp", "a", "x = x"), op("no_such_op", "b", "x = a")], "b")
        pipeline = text_pipeline(self.dir / "text.mlmodel")
        for model, kind in ((odd, "nn.unknown_4000"), (strange, "nn.unary"), (program, "no_such_op"), (pipeline, "model.textClassifier")):
            report = json.loads(self.ok("check", model, "--json", "--html", self.dir / "c.html"))
            (row,) = [op for op in report["ops"] if op["type"] == kind]
            self.assertNotIn("ANE", row["supported"])
            self.assertIn(kind, row["reason"])
            self.ok("graph", model, "--html", self.dir / "g.html", "--svg", self.dir / "g.svg")
            for page in ("c.html", "g.html"):
                nodes = self.parts(self.dir / page)["graphs"][0]["graphs"][0]["nodes"]
                self.assertIn(kind, [node["type"] for node in nodes], page)
            self.assertIn(kind, self.ok("print", model))
            info = json.loads(self.ok("info", model, "--json"))
            self.assertEqual((info["runs_on"], info["functions"][0]["ops"][kind]), (None, 1))
            self.assertIn("are the same", self.ok("diff", model, model))
            self.assertEqual(tl("predict", model, "--in", "x=0").returncode, 3, kind)
        changed = json.loads(self.ok("diff", plain, odd, "--json", code=1))["changed"]
        self.assertIn("sqrt -> nn.unknown_4000", [change["type"] for change in changed])

    def test_graph_needs_somewhere_to_go(self):
        model = self.chain()
        self.assertIn("--html", tl("graph", model).stderr)
        self.ok("graph", model, code=2)
        self.ok("graph", self.dir / "none", "--html", self.dir / "g.html", code=4)
        self.ok("graph", model, "--html", self.dir / "no" / "folder.html", code=4)

    def test_hostile_names_stay_text(self):
        model = self.chain(label=HOSTILE)
        self.ok("graph", model, "--html", self.dir / "g.html", "--svg", self.dir / "g.svg")
        self.ok("profile", model, "--iterations", "2", "--html", self.dir / "p.html", "--trace", self.dir / "t.json")
        self.ok("diff", self.chain("other.mlmodelc"), model, "--html", self.dir / "d.html", code=1)
        for page in ("g.html", "p.html", "d.html"):
            names = [node["name"] for graph in self.parts(self.dir / page)["graphs"][0]["graphs"] for node in graph["nodes"]]
            self.assertIn(HOSTILE, names, page)
        titles = [e.text for e in xml.etree.ElementTree.parse(self.dir / "g.svg").iter() if e.tag.endswith("title")]
        self.assertIn("exp " + HOSTILE, titles)
        self.assertIn(HOSTILE, [event["name"] for event in json.loads((self.dir / "t.json").read_text())["traceEvents"]])

    def test_groups_follow_the_names(self):
        self.ok("graph", big_model(self.dir / "big.mlmodelc", 3), "--html", self.dir / "g.html")
        groups = self.parts(self.dir / "g.html")["graphs"][0]["graphs"][0]["groups"]
        names = [group["name"] for group in groups]
        for layer in range(3):
            self.assertIn(f"layer {layer}", names)
        self.assertEqual(groups[0]["nodes"], 3 * 25 + 2)

    def test_two_thousand_ops_are_drawn_quickly(self):
        model = big_model(self.dir / "big.mlmodelc", 80)
        start = time.monotonic()
        self.ok("graph", model, "--html", self.dir / "g.html", "--svg", self.dir / "g.svg")
        self.assertLess(time.monotonic() - start, 20)
        self.assertEqual(len(self.parts(self.dir / "g.html")["graphs"][0]["graphs"][0]["nodes"]), 2002)
        self.assertLess((self.dir / "g.html").stat().st_size, 4_000_000)

    def opened(self, page):
        """Opens a copy of a page as a double click does. It tells when it was drawn (ms after it was asked for), its text, its errors,
        and the sum of the background's red, green and blue, in the dark and after a click on the button for light."""
        answers, done = [], threading.Event()

        class Listener(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                answers.append(json.loads(urllib.parse.unquote(self.path[1:])))
                self.send_response(204)
                self.end_headers()
                done.set()

            def log_message(self, *_):
                pass

        server = http.server.HTTPServer(("127.0.0.1", 0), Listener)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        before = "<script>const wrong=[];addEventListener('error',e=>wrong.push(e.message))</script>"
        after = ("<script>addEventListener('load',()=>requestAnimationFrame(()=>setTimeout(()=>{const drawn=performance.now(),"
                 "shade=()=>getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0,3).reduce((a,b)=>a+ +b,0),dark=shade();"
                 "document.querySelector('header button').click();new Image().src='http://127.0.0.1:%d/'+encodeURIComponent(JSON.stringify({drawn,wrong,dark,light:shade(),"
                 "text:document.body.innerText.slice(0,3000)}))})))</script>") % server.server_port
        copy = self.dir / "opened.html"
        copy.write_text(before + page.read_text() + after)
        browser = subprocess.Popen([BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={self.dir}/browser",
                                    "--remote-debugging-port=0", f"{copy.as_uri()}#theme=dark"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self.assertTrue(done.wait(60), f"{page.name} was not drawn")
        finally:
            browser.terminate()
            browser.wait(20)
            server.shutdown()
            server.server_close()
        self.assertEqual(answers[0]["wrong"], [], page.name)
        return answers[0]

    @unittest.skipUnless(BROWSER, "no Chromium")
    def test_a_browser_draws_two_thousand_ops_in_two_seconds(self):
        self.ok("graph", big_model(self.dir / "big.mlmodelc", 80), "--html", self.dir / "g.html")
        seen = [self.opened(self.dir / "g.html") for _ in range(2)]
        self.assertIn("2002 nodes", seen[0]["text"])
        self.assertLess(min(answer["drawn"] for answer in seen), 2000)

    @unittest.skipUnless(BROWSER, "no Chromium")
    def test_a_browser_draws_every_page_in_dark_and_light(self):
        broken, out = DATA / "compare/softmax_by_hand", self.dir / "p.html"
        for args, code, text in (
            (("check", MODELS / "EfficientNetLite0.mlpackage", "--html", out), 0, "What helps most"),
            (("compare", f"{broken}.mlpackage", "--in", f"{broken}.npz", "--html", out), 1, "First to break: exponents"),
            (("profile", self.chain(), "--iterations", "2", "--html", out), 0, "planned memory"),
            (("diff", self.chain(), self.chain("b.mlmodelc", "sigmoid"), "--html", out), 1, "changed"),
            (("graph", network(self.dir / "odd.mlmodel", 4000), "--html", out), 0, "not defined here"),
        ):
            self.ok(*args, code=code)
            seen = self.opened(out)
            self.assertIn(text, seen["text"])
            self.assertLess(seen["dark"], 200, args[0])
            self.assertGreater(seen["light"], 565, args[0])

    def test_diff(self):
        base = self.chain("a.mlmodelc")
        self.assertIn("are the same", self.ok("diff", base, base))
        other = self.chain("b.mlmodelc", "sigmoid")
        data = json.loads(self.ok("diff", base, other, "--json", code=1))
        self.assertEqual([c["type"] for c in data["changed"]], ["tanh -> sigmoid"])
        self.assertFalse(data["same"])
        self.assertIn("~  tanh -> sigmoid  b", self.ok("diff", base, other, code=1))
        quantized = [MODELS / "EfficientNetLite0.mlpackage", MODELS / "EfficientNetLite0_W8.mlpackage"]
        data = json.loads(self.ok("diff", *quantized, "--json", code=1))
        self.assertEqual(data["ops"]["a"], data["ops"]["matched"])
        self.assertGreater(len(data["weights"]), 40)
        for weight in data["weights"]:
            self.assertLess(weight["relative"], 0.05, weight)  # 8 bits a weight
        self.ok("diff", base, self.dir / "none", code=4)

    def test_profile(self):
        model = MODELS / "EfficientNetLite0.mlpackage"
        trace, page = self.dir / "t.json", self.dir / "p.html"
        data = json.loads(self.ok("profile", model, "--iterations", "3", "--json", "--trace", trace, "--html", page))
        # Multiplications of the convolutions and the classifier by the paper's table of blocks, two operations each; the first
        # convolution casts the image as well.
        self.assertEqual(sum(step["flops"] for step in data["steps"] if step["type"] in ("tl.conv", "tl.linear")),
                         2 * lite0_multiplications() + 3 * 224 * 224)
        self.assertEqual(sum(len(step["joined"]) for step in data["steps"]), 2 + 15)
        self.assertAlmostEqual(sum(step["share"] for step in data["steps"]), 1, places=6)
        self.assertGreater(data["peak"]["gflops"], 1)
        self.assertTrue((self.dir / "cache/tensorlogic").is_dir())
        self.assertLessEqual(max(step["live_bytes"] for step in data["steps"]), data["memory"]["arena_bytes"])
        phases = {phase["name"]: phase for phase in data["phases"]}
        self.assertLess(phases["fuse_epilogue"]["ops_after"], phases["fuse_epilogue"]["ops_before"])
        events = [e for e in json.loads(trace.read_text())["traceEvents"] if e["ph"] == "X"]
        self.assertEqual(len(events), 3 * (len(data["steps"]) + 1))
        parts = self.parts(page)
        rows = next(t for t in parts["table"] if t["columns"][0]["title"] == "step")["rows"]
        self.assertEqual([row[1] for row in rows], [step["op"] for step in data["steps"]])
        self.assertEqual(len(parts["chart"][0]["values"]), len(rows))
        text = self.ok("profile", model, "--iterations", "2", "--sort", "--top", "3")
        for word in ("KERNEL", "PREPARATION", "roofline", "energy"):
            self.assertIn(word, text)

    def test_profile_in_a_script(self):
        lines = self.ok("run", ROOT / "examples" / "profile.tl").splitlines()
        self.assertRegex(lines[0], r"^42 steps, [0-9.]+ ms a prediction$")
        self.assertRegex(lines[1], r"^the slowest: \S+ \(\S+\) by \S+, [0-9.]+ ms, [0-9.]+% of all$")
        self.assertIn("image", tl("run", "-e", f'profile(load_model("{MODELS}/EfficientNetLite0.mlpackage"), nothing: 3)', **self.env).stderr)

    def test_a_wrong_cache_is_measured_again(self):
        model = self.chain()
        self.ok("profile", model, "--iterations", "1")
        (cached,) = (self.dir / "cache/tensorlogic").iterdir()
        good = json.loads(cached.read_text())
        for wrong in ("", "{", "[]", json.dumps({**good, "flops": -1}), json.dumps({**good, "bandwidth": [[1]]}), json.dumps({**good, "key": {}})):
            cached.write_text(wrong)
            self.assertGreater(json.loads(self.ok("profile", model, "--iterations", "1", "--json"))["peak"]["gflops"], 0)
            self.assertGreater(json.loads(cached.read_text())["flops"], 0)

    def test_bench_baseline(self):
        model, saved = self.chain(), self.dir / "base.json"
        quick = ["bench", model, "--iterations", "20", "--warmup", "2", "--threads", "1"]
        self.ok(*quick, "--save", saved)
        data = json.loads(saved.read_text())
        self.ok(*quick, "--baseline", saved, "--threshold", "100000")
        saved.write_text(json.dumps({**data, "p50_ms": data["p50_ms"] * 1e-6}))
        self.ok(*quick, "--baseline", saved, code=1)
        self.ok(*quick[:-1], "2", "--baseline", saved, code=2)  # no such run in it
        for wrong in ("", "[]", "{}", json.dumps({**data, "p50_ms": 0}), json.dumps({**data, "threads": "x"}), json.dumps({"runs": [1]})):
            saved.write_text(wrong)
            self.ok(*quick, "--baseline", saved, code=3)

    def test_bench_sweeps(self):
        crepe = MODELS / "crepe_tiny.mlpackage"
        quick = ["bench", crepe, "--iterations", "2", "--warmup", "1"]
        data = json.loads(self.ok(*quick, "--threads", "1,2", "--batch", "1,3", "--json"))
        self.assertEqual([(r["threads"], r["batch"]) for r in data["runs"]], [(1, 1), (1, 3), (2, 1), (2, 3)])
        data = json.loads(self.ok(*quick, "--streams", "3", "--threads", "1", "--json", "--times"))
        self.assertEqual((data["streams"], len(data["times_ms"])), (3, 6))
        self.assertGreater(data["anonymous_memory_bytes"], 0)
        lines = self.ok(*quick, "--threads", "1", "--batch", "2", "--markdown").splitlines()
        self.assertEqual(len(lines), 3)
        self.assertEqual({line.count("|") for line in lines}, {13})
        self.assertIn("batch of 2", tl("bench", self.chain(), "--batch", "2").stderr)
        self.ok("bench", self.chain(), "--batch", "2", code=2)


if __name__ == "__main__":
    unittest.main()
