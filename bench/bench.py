"""Times this project against ONNX Runtime and OpenVINO: one model after another, all runtimes in turns, batch 1.

usage: bench.py --tl build/bin/tl --models FOLDER [--mode faithful|fast] [--threads 2] [--rounds 10] [--json FILE] [NAME...]

In each round every runtime makes the same number of predictions; the table shows median and 90th percentile over all rounds and
the ratio to the best rival of the mode. Answers are compared with torch's in float32 before anything is timed.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

import common

HERE = pathlib.Path(__file__).resolve().parent

# Per mode: the rivals, ours (the option --precision of tl), and the largest difference from torch's answer, over its largest value.
MODES = {
    "faithful": (["onnxruntime", "openvino"], "", 0.005),
    "fast": (["openvino-fast"], "bf16", 0.1),
}


def cpu_name():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return ""


class Rival:
    def __init__(self, kind, folder, name, threads):
        self.process = subprocess.Popen(
            [sys.executable, HERE / "rival.py", kind, folder / f"{name}.onnx", folder / f"{name}.npz", str(threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        self.facts = json.loads(self.process.stdout.readline())

    def times(self, count):
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Ours:
    def __init__(self, tl, folder, name, threads, precision=""):
        self.command = [tl, "bench", str(folder / f"{name}.mlpackage"), "--threads", str(threads), "--json", "--times"]
        if precision:
            self.command += ["--precision", precision]
        with np.load(folder / f"{name}.npz") as stored:
            self.expected = {k: stored[k] for k in stored.files if k.startswith("y")}
            self.inputs = {k: stored[k] for k in stored.files if not k.startswith("y")}
        self.scratch = tempfile.TemporaryDirectory()
        root = pathlib.Path(self.scratch.name)
        arguments = []
        for key, value in self.inputs.items():
            np.save(root / f"{key}.npy", value)
            arguments += ["--in", f"{key}={root / key}.npy"]
        self.command += arguments
        options = ["--precision", precision] if precision else []
        done = subprocess.run([tl, "predict", self.command[2], *arguments, "--out", str(root / "out.npz"), "--threads", str(threads),
                               *options], capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(done.stderr)
        with np.load(root / "out.npz") as got:
            errors = [np.abs(got[k].astype(np.float32) - e).ravel() for k, e in self.expected.items()]
        run = self.run(10)
        self.facts = {"load": run["load_ms"] / 1e3, "first": run["first_ms"] / 1e3, "memory": run["peak_memory_bytes"],
                      "difference": max(float(e.max()) for e in errors), "mean": float(np.concatenate(errors).mean()), "scale": max(float(np.abs(e).max()) for e in self.expected.values())}

    def run(self, count):
        return json.loads(subprocess.run([*self.command, "--iterations", str(count), "--warmup", "4"], check=True,
                                         capture_output=True, text=True).stdout)

    def times(self, count):
        return [t / 1e3 for t in self.run(count)["times_ms"]]

    def close(self):
        self.scratch.cleanup()


def measure(name, arguments):
    folder = pathlib.Path(arguments.models)
    rivals, precision, most = MODES[arguments.mode]
    runtimes = {kind: Rival(kind, folder, name, arguments.threads) for kind in rivals}
    runtimes["tensorlogic"] = Ours(arguments.tl, folder, name, arguments.threads, precision)
    for kind, runtime in runtimes.items():
        error = runtime.facts["difference"] / runtime.facts["scale"]
        if not error <= most:
            raise SystemExit(f"{name}: {kind} is {error:.1e} away from torch's answer")
    times = {kind: [] for kind in runtimes}
    for kind, runtime in runtimes.items():
        runtime.times(3)
    for _ in range(arguments.rounds):
        for kind, runtime in runtimes.items():
            times[kind] += runtime.times(arguments.iterations)
    result = {}
    for kind, runtime in runtimes.items():
        runtime.close()
        values = np.array(times[kind]) * 1e3
        result[kind] = {"p50_ms": float(np.median(values)), "p90_ms": float(np.quantile(values, 0.9)), "min_ms": float(values.min()),
                        "runs": len(values), **runtime.facts}
    result["ratio"] = result["tensorlogic"]["p50_ms"] / min(result[kind]["p50_ms"] for kind in rivals)
    return result


def row(name, result):
    """Per runtime: median, 90th percentile, load plus first prediction, memory, difference from torch."""
    cells = [f"{name:20}"]
    for kind, r in result.items():
        if kind != "ratio":
            cells.append(f"{r['p50_ms']:8.2f} {r['p90_ms']:8.2f} {1e3 * (r['load'] + r['first']):7.0f} {r['memory'] / 1e6:6.0f} "
                         f"{r['difference'] / r['scale']:8.1e}")
    return " |".join([*cells, f"{result['ratio']:6.2f}"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    common.add_options(parser, 10)
    parser.add_argument("--models", required=True)
    parser.add_argument("--mode", choices=MODES, default="faithful")
    parser.add_argument("--iterations", type=int, default=6, help="predictions of each runtime per round")
    arguments = parser.parse_args()
    names = arguments.names or sorted(p.stem for p in pathlib.Path(arguments.models).glob("*.onnx") if "." not in p.stem)
    results = {}
    kinds = [*MODES[arguments.mode][0], "tensorlogic"]
    print(" |".join([f"{'milliseconds, MB':20}", *(f"{kind:^41}" for kind in kinds), " ratio"]))
    print(" |".join([" " * 20, *([f"{'median':>8} {'p90':>8} {'first':>7} {'memory':>6} {'error':>8}"] * len(kinds)), ""]))
    for name in names:
        results[name] = measure(name, arguments)
        print(row(name, results[name]), flush=True)
    common.save(arguments.json, {"mode": arguments.mode, "threads": arguments.threads, "cpu": cpu_name(), "models": results})


if __name__ == "__main__":
    main()
