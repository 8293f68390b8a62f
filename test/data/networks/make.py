"""Makes the networks of this folder with coremltools, and their expectations with NumPy: NAME.mlmodel, NAME.safetensors."""
import pathlib

import numpy as np
from coremltools.models import datatypes
from coremltools.models.neural_network import NeuralNetworkBuilder
from coremltools.models.utils import save_spec
from safetensors.numpy import save_file

rng = np.random.default_rng(5)
here = pathlib.Path(__file__).parent


def array(*shape):
    return datatypes.Array(*shape)


def builder(inputs, outputs, legacy=False):
    return NeuralNetworkBuilder([(n, array(*s)) for n, s in inputs.items()], [(n, array(*s) if s else None) for n, s in outputs.items()],
                                disable_rank5_shape_mapping=not legacy)


def save(name, b, inputs, outputs):
    spec = getattr(b, "spec", b)
    save_spec(spec, str(here / f"{name}.mlmodel"))
    tensors = {f"in.{k}": np.ascontiguousarray(v) for k, v in inputs.items()}
    tensors |= {f"out.{k}": np.ascontiguousarray(np.asarray(v, np.float32)) for k, v in outputs.items()}
    save_file(tensors, str(here / f"{name}.safetensors"))


def ints(*shape, low=-3, high=4):
    return rng.integers(low, high, shape).astype(np.float32)


def packed(codes, bits):
    """Codes as a bit stream, the most significant bit first."""
    text = "".join(format(int(c), f"0{bits}b") for c in codes.ravel())
    text += "0" * (-len(text) % 8)
    return bytes(int(text[i:i + 8], 2) for i in range(0, len(text), 8))


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def quantized():
    codes = {bits: rng.integers(0, 2 ** bits, (3, 5)) for bits in range(1, 9)}
    x = ints(2, 5)
    for bits, q in codes.items():
        b = builder({"x": (2, 5)}, {"y": (2, 3)})
        b.add_inner_product("ip", np.zeros((3, 5)), None, 5, 3, False, "x", "y")
        w = b.spec.neuralNetwork.layers[0].innerProduct.weights
        del w.floatValue[:]
        w.rawValue = packed(q, bits)
        w.quantization.numberOfBits = bits
        scale, bias = np.array([0.5, 2, 0.25]), np.array([-1, 0, 3])
        w.quantization.linearQuantization.scale.extend(scale)
        w.quantization.linearQuantization.bias.extend(bias)
        save(f"linear_{bits}_bit", b, {"x": x}, {"y": x @ (scale[:, None] * q + bias[:, None]).T})
        w.quantization.ClearField("linearQuantization")
        table = rng.permutation(2 ** bits).astype(np.float32) / 4
        w.quantization.lookupTableQuantization.floatValue.extend(table)
        save(f"table_{bits}_bit", b, {"x": x}, {"y": x @ table[q].T})
    b = builder({"x": (2, 5)}, {"y": (2, 3)})
    b.add_inner_product("ip", np.zeros((3, 5)), None, 5, 3, False, "x", "y")
    w = b.spec.neuralNetwork.layers[0].innerProduct.weights
    del w.floatValue[:]
    half = rng.standard_normal((3, 5)).astype(np.float16)
    w.float16Value = half.tobytes()
    save("half", b, {"x": x}, {"y": x @ half.astype(np.float32).T})


