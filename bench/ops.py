"""Times every op on about a million elements against NumPy and torch and lists those that take over ten times as long.

usage: ops.py [--models FOLDER] [--threads 2] [--seconds 0.15] [--limit 10] [--json FILE] [OP...]

Each row is a Core ML model of one op, made with coremltools (kept in FOLDER) and run through the Python package, and the same
in torch or NumPy; the figure is the fastest of the repetitions that fit into --seconds. PYTHONPATH must find `tensorlogic`.
"""
import argparse
import json
import logging
import os
import pathlib
import sys
import tempfile
import time

import numpy as np

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--models", type=pathlib.Path)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--seconds", type=float, default=0.15)
parser.add_argument("--limit", type=float, default=10)
parser.add_argument("--json", type=pathlib.Path)
parser.add_argument("--build-only", action="store_true", help="make the models and stop")
parser.add_argument("ops", nargs="*")
args = parser.parse_args()
os.environ["OMP_NUM_THREADS"] = os.environ["TL_THREADS"] = str(args.threads)

import torch  # noqa: E402  (reads OMP_NUM_THREADS)
import torch.nn.functional as F  # noqa: E402

torch.set_num_threads(args.threads)
random = np.random.default_rng(1)


def real(*shape, low=-2.0, high=2.0):
    return random.uniform(low, high, shape).astype(np.float32)


def ints(*shape, low=0, high=100):
    return random.integers(low, high, shape).astype(np.int32)


def t(a):
    return torch.from_numpy(a)


class Row:
    """`make(mb, **inputs)` gives the output of a MIL program; `rival(**inputs)` the same from torch (tensors) or NumPy."""

    def __init__(self, name, inputs, make, rival, arrays=False):
        self.name, self.inputs, self.make, self.rival, self.arrays = name, inputs, make, rival, arrays


ROWS = []


def row(name, inputs, make, rival, arrays=False):
    ROWS.append(Row(name, inputs, make, rival, arrays))


M = 1 << 20
X = real(1024, 1024)
Y = real(1024, 1024, low=0.5)
IMAGE = real(4, 16, 128, 128)


def unary(name, rival, x=X, **params):
    row(name, {"x": x}, lambda mb, x: getattr(mb, name)(x=x, **params), lambda x: rival(x))


unary("abs", torch.abs)
unary("acos", torch.acos, real(1024, 1024, low=-1, high=1))
unary("asin", torch.asin, real(1024, 1024, low=-1, high=1))
unary("atan", torch.atan)
unary("atanh", torch.atanh, real(1024, 1024, low=-0.9, high=0.9))
unary("ceil", torch.ceil)
unary("clip", lambda x: torch.clamp(x, -1, 1), alpha=-1.0, beta=1.0)
unary("cos", torch.cos)
unary("cosh", torch.cosh)
unary("erf", torch.erf)
unary("exp", torch.exp)
unary("exp2", torch.exp2)
unary("floor", torch.floor)
unary("inverse", torch.reciprocal, Y)
unary("log", torch.log, Y)
unary("round", torch.round)
unary("rsqrt", torch.rsqrt, Y)
unary("sign", torch.sign)
unary("sin", torch.sin)
unary("sinh", torch.sinh)
unary("sqrt", torch.sqrt, Y)
unary("square", torch.square)
unary("tan", torch.tan)
unary("tanh", torch.tanh)
unary("threshold", lambda x: torch.clamp(x, min=0.5), alpha=0.5)
unary("clamped_relu", lambda x: torch.clamp(F.leaky_relu(x, 0.3), max=1.0), alpha=0.3, beta=1.0)
unary("elu", lambda x: F.elu(x), alpha=1.0)
unary("gelu", lambda x: F.gelu(x), mode="EXACT")
unary("leaky_relu", lambda x: F.leaky_relu(x, 0.1), alpha=0.1)
unary("linear_activation", lambda x: x * 2 + 1, alpha=2.0, beta=1.0)
unary("relu", torch.relu)
unary("relu6", F.relu6)
unary("scaled_tanh", lambda x: 2 * torch.tanh(0.5 * x), alpha=2.0, beta=0.5)
unary("sigmoid", torch.sigmoid)
unary("sigmoid_hard", F.hardsigmoid, alpha=0.2, beta=0.5)
unary("silu", F.silu)
unary("softplus", F.softplus)
unary("softsign", F.softsign)
unary("thresholded_relu", lambda x: F.threshold(x, 0.5, 0.0), alpha=0.5)
unary("prelu", lambda x: F.prelu(x, torch.full((16,), 0.1)), IMAGE, alpha=np.full(16, 0.1, np.float32))
unary("softplus_parametric", lambda x: 0.5 * F.softplus(x * 2), IMAGE, alpha=np.full(16, 0.5, np.float32),
      beta=np.full(16, 2, np.float32))
