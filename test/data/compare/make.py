"""Writes small models that break in float16, each in a known way, with coremltools 9.0 (run from this folder)."""

import numpy as np
import coremltools as ct
from coremltools.converters.mil import Builder as mb
from coremltools.converters.mil.mil import types

HALF, SINGLE, INT = types.fp16, types.fp32, types.int32
f16, f32 = np.float16, np.float32


def save(name, *inputs):
    """Decorates a function that builds the ops of NAME.mlpackage from inputs (shape, type)."""

    def decorator(build):
        specs = [mb.TensorSpec(shape, dtype=dtype) for shape, dtype in inputs]
        program = mb.program(input_specs=specs, opset_version=ct.target.iOS17)(build)
        model = ct.convert(
            program,
            convert_to="mlprogram",
            minimum_deployment_target=ct.target.iOS17,
            skip_model_load=True,
            pass_pipeline=ct.PassPipeline.EMPTY,
        )
        model.author = "TensorLogic"
        model.save(f"{name}.mlpackage")

    return decorator


@save("softmax_by_hand", ((2, 16), HALF))
def softmax_by_hand(x):
    # exp(16) is 8.9e6.
    logits = mb.mul(x=x, y=f16(16), name="logits")
    exponents = mb.exp(x=logits, name="exponents")
    total = mb.reduce_sum(x=exponents, axes=[-1], keep_dims=True, name="total")
    return mb.real_div(x=exponents, y=total, name="probabilities")


@save("masks_added", ((4, 4), HALF))
def masks_added(x):
    # A row with both masks everywhere: -inf four times, then 0 / 0.
    lowest = np.finfo(f16).min
    padding = np.zeros((4, 4), f16)
    padding[3] = lowest
    causal = np.triu(np.full((4, 4), lowest, f16), 1)
    causal[3] = lowest
    masked = mb.add(x=x, y=padding, name="padding_mask")
    scores = mb.add(x=masked, y=causal, name="causal_mask")
    return mb.softmax(x=scores, axis=-1, name="attention")


@save("variance_overflow", ((4, 64), HALF))
def variance_overflow(x):
    # 300 * 300 is beyond 65504.
    h = mb.mul(x=x, y=f16(300), name="h")
    mean_of_squares = mb.reduce_mean(x=mb.square(x=h, name="squares"), axes=[-1], name="mean_of_squares")
    square_of_mean = mb.square(x=mb.reduce_mean(x=h, axes=[-1], name="mean"), name="square_of_mean")
    return mb.sub(x=mean_of_squares, y=square_of_mean, name="variance")


@save("variance_cancels", ((4, 64), HALF))
def variance_cancels(x):
    # Even integers from 128 to 136, exact in float16; their squares are known to 8 or 16, their variance is about 6.
    steps = mb.floor(x=mb.mul(x=x, y=f16(5), name="scaled"), name="steps")
    h = mb.add(x=mb.mul(x=steps, y=f16(2), name="even"), y=f16(128), name="h")
    mean_of_squares = mb.reduce_mean(x=mb.square(x=h, name="squares"), axes=[-1], name="mean_of_squares")
    square_of_mean = mb.square(x=mb.reduce_mean(x=h, axes=[-1], name="mean"), name="square_of_mean")
    return mb.sub(x=mean_of_squares, y=square_of_mean, name="variance")


@save("small_epsilon", ((4, 64), SINGLE))
def small_epsilon(x):
    # 1 / sqrt(variance + eps) with a variance of 1e-9 and an eps of 1e-12; lowered, float16 ends at 6e-8.
    h = mb.mul(x=mb.sub(x=x, y=f32(0.5), name="centred"), y=f32(1e-4), name="h")
    variance = mb.reduce_mean(x=mb.square(x=h, name="squares"), axes=[-1], keep_dims=True, name="variance")
    guarded = mb.add(x=variance, y=f32(1e-12), name="guarded")
    scale = mb.rsqrt(x=guarded, epsilon=f32(1e-12), name="scale")
    return mb.mul(x=h, y=scale, name="normalized")


@save("epsilon_lost", ((4, 64), HALF))
def epsilon_lost(x):
    # The constant was 1e-10 before it became a float16: it is 0 in the file, and 0 / 0 follows in any precision.
    h = mb.mul(x=x, y=f16(0), name="h")
    guarded = mb.add(x=h, y=f16(1e-10), name="guarded")
    return mb.real_div(x=h, y=guarded, name="ratio")


@save("long_sum", ((1, 100_000), HALF))
def long_sum(x):
    # 100,000 numbers of 2 on average.
    total = mb.reduce_sum(x=mb.mul(x=x, y=f16(4), name="h"), axes=[-1], name="total")
    return mb.mul(x=total, y=f16(1e-3), name="scaled")


@save("large_norm", ((4, 64), HALF))
def large_norm(x):
    # An RMS norm without its mean: squares up to 10,000, their sum is over 200,000.
    h = mb.mul(x=x, y=f16(100), name="h")
    total = mb.reduce_sum(x=mb.square(x=h, name="squares"), axes=[-1], keep_dims=True, name="sum_of_squares")
    scale = mb.rsqrt(x=total, epsilon=f16(0), name="scale")
    return mb.mul(x=h, y=scale, name="normalized")


@save("divided_by_zero", ((8,), HALF))
def divided_by_zero(x):
    # 1e-8 rounds to 0 on both sides of the division; the true ratio is about x.
    small = mb.mul(x=mb.add(x=x, y=f16(1), name="shifted"), y=f16(1e-4), name="small")
    product = mb.mul(x=small, y=small, name="product")
    divisor = mb.mul(x=small, y=f16(1e-4), name="divisor")
    return mb.real_div(x=product, y=divisor, name="ratio")