def images():
    pixels = rng.integers(0, 256, (2, 3, 3), dtype=np.uint8)
    for name, bgr, legacy in (("image_rgb", False, False), ("image_bgr", True, True)):
        b = builder({"x": (3, 2, 3)} if legacy else {"x": (1, 3, 2, 3)}, {"y": (3, 2, 3) if legacy else (1, 3, 2, 3)}, legacy)
        b.add_activation("copy", "LINEAR", "x", "y", params=[1, 0])
        b.set_pre_processing_parameters(image_input_names=["x"], is_bgr=bgr, red_bias=-1, green_bias=-2, blue_bias=3, image_scale=0.5)
        planes = pixels.astype(np.float32).transpose(2, 0, 1) * 0.5 + np.array([-1, -2, 3])[:, None, None]
        planes = planes[::-1] if bgr else planes
        save(name, b, {"x": pixels}, {"y": planes if legacy else planes[None]})
    b = builder({"x": (1, 1, 2, 3)}, {"y": (1, 1, 2, 3)})
    b.add_activation("copy", "LINEAR", "x", "y", params=[1, 0])
    b.set_pre_processing_parameters(image_input_names=["x"], gray_bias=4, image_scale=2)
    gray = pixels[:, :, 0]
    save("image_gray", b, {"x": gray}, {"y": gray.astype(np.float32)[None, None] * 2 + 4})
    b = builder({"x": (1, 3, 2, 3)}, {"y": (1, 3, 2, 3)})
    b.add_activation("copy", "LINEAR", "x", "y", params=[1, 0])
    b.set_pre_processing_parameters(image_input_names=["x"])
    del b.spec.neuralNetwork.preprocessing[:]
    mean = ints(3, 2, 3)
    step = b.spec.neuralNetwork.preprocessing.add()
    step.featureName = "x"
    step.meanImage.meanImage.extend(mean.ravel())
    save("image_mean", b, {"x": pixels}, {"y": (pixels.astype(np.float32).transpose(2, 0, 1) - mean)[None]})


def legacy_shapes():
    x = ints(2, 3, 4)
    cases = {
        "legacy_flatten": (lambda b: b.add_flatten("l", 0, "x", "y"), x.ravel()),
        "legacy_flatten_last": (lambda b: b.add_flatten("l", 1, "x", "y"), x.transpose(1, 2, 0).ravel()),
        "legacy_reshape": (lambda b: b.add_reshape("l", "x", "y", (4, 6, 1), 0), x.reshape(4, 6, 1)),
        "legacy_reshape_last": (lambda b: b.add_reshape("l", "x", "y", (4, 2, 3), 1),
                                x.transpose(1, 2, 0).reshape(2, 3, 4).transpose(2, 0, 1)),
        "legacy_permute": (lambda b: b.add_permute("l", (0, 3, 1, 2), "x", "y"), x.transpose(2, 0, 1)),
        "legacy_slice": (lambda b: b.add_slice("l", "x", "y", "width", 1, -1, 2), x[:, :, 1:-1:2]),
        "legacy_softmax": (lambda b: b.add_softmax("l", "x", "y"), np.exp(x) / np.exp(x).sum(0)),
        "legacy_reduce": (lambda b: b.add_reduce("l", "x", "y", "HW", "avg"), x.mean((1, 2), keepdims=True)),
        "legacy_bias": (lambda b: b.add_bias("l", np.array([1.0, -2]), "x", "y", [2]), x + np.array([1, -2])[:, None, None]),
        "legacy_scale": (lambda b: b.add_scale("l", np.array([2.0, 3]), np.array([1.0]), True, "x", "y", [2], [1]),
                         x * np.array([2, 3])[:, None, None] + 1),
    }
    for name, (add, y) in cases.items():
        b = builder({"x": (2, 3, 4)}, {"y": y.shape}, legacy=True)
        add(b)
        save(name, b, {"x": x}, {"y": y})
    b = builder({"x": (2, 3, 4)}, {"y": (1, 1, 1)}, legacy=True)
    b.add_inner_product("l", ints(5, 24), ints(5), 24, 5, True, "f", "y")
    b.spec.neuralNetwork.layers[0].input[0] = "f"
    b.add_flatten("f", 0, "x", "f")
    layers = b.spec.neuralNetwork.layers
    layers.insert(0, layers.pop())
    w = np.array(layers[1].innerProduct.weights.floatValue).reshape(5, 24)
    y = w @ x.ravel() + np.array(layers[1].innerProduct.bias.floatValue)
    del b.spec.description.output[0].type.multiArrayType.shape[:]
    b.spec.description.output[0].type.multiArrayType.shape.extend([5])
    save("legacy_inner_product", b, {"x": x}, {"y": y})