unary("softmax", lambda x: torch.softmax(x, -1), axis=-1)
row("softmax:first", {"x": X}, lambda mb, x: mb.softmax(x=x, axis=0), lambda x: torch.softmax(x, 0))


def binary(name, rival, x=X, y=Y, label=None):
    row(label or name, {"x": x, "y": y}, lambda mb, x, y: getattr(mb, name)(x=x, y=y), rival)


binary("add", torch.add)
binary("add", torch.add, real(64, 1, 16384), real(1, 1, 16384), "add:row")
binary("add", torch.add, real(64, 16384), real(64, 1), "add:column")
binary("add", torch.add, ints(1024, 1024), ints(1024, 1024), "add:int32")
binary("sub", torch.sub)
binary("mul", torch.mul)
binary("mul", torch.mul, IMAGE, real(4, 16, 1, 1), "mul:channel")
binary("real_div", torch.div)
binary("floor_div", torch.floor_divide)
binary("floor_div", torch.floor_divide, ints(1024, 1024), ints(1024, 1024, low=1), "floor_div:int32")
binary("mod", torch.remainder)
binary("pow", torch.pow, Y, X)
binary("maximum", torch.maximum)
binary("minimum", torch.minimum)
for op, rival in {"equal": torch.eq, "not_equal": torch.ne, "greater": torch.gt, "greater_equal": torch.ge, "less": torch.lt,
                  "less_equal": torch.le}.items():
    row(op, {"x": X, "y": Y}, lambda mb, x, y, op=op: mb.cast(x=getattr(mb, op)(x=x, y=y), dtype="fp32"),
        lambda x, y, rival=rival: rival(x, y).float())
row("equal:int32", {"x": ints(M), "y": ints(M)}, lambda mb, x, y: mb.cast(x=mb.equal(x=x, y=y), dtype="int32"),
    lambda x, y: torch.eq(x, y).int())
for op, rival in {"logical_and": torch.logical_and, "logical_or": torch.logical_or, "logical_xor": torch.logical_xor}.items():
    row(op, {"x": X, "y": Y},
        lambda mb, x, y, op=op: mb.cast(x=getattr(mb, op)(x=mb.greater(x=x, y=0.0), y=mb.greater(x=y, y=1.0)), dtype="fp32"),
        lambda x, y, rival=rival: rival(x > 0, y > 1).float())
row("logical_not", {"x": X}, lambda mb, x: mb.cast(x=mb.logical_not(x=mb.greater(x=x, y=0.0)), dtype="fp32"),
    lambda x: torch.logical_not(x > 0).float())
row("select", {"x": X, "y": Y}, lambda mb, x, y: mb.select(cond=mb.greater(x=x, y=0.0), a=x, b=y),
    lambda x, y: torch.where(x > 0, x, y))
for kind, cast in {"int32": torch.int32, "fp16": torch.float16, "bool": torch.bool}.items():
    row(f"cast:{kind}", {"x": X}, lambda mb, x, kind=kind: mb.cast(x=mb.cast(x=x, dtype=kind), dtype="fp32"),
        lambda x, cast=cast: x.to(cast).float())
row("cast:int8", {"x": ints(M)}, lambda mb, x: mb.cast(x=mb.cast(x=x, dtype="int8"), dtype="fp32"), lambda x: x.to(torch.int8).float())

REDUCE = {
    "reduce_sum": torch.sum, "reduce_mean": torch.mean, "reduce_max": torch.amax, "reduce_min": torch.amin,
    "reduce_prod": lambda x, axis: torch.prod(x, axis), "reduce_l1_norm": lambda x, axis: torch.abs(x).sum(axis),
    "reduce_l2_norm": lambda x, axis: torch.linalg.vector_norm(x, dim=axis), "reduce_log_sum_exp": torch.logsumexp,
    "reduce_sum_square": lambda x, axis: (x * x).sum(axis), "reduce_log_sum": lambda x, axis: torch.log(torch.sum(x, axis)),
    "reduce_argmax": torch.argmax, "reduce_argmin": torch.argmin,
}
for op, rival in REDUCE.items():
    for axis in (1, 0):
        key = "axis" if "arg" in op else "axes"
        row(f"{op}:{axis}", {"x": Y},
            lambda mb, x, op=op, axis=axis, key=key: getattr(mb, op)(x=x, **{key: axis if key == "axis" else [axis]}),
            lambda x, rival=rival, axis=axis: rival(x, axis))