@save("index_in_half", ((8,), INT))
def index_in_half(x):
    # Odd numbers beyond 2048 are no float16.
    where = mb.add(x=x, y=np.arange(2049, 2065, 2, dtype=np.int32), name="where")
    position = mb.cast(x=where, dtype="fp16", name="position")
    moved = mb.sub(x=position, y=f16(1), name="moved")
    index = mb.cast(x=moved, dtype="int32", name="index")
    table = np.asarray(np.arange(2100) % 7, f16)
    return mb.gather(x=table, indices=index, axis=0, name="found")


@save("large_scores", ((1, 4, 64), HALF), ((1, 4, 64), HALF))
def large_scores(q, k):
    # Products of 64 numbers up to 90: scaled after the product, not before.
    query = mb.mul(x=q, y=f16(90), name="query")
    key = mb.mul(x=k, y=f16(90), name="key")
    scores = mb.matmul(x=query, y=key, transpose_y=True, name="scores")
    scaled = mb.mul(x=scores, y=f16(1e-4), name="scaled")
    return mb.softmax(x=scaled, axis=-1, name="attention")


@save("loop_adds", ((4,), HALF))
def loop_adds(x):
    # 40 times a number of about 3000.
    def body(i, total):
        return mb.add(x=i, y=1, name="next"), mb.add(x=total, y=mb.mul(x=mb.add(x=x, y=f16(1)), y=f16(2000)), name="step")

    _, total = mb.while_loop(
        _cond=lambda i, total: mb.less(x=i, y=40, name="go_on"),
        _body=body,
        loop_vars=(np.int32(0), mb.mul(x=x, y=f16(0), name="start")),
        name="loop",
    )
    return mb.mul(x=total, y=f16(1e-3), name="scaled")


@save("harmless", ((2, 16), HALF))
def harmless(x):
    # A GELU by hand: the cube overflows, the tanh of infinity is 1 all the same.
    h = mb.mul(x=x, y=f16(100), name="h")
    cube = mb.mul(x=mb.square(x=h, name="squares"), y=h, name="cube")
    gate = mb.tanh(x=mb.add(x=mb.mul(x=cube, y=f16(0.0447), name="part"), y=h, name="inner"), name="gate")
    return mb.mul(x=mb.mul(x=h, y=f16(0.5), name="half"), y=mb.add(x=gate, y=f16(1), name="shifted"), name="gelu")


def record(name, inputs, **expected):
    """NAME.npz: inputs, and outputs computed in float64 from the same float16 (or float32) numbers."""
    arrays = {**inputs, **{key: np.asarray(value, f32) for key, value in expected.items()}}
    np.savez_compressed(f"{name}.npz", **arrays)


def records():
    rng = np.random.default_rng(7)

    def noise(*shape):
        return rng.random(shape).astype(f16)

    def softmax(z):
        e = np.exp(z - z.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)

    x = noise(2, 16)
    record("softmax_by_hand", {"x": x}, probabilities=softmax(16 * x.astype(float)))

    x = noise(4, 4)
    # In float32 numbers near -131008 are multiples of 1/128: what a float32 model gives, not the exact softmax.
    lowest = -65504.0
    padding = np.zeros((4, 4))
    padding[3] = lowest
    causal = np.triu(np.full((4, 4), lowest), 1)
    causal[3] = lowest
    scores = ((x.astype(f32) + padding.astype(f32)) + causal.astype(f32)).astype(float)
    record("masks_added", {"x": x}, attention=softmax(scores))

    x = noise(4, 64)
    record("variance_overflow", {"x": x}, variance=(x.astype(f16) * f16(300)).astype(float).var(-1))

    x = noise(4, 64)
    record("variance_cancels", {"x": x}, variance=(2 * np.floor(x * f16(5)).astype(float)).var(-1))

    x = rng.random((4, 64)).astype(f32)
    h = (x - f32(0.5)).astype(float) * f32(1e-4)
    record("small_epsilon", {"x": x}, normalized=h / np.sqrt((h**2).mean(-1, keepdims=True) + 2e-12))

    x = np.tile(np.asarray([0.25, 0.75], f16), 50_000)[None]
    record("long_sum", {"x": x}, scaled=(x.astype(float) * 4).sum(-1) * float(f16(1e-3)))

    x = noise(4, 64)
    h = (x * f16(100)).astype(float)
    record("large_norm", {"x": x}, normalized=h / np.sqrt((h**2).sum(-1, keepdims=True)))

    x = noise(8)
    small = ((x + f16(1)) * f16(1e-4)).astype(float)
    record("divided_by_zero", {"x": x}, ratio=small * small / (small * float(f16(1e-4))))

    x = np.arange(8, dtype=np.int32)
    record("index_in_half", {"x": x}, found=(x + np.arange(2049, 2065, 2) - 1) % 7)

    q, k = noise(1, 4, 64), noise(1, 4, 64)
    scores = (q * f16(90)).astype(float) @ (k * f16(90)).astype(float).transpose(0, 2, 1)
    record("large_scores", {"q": q, "k": k}, attention=softmax(scores * float(f16(1e-4))))

    x = noise(4)
    record("loop_adds", {"x": x}, scaled=40 * ((x + f16(1)) * f16(2000)).astype(float) * float(f16(1e-3)))

    x = noise(2, 16)
    h = (x * f16(100)).astype(float)
    record("harmless", {"x": x}, gelu=0.5 * h * (1 + np.tanh(h + 0.0447 * h**3)))


records()