def legacy_lstm():
    steps, batch, size, hidden = 3, 2, 4, 2
    matrices = lambda columns: [rng.standard_normal((hidden, columns)).astype(np.float32) for _ in range(4)]
    w, r, bias = matrices(size), matrices(hidden), [rng.standard_normal(hidden).astype(np.float32) for _ in range(4)]
    b = builder({"x": (size,)}, {"y": (hidden,)}, legacy=True)
    b.add_unilstm("lstm", r, w, bias, hidden_size=hidden, input_size=size, input_names=["x", "h", "c"], output_names=["y", "h2", "c2"],
                  forget_bias=True, output_all=True)
    del b.spec.neuralNetwork.layers[0].input[1:]
    x = rng.standard_normal((steps, batch, size, 1, 1)).astype(np.float32)
    h = np.zeros((batch, hidden))
    c = np.zeros((batch, hidden))
    y = []
    for t in range(steps):
        i, f, o, z = (x[t, :, :, 0, 0] @ w[g].T + h @ r[g].T + bias[g] for g in range(4))
        c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(z)
        h = sigmoid(o) * np.tanh(c)
        y.append(h)
    save("legacy_lstm", b, {"x": x}, {"y": np.stack(y)[:, :, :, None, None]})


def control():
    # total += x while it is below 20; turns where the total is 3 are not counted; stops after a total over 8.
    b = builder({"x": (1,)}, {"total": (1,), "turns": (1,)})
    for name in ("total", "turns"):
        b.add_load_constant_nd(name, name, np.zeros(1), (1,))
    loop = b.add_loop("loop", max_iterations=50).loop
    loop.conditionVar = "go"
    condition = NeuralNetworkBuilder(nn_spec=loop.conditionNetwork, disable_rank5_shape_mapping=True)
    condition.add_less_than("go", ["total"], "go", alpha=20)
    body = NeuralNetworkBuilder(nn_spec=loop.bodyNetwork, disable_rank5_shape_mapping=True)
    body.add_elementwise("sum", ["total", "x"], "sum", "ADD")
    body.add_copy("keep", "sum", "total")
    body.add_equal("three", ["total"], "three", alpha=3)
    inner = NeuralNetworkBuilder(nn_spec=body.add_branch("skip", "three").branch.ifBranch, disable_rank5_shape_mapping=True)
    inner.add_loop_continue("continue")
    body.add_elementwise("more", ["turns"], "more", "ADD", alpha=1)
    body.add_copy("count", "more", "turns")
    body.add_greater_than("much", ["total"], "much", alpha=8)
    inner = NeuralNetworkBuilder(nn_spec=body.add_branch("stop", "much").branch.ifBranch, disable_rank5_shape_mapping=True)
    inner.add_loop_break("break")
    for step in (1, 2, 30):
        total, turns = 0, 0
        while total < 20:
            total += step
            if total == 3:
                continue
            turns += 1
            if total > 8:
                break
        save(f"loop_{step}", b, {"x": np.array([step], np.float32)}, {"total": [total], "turns": [turns]})


def normalized():
    x = ints(1, 2, 3, 4)
    w, bias = ints(1, 1, 2, 3), ints(3)
    gamma, beta, mean, variance = np.array([1.0, -2, 0.5]), np.array([0.5, 1, -1]), np.array([1.0, 2, -3]), np.array([4.0, 0.25, 1])
    y = np.einsum("nchw,co->nohw", x, w[0, 0]) + bias[:, None, None]
    column = lambda v: v[:, None, None]
    y = column(gamma) * (y - column(mean)) / np.sqrt(column(variance) + 0.5) + column(beta)
    for name, shape in (("normalized", (1, 2, 3, 4)), ("normalized_rank_3", (2, 3, 4))):
        b = builder({"x": shape}, {"y": (1, 3, 3, 4)[4 - len(shape):]})
        b.add_convolution("conv", 2, 3, 1, 1, 1, 1, "valid", 1, w, bias, True, input_name="x", output_name="c")
        b.add_batchnorm("norm", 3, gamma, beta, mean, variance, input_name="c", output_name="n", epsilon=0.5)
        b.add_activation("relu", "RELU", "n", "y")
        save(name, b, {"x": x.reshape(shape)}, {"y": np.maximum(y, 0).reshape((1, 3, 3, 4)[4 - len(shape):])})


