"""Predictions a second with as many at once as there are threads, against OpenVINO's throughput hint; in turns.

usage: throughput.py --tl build/bin/tl --models FOLDER [--threads 2] [--rounds 5] [--seconds 1] [--json FILE] [NAME...]

Ours: `tl bench --streams THREADS --threads 1`. OpenVINO: PERFORMANCE_HINT=THROUGHPUT with an AsyncInferQueue of the size that it
asks for, once in float32 and once in its default precision (bf16 where the CPU has it; ours with --precision bf16).
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

import common

NAMES = ["resnet50", "mobilenet_v2", "minilm_l6"]


def serve(model, data, threads, precision):
    """The rival: reads seconds from stdin, answers with predictions a second."""
    import openvino as ov

    config = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "THROUGHPUT"}
    if precision:
        config["INFERENCE_PRECISION_HINT"] = precision
    compiled = ov.Core().compile_model(model, "CPU", config)
    stored = common.inputs_of(pathlib.Path(data).parent, pathlib.Path(data).stem)
    inputs = {i.any_name: stored[i.any_name].astype(np.int64 if "64" in str(i.element_type) and "i" in str(i.element_type) else np.float32)
              for i in compiled.inputs}
    queue = ov.AsyncInferQueue(compiled)
    print(len(queue), flush=True)
    for line in sys.stdin:
        stop, done = time.perf_counter() + float(line), 0
        start = time.perf_counter()
        while time.perf_counter() < stop:
            queue.start_async(inputs, share_inputs=True)
            done += 1
        queue.wait_all()
        print(done / (time.perf_counter() - start), flush=True)


class OpenVino:
    def __init__(self, folder, name, threads, precision):
        self.process = subprocess.Popen([sys.executable, __file__, "--serve", folder / f"{name}.onnx", folder / f"{name}.npz", str(threads),
                                         precision], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.requests = int(self.process.stdout.readline())
        self.rate(0.2)

    def rate(self, seconds):
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Ours:
    def __init__(self, tl, folder, name, threads, precision):
        self.scratch = tempfile.TemporaryDirectory()
        self.command = [tl, "bench", str(folder / f"{name}.mlpackage"), "--streams", str(threads), "--threads", "1", "--json", "--warmup", "3"]
        if precision:
            self.command += ["--precision", precision]
        for key, value in common.inputs_of(folder, name).items():
            path = pathlib.Path(self.scratch.name) / f"{key}.npy"
            np.save(path, value)
            self.command += ["--in", f"{key}={path}"]
        self.iterations = 4
        self.iterations = max(4, round(self.rate(0) / threads))

    def rate(self, seconds):
        count = max(4, round(self.iterations * seconds)) if seconds else self.iterations
        done = subprocess.run([*self.command, "--iterations", str(count)], check=True, capture_output=True, text=True)
        return json.loads(done.stdout)["per_second"]

    def close(self):
        self.scratch.cleanup()


def main():
    if sys.argv[1:2] == ["--serve"]:
        return serve(sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=NAMES)
    common.add_options(parser, 5)
    parser.add_argument("--models", required=True)
    parser.add_argument("--seconds", type=float, default=1)
    arguments = parser.parse_args()
    folder = pathlib.Path(arguments.models)
    results = {}
    print(f"{'predictions a second':20} | {'OpenVINO f32':>12} {'ours':>8} {'ratio':>6} | {'OpenVINO':>9} {'ours bf16':>9} {'ratio':>6}")
    for name in arguments.names or NAMES:
        runtimes = {"openvino-f32": OpenVino(folder, name, arguments.threads, "f32"),
                    "ours": Ours(arguments.tl, folder, name, arguments.threads, ""),
                    "openvino": OpenVino(folder, name, arguments.threads, ""),
                    "ours-bf16": Ours(arguments.tl, folder, name, arguments.threads, "bf16")}
        rates = {kind: [] for kind in runtimes}
        for _ in range(arguments.rounds):
            for kind, runtime in runtimes.items():
                rates[kind].append(runtime.rate(arguments.seconds))
        for runtime in runtimes.values():
            runtime.close()
        r = {kind: float(np.median(values)) for kind, values in rates.items()}
        results[name] = {**r, "requests": runtimes["openvino"].requests}
        print(f"{name:20} | {r['openvino-f32']:12.1f} {r['ours']:8.1f} {r['ours'] / r['openvino-f32']:6.2f} | {r['openvino']:9.1f} "
              f"{r['ours-bf16']:9.1f} {r['ours-bf16'] / r['openvino']:6.2f}", flush=True)
    common.save(arguments.json, results)


if __name__ == "__main__":
    main()
