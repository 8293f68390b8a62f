"""Times this project against ONNX Runtime and OpenVINO: one model after another, all runtimes in turns, batch 1.

usage: bench.py --tl build/bin/tl --models FOLDER [--threads 2] [--rounds 10] [--json FILE] [NAME...]

In each round every runtime makes the same number of predictions; the table shows the median over all rounds and the ratio to
the best rival of the same precision. Answers are compared with torch's in float32 before anything is timed.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
RIVALS = ["onnxruntime", "openvino", "openvino-fast"]


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
        done = subprocess.run([tl, "predict", self.command[2], *arguments, "--out", str(root / "out.npz"), "--threads", str(threads)],
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(done.stderr)
        with np.load(root / "out.npz") as got:
            difference = max(float(np.abs(got[k].astype(np.float32) - e).max()) for k, e in self.expected.items())
        run = self.run(10)
        self.facts = {"load": run["load_ms"] / 1e3, "first": run["first_ms"] / 1e3, "memory": run["peak_memory_bytes"],
                      "difference": difference, "scale": max(float(np.abs(e).max()) for e in self.expected.values())}

    def run(self, count):
        return json.loads(subprocess.run([*self.command, "--iterations", str(count), "--warmup", "4"], check=True,
                                         capture_output=True, text=True).stdout)

    def times(self, count):
        return [t / 1e3 for t in self.run(count)["times_ms"]]

    def close(self):
        self.scratch.cleanup()


def measure(name, arguments):
    folder = pathlib.Path(arguments.models)
    runtimes = {kind: Rival(kind, folder, name, arguments.threads) for kind in RIVALS}
    runtimes["tensorlogic"] = Ours(arguments.tl, folder, name, arguments.threads)
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
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--tl", required=True)
    parser.add_argument("--models", required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--iterations", type=int, default=6, help="predictions of each runtime per round")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    names = arguments.names or sorted(p.stem for p in pathlib.Path(arguments.models).glob("*.onnx"))
    results = {}
    print(f"{'model':20} {'ORT f32':>9} {'OV f32':>9} {'OV fast':>9} {'ours':>9} {'ratio':>6}   {'first':>8} {'memory':>9} {'difference (ours, ORT)':>24}")
    for name in names:
        r = results[name] = measure(name, arguments)
        ours = r["tensorlogic"]
        best = min(r["onnxruntime"]["p50_ms"], r["openvino"]["p50_ms"])
        ours["ratio_f32"] = ours["p50_ms"] / best
        print(f"{name:20} {r['onnxruntime']['p50_ms']:9.2f} {r['openvino']['p50_ms']:9.2f} {r['openvino-fast']['p50_ms']:9.2f} "
              f"{ours['p50_ms']:9.2f} {ours['ratio_f32']:6.2f}   {1e3 * (ours['load'] + ours['first']):6.1f}ms {ours['memory'] / 1e6:7.1f}MB "
              f"{ours['difference'] / ours['scale']:12.2e} {r['onnxruntime']['difference'] / ours['scale']:11.2e}", flush=True)
    if arguments.json:
        temporary = arguments.json + ".part"
        pathlib.Path(temporary).write_text(json.dumps({"threads": arguments.threads, "models": results}, indent=1) + "\n")
        os.replace(temporary, arguments.json)


if __name__ == "__main__":
    main()
