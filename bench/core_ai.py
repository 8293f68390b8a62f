"""Times this project against Apple's runtime for the newer Core AI format, which has no setting for threads on Linux.

usage: core_ai.py --tl build/bin/tl --models FOLDER [--threads 2] [--rounds 3] [--json FILE] [NAME...]
Runs in an environment of its own (coreai-torch wants a later NumPy and torch than coremltools): it makes each network of models.py
again there, in float32, and holds its answer against the one that models.py kept before anything is timed.
"""
import argparse
import asyncio
import pathlib
import tempfile
import time

import numpy as np
import torch
from coreai.runtime import NDArray
from coreai_torch import TorchConverter, get_decomp_table

import bench
import common
import models


def program_of(name):
    network, inputs = models.build(name)
    values = tuple(torch.from_numpy(v).long() if v.dtype == np.int32 else torch.from_numpy(v) for v in inputs.values())
    with torch.no_grad():
        exported = torch.export.export(network, values).run_decompositions(get_decomp_table())
    return TorchConverter().add_exported_program(exported).to_coreai(), [v.numpy() for v in values]


def caller(model, values):
    """A function that predicts and returns arrays."""
    function = model.load_function(model.function_names[0])
    inputs = {k: NDArray(np.ascontiguousarray(v)) for k, v in zip(function.desc.input_names, values, strict=True)}

    async def run():
        result = await function(inputs)
        return [np.asarray(result[name].numpy()) for name in function.desc.output_names]

    return run


async def measure(name, arguments, scratch):
    program, values = program_of(name)
    asset = program.save_asset(scratch / "model.aimodel")
    start = time.perf_counter()
    async with asset.executable() as model:
        run = caller(model, values)
        got = await run()
        return await rounds(run, got, time.perf_counter() - start, name, arguments)


async def rounds(run, got, first, name, arguments):
    ours = bench.Ours(arguments.tl, pathlib.Path(arguments.models), name, arguments.threads)
    scale = max(float(np.abs(e).max()) for e in ours.expected.values())
    error = max(float(np.abs(g.astype(np.float32) - e).max()) for g, e in zip(got, ours.expected.values(), strict=True)) / scale
    if not error <= bench.MODES["faithful"][2]:
        raise SystemExit(f"{name}: coreai is {error:.1e} away from torch's answer")
    theirs, mine = [], []
    for _ in range(arguments.rounds):
        for _ in range(3):
            start = time.perf_counter()
            await run()
            theirs.append(time.perf_counter() - start)
        mine += ours.times(6)
    ours.close()
    return {"coreai_ms": 1e3 * float(np.median(theirs)), "coreai_first_ms": 1e3 * first, "coreai_error": error,
            "tensorlogic_ms": 1e3 * float(np.median(mine)), "ratio": float(np.median(mine) / np.median(theirs))}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    common.add_options(parser, 3)
    parser.add_argument("--models", required=True)
    arguments = parser.parse_args()
    results = {}
    print(f"{'milliseconds':20} |  coreai    first    error |    ours |  ratio")
    for name in arguments.names or ["resnet50"]:
        with tempfile.TemporaryDirectory() as folder:
            r = results[name] = asyncio.run(measure(name, arguments, pathlib.Path(folder)))
        print(f"{name:20} | {r['coreai_ms']:7.1f} {r['coreai_first_ms']:8.0f} {r['coreai_error']:8.1e} | {r['tensorlogic_ms']:7.2f} | {r['ratio']:6.4f}",
              flush=True)
    common.save(arguments.json, {"mode": "coreai", "threads": arguments.threads, "cpu": bench.cpu_name(), "models": results})


if __name__ == "__main__":
    main()