row("reduce_mean:image", {"x": IMAGE}, lambda mb, x: mb.reduce_mean(x=x, axes=[2, 3]), lambda x: x.mean((2, 3)))
row("reduce_sum:int32", {"x": ints(1024, 1024)}, lambda mb, x: mb.reduce_sum(x=x, axes=[1]), lambda x: x.sum(1))
for axis in (0, 1):
    row(f"cumsum:{axis}", {"x": X}, lambda mb, x, axis=axis: mb.cumsum(x=x, axis=axis), lambda x, axis=axis: torch.cumsum(x, axis))
    row(f"argsort:{axis}", {"x": X}, lambda mb, x, axis=axis: mb.argsort(x=x, axis=axis, ascending=True),
        lambda x, axis=axis: torch.argsort(x, axis))
    row(f"topk:{axis}", {"x": X}, lambda mb, x, axis=axis: mb.topk(x=x, k=5, axis=axis)[0], lambda x, axis=axis: torch.topk(x, 5, axis)[0])
row("topk:all", {"x": real(M)}, lambda mb, x: mb.topk(x=x, k=100, axis=0)[0], lambda x: torch.topk(x, 100)[0])
row("argsort:all", {"x": real(M)}, lambda mb, x: mb.argsort(x=x, axis=0), lambda x: torch.argsort(x))
row("non_zero", {"x": ints(1024, 1024, high=2)}, lambda mb, x: mb.non_zero(x=x), lambda x: torch.nonzero(x).int())
row("one_hot", {"x": ints(8192, high=128)}, lambda mb, x: mb.one_hot(indices=x, one_hot_vector_size=128, on_value=1.0, off_value=0.0),
    lambda x: F.one_hot(x.long(), 128).float())
row("band_part", {"x": X}, lambda mb, x: mb.band_part(x=x, lower=-1, upper=0), lambda x: torch.triu(x))
row("fill_like", {"x": X}, lambda mb, x: mb.fill_like(ref_tensor=x, value=2.0), lambda x: torch.full_like(x, 2))
row("range_1d", {"x": np.array([M], np.float32)}, lambda mb, x: mb.range_1d(start=0.0, end=mb.squeeze(x=x), step=1.0),
    lambda x: torch.arange(0.0, float(x[0]), 1.0))

for perm in [(1, 0), (0, 2, 1, 3), (0, 2, 3, 1), (3, 2, 1, 0), (2, 0, 1)]:
    shape = {2: (1024, 1024), 3: (64, 128, 128), 4: (4, 64, 64, 64)}[len(perm)]
    row("transpose:" + "".join(map(str, perm)), {"x": real(*shape)}, lambda mb, x, perm=perm: mb.transpose(x=x, perm=perm),
        lambda x, perm=perm: x.permute(perm).contiguous())
row("transpose:int32", {"x": ints(1024, 1024)}, lambda mb, x: mb.transpose(x=x, perm=[1, 0]), lambda x: x.t().contiguous())
row("concat:0", {"x": X, "y": Y}, lambda mb, x, y: mb.concat(values=[x, y], axis=0), lambda x, y: torch.cat([x, y], 0))
row("concat:1", {"x": X, "y": Y}, lambda mb, x, y: mb.concat(values=[x, y], axis=1), lambda x, y: torch.cat([x, y], 1))
row("stack", {"x": X, "y": Y}, lambda mb, x, y: mb.stack(values=[x, y], axis=2), lambda x, y: torch.stack([x, y], 2))
row("split", {"x": X}, lambda mb, x: mb.split(x=x, num_splits=2, axis=1)[1], lambda x: torch.split(x, 512, 1)[1].contiguous())
row("tile", {"x": real(512, 512)}, lambda mb, x: mb.tile(x=x, reps=[2, 2]), lambda x: x.repeat(2, 2))
row("reverse:1", {"x": X}, lambda mb, x: mb.reverse(x=x, axes=[1]), lambda x: torch.flip(x, [1]))
row("reverse_sequence", {"x": X, "n": ints(1024, high=1024)},
    lambda mb, x, n: mb.reverse_sequence(x=x, lengths=n, seq_axis=1, batch_axis=0), lambda x, n: torch.flip(x, [1]))
row("slice_by_index", {"x": X}, lambda mb, x: mb.slice_by_index(x=x, begin=[0, 1], end=[1024, 1023], stride=[1, 2]),
    lambda x: x[:, 1:1023:2].contiguous())
