"""One token of a stateful GPT-2 (124M, random weights; keys and values are states): its time against the bytes it must read.

usage: step.py --tl build/bin/tl FOLDER [--context 512] [--threads 2] [--rounds 5] [--iterations 20] [--json FILE] [KIND...]

KIND: fp16, int8 (linear_quantize_weights, per channel), int4 (the same, blocks of 32), lut4 (palettes of 16); all by default.
FOLDER/gpt2.KIND.mlpackage is made when it is missing (torch with a fixed seed, coremltools). The bytes of a token are those of the
package's weights (the embedding counts once: the last product reads it) and of both caches; the memory speed is measured in the same
run, by threads that each square and sum an array larger than the caches of the processor.
"""
import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import threading
import time

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy: memory_speed brings threads of its own
import numpy as np  # noqa: E402

import common  # noqa: E402

SEED = 20261123
KINDS = ["fp16", "int8", "int4", "lut4"]
LAYERS, HEADS, SIZE = 12, 12, 64


def make_network(context):
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(SEED)
    source = GPT2LMHeadModel(GPT2Config(n_positions=context, n_layer=LAYERS, n_head=HEADS, n_embd=HEADS * SIZE)).eval()
    linear = torch.nn.functional.linear

    class Step(torch.nn.Module):
        """One token at `position`; keys and values of the tokens before it stand in the caches."""

        def __init__(self):
            super().__init__()
            self.network = source
            self.register_buffer("keys", torch.zeros(LAYERS, HEADS, context, SIZE))
            self.register_buffer("values", torch.zeros(LAYERS, HEADS, context, SIZE))
            self.register_buffer("places", torch.arange(context, dtype=torch.int32), persistent=False)

        def forward(self, token, position):
            core = self.network.transformer
            x = core.wte(token) + core.wpe(position)
            mask = torch.where(self.places <= position, 0.0, -1e4).reshape(1, 1, 1, -1)
            begin = position[0]
            for i, block in enumerate(core.h):
                parts = linear(block.ln_1(x), block.attn.c_attn.weight.t(), block.attn.c_attn.bias).reshape(3, HEADS, 1, SIZE)
                self.keys[i : i + 1, :, begin : begin + 1] = parts[1:2]
                self.values[i : i + 1, :, begin : begin + 1] = parts[2:]
                scores = torch.matmul(parts[:1] * SIZE**-0.5, self.keys[i : i + 1].transpose(-1, -2)) + mask
                merged = torch.matmul(torch.softmax(scores, -1), self.values[i : i + 1]).reshape(1, -1)
                x = x + linear(merged, block.attn.c_proj.weight.t(), block.attn.c_proj.bias)
                h = torch.nn.functional.gelu(linear(block.ln_2(x), block.mlp.c_fc.weight.t(), block.mlp.c_fc.bias), approximate="tanh")
                x = x + linear(h, block.mlp.c_proj.weight.t(), block.mlp.c_proj.bias)
            return linear(core.ln_f(x), self.network.lm_head.weight)

    return Step().eval()


def write(folder, context):
    import coremltools as ct
    import coremltools.optimize.coreml as co
    import torch

    with torch.no_grad():
        network = make_network(context)
        traced = torch.jit.trace(network, (torch.tensor([1], dtype=torch.int32), torch.tensor([3], dtype=torch.int32)))
    shape = tuple(network.keys.shape)
    package = ct.convert(
        traced, minimum_deployment_target=ct.target.iOS18, compute_precision=ct.precision.FLOAT16, skip_model_load=True,
        inputs=[ct.TensorType(name="token", shape=(1,), dtype=np.int32), ct.TensorType(name="position", shape=(1,), dtype=np.int32)],
        outputs=[ct.TensorType(name="logits")],
        states=[ct.StateType(wrapped_type=ct.TensorType(shape=shape, dtype=np.float16), name=n) for n in ("keys", "values")],
    )
    int8 = co.OpLinearQuantizerConfig(mode="linear_symmetric")
    int4 = co.OpLinearQuantizerConfig(mode="linear_symmetric", dtype="int4", granularity="per_block", block_size=32)
    lut4 = co.OpPalettizerConfig(mode="uniform", nbits=4)
    for kind in KINDS:
        result = package
        if kind != "fp16":
            config = co.OptimizationConfig(global_config={"int8": int8, "int4": int4, "lut4": lut4}[kind])
            result = (co.palettize_weights if kind == "lut4" else co.linear_quantize_weights)(package, config)
        result.save(str(folder / f"gpt2.{kind}.mlpackage"))


def memory_speed(threads, seconds=1.0):
    """Bytes a second that `threads` threads read together."""
    arrays = [np.ones(1 << 26, np.float32) for _ in range(threads)]
    done = [0] * threads
    stop = time.perf_counter() + seconds

    def read(i):
        while time.perf_counter() < stop:
            np.dot(arrays[i], arrays[i])
            done[i] += arrays[i].nbytes

    start = time.perf_counter()
    workers = [threading.Thread(target=read, args=(i,)) for i in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(done) / (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("kinds", nargs="*", default=KINDS)
    common.add_options(parser, 5)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--iterations", type=int, default=20)
    arguments = parser.parse_args()
    folder = pathlib.Path(arguments.folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not all((folder / f"gpt2.{kind}.mlpackage").exists() for kind in arguments.kinds):
        write(folder, arguments.context)
    speeds, times = [], {kind: [] for kind in arguments.kinds}
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch)
        np.save(root / "token.npy", np.array([5], np.int32))
        np.save(root / "position.npy", np.array([arguments.context - 1], np.int32))
        for _ in range(arguments.rounds):
            speeds.append(memory_speed(arguments.threads))
            for kind in arguments.kinds:
                run = subprocess.run(
                    [arguments.tl, "bench", str(folder / f"gpt2.{kind}.mlpackage"), "--threads", str(arguments.threads), "--json", "--times",
                     "--in", f"token={root / 'token.npy'}", "--in", f"position={root / 'position.npy'}",
                     "--iterations", str(arguments.iterations), "--warmup", "3"], check=True, capture_output=True, text=True)
                times[kind] += json.loads(run.stdout)["times_ms"]
    speed = float(np.median(speeds))
    caches = 2 * LAYERS * HEADS * arguments.context * SIZE * 2
    results = {"bytes_per_second": speed, "context": arguments.context}
    print(f"memory: {speed / 1e9:.1f} GB/s with {arguments.threads} threads; caches of {arguments.context} positions: {caches / 1e6:.1f} MB")
    print(f"{'weights':8} {'MB a token':>10} {'ms':>7} {'tokens/s':>9} {'GB/s':>6} {'ms / (bytes / memory speed)':>28}")
    for kind, values in times.items():
        weights = (folder / f"gpt2.{kind}.mlpackage/Data/com.apple.CoreML/weights/weight.bin").stat().st_size
        moved, ms = weights + caches, float(np.median(values))
        ratio = ms / 1e3 / (moved / speed)
        results[kind] = {"bytes": moved, "p50_ms": ms, "ratio": ratio}
        print(f"{kind:8} {moved / 1e6:10.1f} {ms:7.2f} {1e3 / ms:9.0f} {moved / ms / 1e6:6.1f} {ratio:28.2f}")
    common.save(arguments.json, results)


if __name__ == "__main__":
    main()
