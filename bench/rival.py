"""A rival in a process of its own: reads "N" from stdin, runs N predictions, answers with their times in seconds (JSON).

usage: rival.py onnxruntime|openvino|openvino-fast MODEL.onnx MODEL.npz THREADS
The first line it prints: load and first-prediction seconds, peak memory, the largest and mean
difference from torch's answer.
"""
import json
import resource
import sys
import time

import numpy as np


def onnxruntime_session(path, threads):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    types = {i.name: np.int64 if "int64" in i.type else np.float32 for i in session.get_inputs()}
    return lambda inputs: session.run(None, inputs), types


def openvino_session(path, threads, precision):
    import openvino as ov

    core = ov.Core()
    config = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    if precision:
        config["INFERENCE_PRECISION_HINT"] = precision
    compiled = core.compile_model(path, "CPU", config)
    request = compiled.create_infer_request()
    types = {i.any_name: np.int64 if "i64" in str(i.element_type) or "int64" in str(i.element_type) else np.float32
             for i in compiled.inputs}

    def run(inputs):
        result = request.infer(inputs, share_inputs=True, share_outputs=True)
        return [result[o] for o in compiled.outputs]

    return run, types


def main():
    kind, model, data, threads = sys.argv[1:5]
    start = time.perf_counter()
    if kind == "onnxruntime":
        run, types = onnxruntime_session(model, int(threads))
    else:
        run, types = openvino_session(model, int(threads), "" if kind == "openvino-fast" else "f32")
    load = time.perf_counter() - start
    with np.load(data) as stored:
        inputs = {name: stored[name].astype(dtype) for name, dtype in types.items()}
        expected = [stored[f"y{i}"] for i in range(len(stored.files) - len(types))]
    start = time.perf_counter()
    got = run(inputs)
    first = time.perf_counter() - start
    errors = [np.abs(np.asarray(g, np.float32) - e).ravel() for g, e in zip(got, expected)]
    scale = max(float(np.abs(e).max()) for e in expected)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"load": load, "first": first, "memory": memory, "difference": max(float(e.max()) for e in errors),
                      "mean": float(np.concatenate(errors).mean()), "scale": scale}), flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            start = time.perf_counter()
            run(inputs)
            times.append(time.perf_counter() - start)
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main()