row("slice_by_size", {"x": X}, lambda mb, x: mb.slice_by_size(x=x, begin=[1, 1], size=[1000, 1000]), lambda x: x[1:1001, 1:1001].contiguous())
row("slice_update", {"x": X, "y": real(1000, 1000)}, lambda mb, x, y: mb.slice_update(x=x, update=y, begin=[1, 1], end=[1001, 1001]),
    lambda x, y: x.clone().index_put_((torch.arange(1, 1001)[:, None], torch.arange(1, 1001)), y))
for mode in ("constant", "reflect", "replicate"):
    row(f"pad:{mode}", {"x": IMAGE}, lambda mb, x, mode=mode: mb.pad(x=x, pad=[0, 0, 0, 0, 2, 2, 2, 2][4:], mode=mode),
        lambda x, mode=mode: F.pad(x, (2, 2, 2, 2), mode=mode))
row("gather:0", {"x": X, "i": ints(1024, high=1024)}, lambda mb, x, i: mb.gather(x=x, indices=i, axis=0), lambda x, i: x.index_select(0, i))
row("gather:1", {"x": X, "i": ints(1024, high=1024)}, lambda mb, x, i: mb.gather(x=x, indices=i, axis=1), lambda x, i: x.index_select(1, i))
row("gather_along_axis", {"x": X, "i": ints(1024, 1024, high=1024)}, lambda mb, x, i: mb.gather_along_axis(x=x, indices=i, axis=1),
    lambda x, i: torch.gather(x, 1, i.long()))
row("gather_nd", {"x": X, "i": ints(M, 2, high=1024)}, lambda mb, x, i: mb.gather_nd(x=x, indices=i), lambda x, i: x[i[:, 0], i[:, 1]])
row("scatter", {"x": X, "i": ints(1024, high=1024), "u": Y}, lambda mb, x, i, u: mb.scatter(data=x, indices=i, updates=u, axis=0, mode="add"),
    lambda x, i, u: x.index_add(0, i, u))
row("scatter_along_axis", {"x": X, "i": ints(1024, 1024, high=1024), "u": Y},
    lambda mb, x, i, u: mb.scatter_along_axis(data=x, indices=i, updates=u, axis=1, mode="add"), lambda x, i, u: x.scatter_add(1, i.long(), u))
row("scatter_nd", {"x": X, "i": ints(M, 2, high=1024), "u": real(M)},
    lambda mb, x, i, u: mb.scatter_nd(data=x, indices=i, updates=u, mode="add"),
    lambda x, i, u: x.index_put((i[:, 0], i[:, 1]), u, accumulate=True))
row("depth_to_space", {"x": IMAGE}, lambda mb, x: mb.depth_to_space(x=x, block_size=2), lambda x: F.pixel_shuffle(x, 2))
row("space_to_depth", {"x": IMAGE}, lambda mb, x: mb.space_to_depth(x=x, block_size=2), lambda x: F.pixel_unshuffle(x, 2))
row("pixel_shuffle", {"x": IMAGE}, lambda mb, x: mb.pixel_shuffle(x=x, upscale_factor=2), lambda x: F.pixel_shuffle(x, 2))
row("pixel_unshuffle", {"x": IMAGE}, lambda mb, x: mb.pixel_unshuffle(x=x, downscale_factor=np.uint32(2)), lambda x: F.pixel_unshuffle(x, 2))
row("space_to_batch", {"x": IMAGE}, lambda mb, x: mb.space_to_batch(x=x, block_shape=[2, 2], paddings=[[0, 0], [0, 0]]),
    lambda x: F.pixel_unshuffle(x, 2))
row("batch_to_space", {"x": IMAGE}, lambda mb, x: mb.batch_to_space(x=x, block_shape=[2, 2], crops=[[0, 0], [0, 0]]),
    lambda x: F.pixel_shuffle(x.reshape(1, 64, 128, 128), 2))
row("sliding_windows", {"x": real(1024, 256)}, lambda mb, x: mb.sliding_windows(x=x, axis=1, size=8, stride=2),
    lambda x: x.unfold(1, 8, 2).contiguous())
row("crop", {"x": IMAGE}, lambda mb, x: mb.crop(x=x, crop_height=[2, 2], crop_width=[2, 2]), lambda x: x[:, :, 2:-2, 2:-2].contiguous())