def layers():
    x = ints(2, 3, 4)
    cases = {
        "asinh": (lambda b: b.add_asinh("l", "x", "y"), np.arcsinh(x)),
        "acosh": (lambda b: b.add_acosh("l", "a", "y"), np.arccosh(np.abs(x) + 1)),
        "upper": (lambda b: b.add_upper_triangular("l", "x", "y", k=1), np.triu(x, 1)),
        "upper_below": (lambda b: b.add_upper_triangular("l", "x", "y", k=-1), np.triu(x, -1)),
        "lower": (lambda b: b.add_lower_triangular("l", "x", "y", k=1), np.tril(x, 1)),
        "lower_below": (lambda b: b.add_lower_triangular("l", "x", "y", k=-1), np.tril(x, -1)),
        "pad_to": (lambda b: b.add_constant_pad("l", ["x"], "y", value=7, pad_to_given_output_size_mode=True, pad_amounts=[0, 0, 5, 0, 0, 6]),
                   np.pad(x, ((0, 0), (2, 0), (0, 2)), constant_values=7)),
        "statistics": (lambda b: (b.add_batchnorm("l", 2, np.array([1.0, 2]), np.array([0.5, -1]), input_name="x", output_name="y",
                                                  compute_mean_var=True, instance_normalization=True, epsilon=0.1),
                                  setattr(b.spec.neuralNetwork.layers[-1].batchnorm, "instanceNormalization", False)),
                       (x - x.mean((1, 2), keepdims=True)) / np.sqrt(x.var((1, 2), keepdims=True) + 0.1)
                       * np.array([1, 2])[:, None, None] + np.array([0.5, -1])[:, None, None]),
        "prelu": (lambda b: b.add_activation("l", "PRELU", "x", "y", params=np.array([0.5, -2])),
                  np.where(x > 0, x, x * np.array([0.5, -2])[:, None, None])),
        "softplus": (lambda b: b.add_activation("l", "PARAMETRICSOFTPLUS", "x", "y", params=[np.array([2.0]), np.array([0.5])]),
                     2 * np.log1p(np.exp(0.5 * x))),
        "mvn": (lambda b: b.add_mvn("l", "x", "y", across_channels=True, normalize_variance=False), x - x.mean()),
        "cosine": (lambda b: b.add_elementwise("l", ["x", "a"], "y", "COS"),
                   np.reshape((x * (np.abs(x) + 1)).sum() / np.sqrt((x ** 2).sum() * ((np.abs(x) + 1) ** 2).sum()), (1, 1, 1))),
        "split": (lambda b: (b.add_split_nd("l", "x", ["p", "q", "y"], axis=2, num_splits=3), None), np.split(x, [2, 3], 2)[2]),
        "power": (lambda b: b.add_unary("l", "a", "y", "power", alpha=1.5, shift=1, scale=2), (2 * (np.abs(x) + 1) + 1) ** 1.5),
    }
    for name, (add, y) in cases.items():
        b = builder({"x": (2, 3, 4)}, {"y": y.shape})
        b.add_unary("abs", "x", "abs", "abs")
        b.add_elementwise("a", ["abs"], "a", "ADD", alpha=1)
        add(b)
        save(f"layer_{name}", b, {"x": x}, {"y": y})


for make in (quantized, images, legacy_shapes, legacy_lstm, control, layers, normalized):
    make()
