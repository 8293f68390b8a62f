"""Quantized networks: W8A8 against OpenVINO's int8 on the same levels and scales, and weight-only compression against fp16.

usage: quantized.py --tl build/bin/tl --models FOLDER [--threads 2] [--rounds 5] [--iterations 6] [--json FILE] [int8|weights]

FOLDER holds what models.py made. Missing twins are made there: NAME.w8a8.mlpackage by coremltools' linear_quantize_activations (one
random sample, run by the Python package tensorlogic, which must be importable) and linear_quantize_weights; NAME.w8a8.onnx is that
program op by op, with QuantizeLinear and DequantizeLinear of the same scales and the same bytes as weights.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

import common

HERE = pathlib.Path(__file__).resolve().parent
INT8 = ["resnet50", "mobilenet_v2"]
WEIGHTS = ["resnet50", "bert_base"]
KINDS = ["int8", "lut6", "lut4", "sparse"]


def without_smallest(co, source, share):
    """Thresholds that zero this share of each weight. OpMagnitudePrunerConfig takes the percentile of the fp16 values, whose places
    NumPy 2 computes in fp16 as well: weights of more than 65504 elements keep nearly all of them."""
    config = co.OptimizationConfig()
    for name, weight in co.get_weights_metadata(source, weight_threshold=2048).items():
        magnitudes = np.abs(np.asarray(weight.val, np.float32)).reshape(-1)
        place = int(share * magnitudes.size) - 1
        config.set_op_name(name, co.OpThresholdPrunerConfig(threshold=float(np.partition(magnitudes, place)[place])))
    return config


def compressed(folder, name, kind):
    """The path of a weight-only compressed package, made when it is missing."""
    path = folder / f"{name}.{kind}.mlpackage"
    if path.exists():
        return path
    import coremltools as ct
    import coremltools.optimize as cto

    source = ct.models.MLModel(str(folder / f"{name}.mlpackage"), skip_model_load=True)
    co = cto.coreml
    if kind == "int8":
        done = co.linear_quantize_weights(source, co.OptimizationConfig(co.OpLinearQuantizerConfig(mode="linear_symmetric")))
    elif kind == "lut4":
        done = co.palettize_weights(source, co.OptimizationConfig(co.OpPalettizerConfig(mode="uniform", nbits=4)))
    elif kind == "lut6":
        done = co.palettize_weights(source, co.OptimizationConfig(co.OpPalettizerConfig(mode="uniform", nbits=6)))
    else:
        done = co.prune_weights(source, without_smallest(co, source, 0.75))
    done.save(str(path))
    return path


def quantize(folder, name):
    """The W8A8 package."""
    path = folder / f"{name}.w8a8.mlpackage"
    if path.exists():
        return path
    import tensorlogic.coreml  # noqa: F401  coremltools predicts through it
    import coremltools as ct
    import coremltools.optimize.coreml as co
    import torch

    sys.path.insert(0, str(HERE))
    import models

    network, sample = models.build(name)
    values = tuple(torch.from_numpy(v) for v in sample.values())
    with torch.no_grad():
        traced = torch.jit.trace(network, values)
    plain = ct.convert(traced, minimum_deployment_target=ct.target.iOS17, compute_precision=ct.precision.FLOAT16,
                       inputs=[ct.TensorType(name=k, shape=v.shape) for k, v in sample.items()],
                       outputs=[ct.TensorType(name="y0")])
    levels = co.experimental.OpActivationLinearQuantizerConfig(mode="linear_symmetric")
    activations = co.OptimizationConfig(op_type_configs={"conv": levels, "linear": levels})
    weights = co.OptimizationConfig(global_config=co.OpLinearQuantizerConfig(mode="linear_symmetric", weight_threshold=0))
    co.linear_quantize_weights(co.experimental.linear_quantize_activations(plain, activations, [sample]), weights).save(str(path))
    return path


class Onnx:
    """A quantized ML program as ONNX, op by op: the same levels and scales, float32 between them."""

    def __init__(self, path):
        import coremltools as ct
        from coremltools.converters.mil.frontend.milproto.load import load as load_program

        model = ct.models.MLModel(str(path), skip_model_load=True)
        program = load_program(model.get_spec(), model.get_spec().specificationVersion, model.weights_dir)
        self.function = program.functions["main"]
        self.nodes, self.constants = [], []
        for op in self.function.operations:
            if op.op_type != "const":
                getattr(self, op.op_type)(op, op.outputs[0].name)

    def constant(self, value, like):
        from onnx import numpy_helper

        name = f"c{len(self.constants)}_{like}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def value(self, var):
        if var.op is None or var.op.op_type != "const":
            return var.name
        value = np.asarray(var.val)
        return self.constant(value.astype(np.float32) if value.dtype == np.float16 else value, var.name)

    def emit(self, kind, inputs, out, **attributes):
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [out], **attributes))

    def levels(self, kind, op, out):
        zero = np.int8(0) if op.zero_point is None else np.asarray(op.zero_point.val)
        self.emit(kind, [self.value(op.input), self.constant(np.float32(op.scale.val), "s"), self.constant(zero, "z")], out)

    def quantize(self, op, out):
        self.levels("QuantizeLinear", op, out)

    def dequantize(self, op, out):
        self.levels("DequantizeLinear", op, out)

    def constexpr(self, data, scale, out):
        scale = np.broadcast_to(np.asarray(scale, np.float32).reshape(-1), (data.shape[0],))
        self.emit("DequantizeLinear", [self.constant(data.astype(np.int8), "w"), self.constant(scale, "s"),
                                       self.constant(np.zeros(len(scale), np.int8), "z")], out, axis=0)

    def constexpr_affine_dequantize(self, op, out):
        self.constexpr(np.asarray(op.quantized_data.val), op.scale.val, out)

    def constexpr_blockwise_shift_scale(self, op, out):
        self.constexpr(np.asarray(op.data.val), op.scale.val, out)

    def conv(self, op, out):
        bias = [] if op.bias is None else [self.value(op.bias)]
        pad = [0, 0, 0, 0] if op.pad_type.val == "valid" else list(op.pad.val)
        self.emit("Conv", [self.value(op.x), self.value(op.weight), *bias], out, strides=list(op.strides.val), group=int(op.groups.val),
                  dilations=list(op.dilations.val), pads=[pad[0], pad[2], pad[1], pad[3]])

    def linear(self, op, out):
        self.emit("Gemm", [self.value(op.x), self.value(op.weight), self.value(op.bias)], out, transB=1)

    def relu(self, op, out):
        self.emit("Relu", [self.value(op.x)], out)

    def clip(self, op, out):
        bounds = [self.constant(np.float32(v.val), "b") for v in (op.alpha, op.beta)]
        self.emit("Clip", [self.value(op.x), *bounds], out)

    def add(self, op, out):
        self.emit("Add", [self.value(op.x), self.value(op.y)], out)

    def max_pool(self, op, out):
        pad = [0, 0, 0, 0] if op.pad_type.val == "valid" else list(op.pad.val)
        self.emit("MaxPool", [self.value(op.x)], out, kernel_shape=list(op.kernel_sizes.val), strides=list(op.strides.val),
                  pads=[pad[0], pad[2], pad[1], pad[3]])

    def reduce_mean(self, op, out):
        self.emit("ReduceMean", [self.value(op.x)], out, axes=[int(a) for a in op.axes.val], keepdims=int(op.keep_dims.val))

    def reshape(self, op, out):
        self.emit("Reshape", [self.value(op.x), self.constant(np.asarray(op.shape.val, np.int64), "shape")], out)

    def cast(self, op, out):
        self.emit("Identity", [self.value(op.x)], out)

    def model(self):
        import onnx
        from onnx import helper

        inputs = [helper.make_tensor_value_info(v.name, onnx.TensorProto.FLOAT, list(v.shape)) for v in self.function.inputs.values()]
        last = self.function.outputs[0]
        outputs = [helper.make_tensor_value_info(last.name, onnx.TensorProto.FLOAT, list(last.shape))]
        graph = helper.make_graph(self.nodes, "twin", inputs, outputs, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def twin(folder, name):
    """The ONNX model of the same levels."""
    path = folder / f"{name}.w8a8.onnx"
    if not path.exists():
        import onnx

        onnx.save(Onnx(quantize(folder, name)).model(), str(path))
    return path


class Ours:
    def __init__(self, arguments, package, inputs, **environment):
        self.environment = {**os.environ, **environment}
        self.scratch = tempfile.TemporaryDirectory()
        root = pathlib.Path(self.scratch.name)
        self.inputs = []
        for key, value in inputs.items():
            np.save(root / f"{key}.npy", value)
            self.inputs += ["--in", f"{key}={root / key}.npy"]
        self.command = [arguments.tl, "bench", str(package), "--threads", str(arguments.threads), "--json", "--times", *self.inputs]
        done = subprocess.run([arguments.tl, "predict", str(package), *self.inputs, "--out", str(root / "out.npz")],
                              capture_output=True, text=True, env=self.environment)
        if done.returncode != 0:
            raise SystemExit(done.stderr)
        with np.load(root / "out.npz") as got:
            self.answer = got["y0"].astype(np.float32)
        self.memory = self.anonymous = 0

    def times(self, count):
        run = json.loads(subprocess.run([*self.command, "--iterations", str(count), "--warmup", "3"], check=True, capture_output=True,
                                        text=True, env=self.environment).stdout)
        self.memory, self.anonymous = run["peak_memory_bytes"], run["anonymous_memory_bytes"]
        return [t / 1e3 for t in run["times_ms"]]


class OpenVino:
    def __init__(self, path, data, threads):
        self.process = subprocess.Popen([sys.executable, HERE / "rival.py", "openvino-fast", path, data, str(threads)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.facts = json.loads(self.process.stdout.readline())

    def times(self, count):
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def interleaved(runtimes, arguments):
    times = {name: [] for name in runtimes}
    for _ in range(arguments.rounds):
        for name, runtime in runtimes.items():
            times[name] += runtime.times(arguments.iterations)
    return {name: 1e3 * float(np.median(values)) for name, values in times.items()}


def int8(arguments, folder):
    results = {}
    print(f"{'model':16} {'OpenVINO int8':>13} {'ours int8':>10} {'ratio':>6} {'ours fp16':>10} {'difference from OpenVINO':>25}")
    for name in INT8:
        package, rival, inputs = quantize(folder, name), twin(folder, name), common.inputs_of(folder, name)
        ours = Ours(arguments, package, inputs)
        runtimes = {"openvino": OpenVino(rival, folder / f"{name}.npz", arguments.threads), "int8": ours,
                    "fp16": Ours(arguments, folder / f"{name}.mlpackage", inputs)}
        answer = onnx_answer(rival, inputs)
        difference = float(np.abs(answer - ours.answer).max() / np.abs(answer).max())
        t = results[name] = interleaved(runtimes, arguments)
        t["difference"] = difference
        print(f"{name:16} {t['openvino']:13.2f} {t['int8']:10.2f} {t['int8'] / t['openvino']:6.2f} {t['fp16']:10.2f} {difference:25.1e}", flush=True)
    return results


def onnx_answer(path, inputs):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


def weights(arguments, folder):
    """Each kind of compression as it is, and with the knob that counts memory more than time."""
    results = {}
    print(f"{'model':12} {'weights':8} {'file MB':>8} | {'ms':>7} {'ratio':>6} {'peak MB':>8} {'anonymous MB':>13} | TL_MEMORY=1: the same")
    for name in WEIGHTS:
        inputs = common.inputs_of(folder, name)
        packages = {"fp16": folder / f"{name}.mlpackage", **{kind: compressed(folder, name, kind) for kind in KINDS}}
        runtimes = {(kind, memory): Ours(arguments, package, inputs, TL_MEMORY=memory)
                    for kind, package in packages.items() for memory in ("0", "1")}
        times = interleaved(runtimes, arguments)
        results[name] = {}
        for kind, package in packages.items():
            stored = sum(f.stat().st_size for f in package.rglob("weight.bin"))
            cells = []
            for memory in ("0", "1"):
                ms, runtime = times[kind, memory], runtimes[kind, memory]
                ratio = ms / times["fp16", "0"]
                results[name][f"{kind}, memory {memory}"] = {"p50_ms": ms, "ratio": ratio, "file": stored, "peak": runtime.memory,
                                                             "anonymous": runtime.anonymous}
                cells.append(f"{ms:7.2f} {ratio:6.2f} {runtime.memory / 1e6:8.0f} {runtime.anonymous / 1e6:13.0f}")
            print(f"{name:12} {kind:8} {stored / 1e6:8.1f} | " + " | ".join(cells), flush=True)
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["int8", "weights"], choices=["int8", "weights"])
    common.add_options(parser, 5)
    parser.add_argument("--models", required=True)
    parser.add_argument("--iterations", type=int, default=6)
    arguments = parser.parse_args()
    folder = pathlib.Path(arguments.models)
    results = {what: {"int8": int8, "weights": weights}[what](arguments, folder) for what in arguments.what}
    common.save(arguments.json, results)


if __name__ == "__main__":
    main()