CHANNEL = [np.full(16, v, np.float32) for v in (0.1, 1.5, 0.5, 1.2)]
row("batch_norm", {"x": IMAGE}, lambda mb, x: mb.batch_norm(x=x, mean=CHANNEL[0], variance=CHANNEL[1], beta=CHANNEL[2], gamma=CHANNEL[3]),
    lambda x: F.batch_norm(x, *[t(v) for v in CHANNEL[:2]], t(CHANNEL[3]), t(CHANNEL[2])))
row("instance_norm", {"x": IMAGE}, lambda mb, x: mb.instance_norm(x=x, beta=CHANNEL[2], gamma=CHANNEL[3], epsilon=1e-5),
    lambda x: F.instance_norm(x, weight=t(CHANNEL[3]), bias=t(CHANNEL[2])))
row("layer_norm", {"x": X}, lambda mb, x: mb.layer_norm(x=x, axes=[1]), lambda x: F.layer_norm(x, (1024,)))
row("layer_norm:channels", {"x": IMAGE}, lambda mb, x: mb.layer_norm(x=x, axes=[1]), lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (16,)).permute(0, 3, 1, 2).contiguous())
row("l2_norm", {"x": IMAGE}, lambda mb, x: mb.l2_norm(x=x, epsilon=1e-6), lambda x: F.normalize(x.flatten(1)))
row("local_response_norm", {"x": IMAGE}, lambda mb, x: mb.local_response_norm(x=x, size=5), lambda x: F.local_response_norm(x, 5))
for op, rival in {"max_pool": F.max_pool2d, "avg_pool": F.avg_pool2d, "l2_pool": lambda x, k, s: F.lp_pool2d(x, 2, k, s)}.items():
    extra = {"exclude_padding_from_average": False} if op == "avg_pool" else {}
    row(op, {"x": IMAGE}, lambda mb, x, op=op, extra=extra: getattr(mb, op)(x=x, kernel_sizes=[3, 3], strides=[2, 2], pad_type="valid", **extra),
        lambda x, rival=rival: rival(x, 3, 2))
row("max_pool:1d", {"x": real(16, 64, 1024)}, lambda mb, x: mb.max_pool(x=x, kernel_sizes=[3], strides=[2], pad_type="valid"), lambda x: F.max_pool1d(x, 3, 2))
row("avg_pool:3d", {"x": real(1, 16, 16, 64, 64)},
    lambda mb, x: mb.avg_pool(x=x, kernel_sizes=[2, 2, 2], strides=[2, 2, 2], pad_type="valid", exclude_padding_from_average=False), lambda x: F.avg_pool3d(x, 2))

W3 = real(16, 16, 3, 3, low=-0.1, high=0.1)
row("conv", {"x": IMAGE}, lambda mb, x: mb.conv(x=x, weight=W3, pad_type="same"), lambda x: F.conv2d(x, t(W3), padding=1))
row("conv:1d", {"x": real(4, 64, 4096)}, lambda mb, x: mb.conv(x=x, weight=real(64, 64, 3), pad_type="same"),
    lambda x, w=real(64, 64, 3): F.conv1d(x, t(w), padding=1))
row("conv:3d", {"x": real(1, 16, 16, 64, 64)}, lambda mb, x: mb.conv(x=x, weight=real(16, 16, 3, 3, 3), pad_type="same"),
    lambda x, w=real(16, 16, 3, 3, 3): F.conv3d(x, t(w), padding=1))
row("conv:groups", {"x": IMAGE}, lambda mb, x: mb.conv(x=x, weight=real(16, 4, 3, 3), groups=4, pad_type="same"),
    lambda x, w=real(16, 4, 3, 3): F.conv2d(x, t(w), padding=1, groups=4))
row("conv:depthwise", {"x": IMAGE}, lambda mb, x: mb.conv(x=x, weight=real(16, 1, 3, 3), groups=16, pad_type="same"),
    lambda x, w=real(16, 1, 3, 3): F.conv2d(x, t(w), padding=1, groups=16))
row("conv:dilated", {"x": IMAGE}, lambda mb, x: mb.conv(x=x, weight=W3, dilations=[2, 2], pad_type="same"), lambda x: F.conv2d(x, t(W3), padding=2, dilation=2))
row("conv:dynamic", {"x": IMAGE, "w": W3}, lambda mb, x, w: mb.conv(x=x, weight=w, pad_type="same"), lambda x, w: F.conv2d(x, w, padding=1))
row("conv_transpose", {"x": real(4, 16, 64, 64)}, lambda mb, x: mb.conv_transpose(x=x, weight=real(16, 16, 2, 2), strides=[2, 2]),
    lambda x, w=real(16, 16, 2, 2): F.conv_transpose2d(x, t(w), stride=2))
row("conv_transpose:1d", {"x": real(4, 64, 2048)}, lambda mb, x: mb.conv_transpose(x=x, weight=real(64, 32, 4), strides=[2]),
    lambda x, w=real(64, 32, 4): F.conv_transpose1d(x, t(w), stride=2))
row("conv_transpose:groups", {"x": real(4, 16, 64, 64)}, lambda mb, x: mb.conv_transpose(x=x, weight=real(16, 4, 4, 4), strides=[2, 2], groups=4),
    lambda x, w=real(16, 4, 4, 4): F.conv_transpose2d(x, t(w), stride=2, groups=4))
row("conv_transpose:3d", {"x": real(1, 16, 8, 32, 32)}, lambda mb, x: mb.conv_transpose(x=x, weight=real(16, 8, 2, 2, 2), strides=[2, 2, 2]),
    lambda x, w=real(16, 8, 2, 2, 2): F.conv_transpose3d(x, t(w), stride=2))

SQUARE = real(1024, 1024, low=-0.1, high=0.1)
row("linear", {"x": X}, lambda mb, x: mb.linear(x=x, weight=SQUARE, bias=SQUARE[0]), lambda x: F.linear(x, t(SQUARE), t(SQUARE[0])))
row("matmul", {"x": X, "y": Y}, lambda mb, x, y: mb.matmul(x=x, y=y), torch.matmul)
row("matmul:batch", {"x": real(64, 128, 128), "y": real(64, 128, 128)}, lambda mb, x, y: mb.matmul(x=x, y=y, transpose_y=True),
    lambda x, y: torch.matmul(x, y.transpose(1, 2)))
row("matmul:vector", {"x": X, "y": real(1024, 1)}, lambda mb, x, y: mb.matmul(x=x, y=y), torch.matmul)
row("matmul:int32", {"x": ints(256, 256), "y": ints(256, 256)}, lambda mb, x, y: mb.matmul(x=x, y=y), torch.matmul)
for equation, a, b in [("nchw,nwhu->nchu", (1, 64, 32, 512), (1, 512, 32, 64)),
                       ("chw,whu->chu", (64, 32, 512), (512, 32, 64))]:
    row(f"einsum:{equation}", {"x": real(*a), "y": real(*b)}, lambda mb, x, y, equation=equation: mb.einsum(values=(x, y), equation=equation),
        lambda x, y, equation=equation: torch.einsum(equation, x, y))
Q = real(1, 8, 512, 64)
row("scaled_dot_product_attention", {"q": Q, "k": Q, "v": Q}, lambda mb, q, k, v: mb.scaled_dot_product_attention(query=q, key=k, value=v),
    F.scaled_dot_product_attention)
row("scaled_dot_product_attention:mask", {"q": Q, "k": Q, "v": Q, "m": real(512, 512)},
    lambda mb, q, k, v, m: mb.scaled_dot_product_attention(query=q, key=k, value=v, attn_mask=m), F.scaled_dot_product_attention)

STEPS, BATCH, SIZE = 64, 16, 256
SEQUENCE, H0 = real(STEPS, BATCH, SIZE), real(BATCH, SIZE)


def recurrent(kind, gates):
    wi, wh, b = real(gates * SIZE, SIZE, low=-0.1, high=0.1), real(gates * SIZE, SIZE, low=-0.1, high=0.1), real(gates * SIZE)
    module = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "rnn": torch.nn.RNN}[kind](SIZE, SIZE)
    state = (lambda: (t(H0)[None], t(H0)[None])) if kind == "lstm" else (lambda: t(H0)[None])
    extra = {"initial_c": H0} if kind == "lstm" else {}

    def rival(x):
        with torch.no_grad():
            return module(x, state())[0]

    row(kind, {"x": SEQUENCE}, lambda mb, x: getattr(mb, kind)(x=x, initial_h=H0, weight_ih=wi, weight_hh=wh, bias=b,
                                                               output_sequence=True, **extra)[0], rival)


recurrent("lstm", 4)
recurrent("gru", 3)
recurrent("rnn", 1)

row("upsample_nearest_neighbor", {"x": real(4, 16, 64, 64)}, lambda mb, x: mb.upsample_nearest_neighbor(x=x, scale_factor_height=2, scale_factor_width=2),
    lambda x: F.interpolate(x, scale_factor=2))
row("upsample_bilinear", {"x": real(4, 16, 64, 64)}, lambda mb, x: mb.upsample_bilinear(x=x, scale_factor_height=2, scale_factor_width=2, align_corners=False),
    lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"))
row("resize_nearest_neighbor", {"x": IMAGE}, lambda mb, x: mb.resize_nearest_neighbor(x=x, target_size_height=100, target_size_width=200),
    lambda x: F.interpolate(x, (100, 200)))
row("resize_bilinear", {"x": IMAGE}, lambda mb, x: mb.resize_bilinear(x=x, target_size_height=100, target_size_width=200, sampling_mode="DEFAULT"),
    lambda x: F.interpolate(x, (100, 200), mode="bilinear"))
row("resize", {"x": IMAGE}, lambda mb, x: mb.resize(x=x, shape=[100, 200], resized_dims=np.uint32(2), interpolation_mode="LINEAR", sampling_mode="DEFAULT"),
    lambda x: F.interpolate(x, (100, 200), mode="bilinear"))
BOXES = np.array([[0, 0.1, 0.1, 0.9, 0.9], [1, 0, 0, 1, 1], [2, 0.2, 0.3, 0.5, 0.8], [3, 0, 0.5, 0.5, 1]], np.float32)
row("crop_resize", {"x": IMAGE}, lambda mb, x: mb.crop_resize(x=x, boxes=BOXES[:, 1:], box_indices=BOXES[:, 0].astype(np.int32), target_height=128,
                                                              target_width=128, normalized_coordinates=True, sampling_mode="ALIGN_CORNERS"),
    lambda x: F.grid_sample(x, F.affine_grid(torch.eye(2, 3).repeat(4, 1, 1) * 0.7, (4, 16, 128, 128), align_corners=True), align_corners=True))
GRID = real(4, 128, 128, 2, low=-1, high=1)
row("resample", {"x": IMAGE, "g": GRID}, lambda mb, x, g: mb.resample(x=x, coordinates=g, sampling_mode="bilinear", padding_mode="constant", padding_value=0.0,
                                                                      coordinates_mode="normalized_minus_one_to_one", align_corners=True),
    lambda x, g: F.grid_sample(x, g, align_corners=True))
row("affine", {"x": IMAGE}, lambda mb, x: mb.affine(x=x, transform_matrix=np.tile(np.float32([[0.7, 0.1, 0, 0, 0.7, 0.1]]), (4, 1)), output_height=128,
                                                    output_width=128, sampling_mode="bilinear", padding_mode="constant", padding_value=0.0,
                                                    coordinates_mode="normalized_minus_one_to_one", align_corners=True),
    lambda x: F.grid_sample(x, F.affine_grid(torch.eye(2, 3).repeat(4, 1, 1) * 0.7, (4, 16, 128, 128), align_corners=True), align_corners=True))


def best_boxes(b, s):
    from torchvision.ops import nms

    center, half = b[0, :2], b[0, 2:] / 2
    return nms(torch.cat([center - half, center + half]).t().contiguous(), s[0].amax(0), 0.5)[:100]


row("non_maximum_suppression", {"b": real(1, 4, 4096, low=0, high=100), "s": real(1, 16, 4096, low=0, high=1)},
    lambda mb, b, s: mb.non_maximum_suppression(boxes=b, scores=s, iou_threshold=0.5, max_boxes=100)[2], best_boxes)
row("random_normal", {"x": np.array([1024, 1024], np.int32)}, lambda mb, x: mb.random_normal(shape=x, mean=0.0, stddev=1.0), lambda x: torch.randn(1024, 1024))
row("random_uniform", {"x": np.array([1024, 1024], np.int32)}, lambda mb, x: mb.random_uniform(shape=x), lambda x: torch.rand(1024, 1024))
row("random_bernoulli", {"x": np.array([1024, 1024], np.int32)}, lambda mb, x: mb.random_bernoulli(shape=x), lambda x: torch.bernoulli(torch.full((1024, 1024), 0.5)))
row("random_categorical", {"x": real(64, 1024)}, lambda mb, x: mb.random_categorical(x=x, size=16), lambda x: torch.multinomial(torch.softmax(x, 1), 16))
row("quantize", {"x": X}, lambda mb, x: mb.dequantize(input=mb.quantize(input=x, scale=np.float32(0.1), output_dtype="int8"), scale=np.float32(0.1)),
    lambda x: torch.fake_quantize_per_tensor_affine(x, 0.1, 0, -128, 127))
row("reshape", {"x": X}, lambda mb, x: mb.relu(x=mb.reshape(x=x, shape=[512, 2048])), lambda x: torch.relu(x.reshape(512, 2048)))
row("reshape_like", {"x": X, "y": real(512, 2048)},
    lambda mb, x, y: mb.relu(x=mb.reshape_like(x=x, ref_tensors=(y,), begins=(0,), ends=(2,), end_masks=(False,))), lambda x, y: torch.relu(x.reshape(512, 2048)))
row("flatten2d", {"x": IMAGE}, lambda mb, x: mb.relu(x=mb.flatten2d(x=x, axis=1)), lambda x: torch.relu(x.flatten(1)))
row("expand_dims", {"x": X}, lambda mb, x: mb.relu(x=mb.expand_dims(x=x, axes=[0])), lambda x: torch.relu(x[None]))
row("fill", {"x": np.array([1024, 1024], np.int32)}, lambda mb, x: mb.fill(shape=x, value=2.0), lambda x: torch.full((1024, 1024), 2.0))
row("identity", {"x": X}, lambda mb, x: mb.identity(x=x), lambda x: x.clone())


def model_of(entry, folder):
    import coremltools as ct
    from coremltools.converters.mil import Builder as mb
    from coremltools.converters.mil.mil import types

    path = folder / (entry.name.replace(":", "_").replace(",", ".").replace(">", "") + ".mlpackage")
    if path.exists():
        return path
    kinds = {np.dtype(np.float32): types.fp32, np.dtype(np.int32): types.int32}
    specs = [mb.TensorSpec(shape=v.shape, dtype=kinds[v.dtype]) for v in entry.inputs.values()]
    names = ", ".join(entry.inputs)
    scope = {"make": entry.make, "mb": mb}
    exec(f"def body({names}):\n  return make(mb, {', '.join(f'{n}={n}' for n in entry.inputs)})", scope)
    program = mb.program(input_specs=specs, opset_version=ct.target.iOS18)(scope["body"])
    ct.convert(program, minimum_deployment_target=ct.target.iOS18, compute_precision=ct.precision.FLOAT32,
               pass_pipeline=ct.PassPipeline.EMPTY, skip_model_load=True).save(str(path))
    return path


def fastest(call):
    call()
    best, end = float("inf"), time.perf_counter() + args.seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best * 1e3


def main():
    logging.disable(logging.WARNING)
    scratch = None if args.models else tempfile.TemporaryDirectory()
    folder = args.models or pathlib.Path(scratch.name)
    folder.mkdir(parents=True, exist_ok=True)
    chosen = [e for e in ROWS if not args.ops or e.name in args.ops or e.name.split(":")[0] in args.ops]
    paths = {}
    for entry in chosen:
        try:
            paths[entry.name] = model_of(entry, folder)
        except Exception as error:  # an op that this coremltools refuses stays in the table, without figures
            print(f"{entry.name}: {type(error).__name__}: {str(error).splitlines()[0][:150]}", file=sys.stderr)
    if args.build_only:
        return
    import tensorlogic

    results = []
    for entry in chosen:
        if entry.name not in paths:
            continue
        try:
            model = tensorlogic.load_model(str(paths[entry.name]))
            ours = fastest(lambda: model.predict(entry.inputs))
        except tensorlogic.Error as error:
            print(f"{entry.name}: {error}", file=sys.stderr)
            continue
        theirs = None
        if entry.rival is not None:
            tensors = {k: v if entry.arrays else t(v) for k, v in entry.inputs.items()}
            with torch.no_grad():
                theirs = fastest(lambda: entry.rival(*tensors.values()))
        results.append({"op": entry.name, "ms": ours, "rival_ms": theirs, "ratio": ours / theirs if theirs else None})
    results.sort(key=lambda r: -(r["ratio"] or 0))
    print(f"{'op':36} {'ms':>9} {'torch ms':>9} {'ratio':>7}")
    for r in results:
        rival, ratio = (f"{r['rival_ms']:9.3f}", f"{r['ratio']:7.1f}") if r["ratio"] else (f"{'-':>9}", f"{'-':>7}")
        print(f"{r['op']:36} {r['ms']:9.3f} {rival} {ratio}{'  SLOW' if (r['ratio'] or 0) > args.limit else ''}")
    slow = [r["op"] for r in results if (r["ratio"] or 0) > args.limit]
    print(f"{len(results)} rows, {len(slow)} over {args.limit:g} times" + (": " + ", ".join(slow) if slow else ""))
    if args.json:
        args.json.write_text(json.dumps({"threads": args.threads, "torch": torch.__version__, "rows": results}, indent=1) + "\n")


main()
