#!/usr/bin/env python3
"""Measures `tl check` against recorded MLComputePlan answers of an Apple M4.

usage: placement.py build MODELS.json FOLDER          rebuild the models with coremltools (its MIL builder)
       placement.py pack FOLDER MODELS.zip            the same files with weights of zero, small enough to keep
       placement.py compare RECORDED.json FOLDER [TL] run `tl check --json` on each and compare op by op
"""

import argparse
import json
import struct
import subprocess
import sys
import warnings
import zipfile
from collections import Counter
from pathlib import Path


def _constant(value, np, rng):
    """{"const": dtype, "shape": [...], "fill": number, list or "random"} as an array."""
    dtype = {"fp16": np.float16, "fp32": np.float32, "int32": np.int32}[value["const"]]
    shape, fill = value["shape"], value["fill"]
    if fill == "random":
        return (rng.standard_normal(shape) * 0.05).astype(dtype)
    if isinstance(fill, str):  # "random in [0,32)"
        return rng.integers(0, int(fill.split(",")[1].rstrip(")")), shape).astype(dtype)
    array = np.full(shape, fill, dtype) if not isinstance(fill, list) else np.array(fill, dtype).reshape(shape)
    return dtype(array) if array.ndim == 0 else array


# Parameters whose numbers are of the input's type, and those that coremltools wants unsigned.
_REAL = {"alpha", "beta", "epsilon", "constant_val", "padding_value", "iou_threshold"}
_UNSIGNED = {"downscale_factor", "resized_dims"}


def build(models, folder):
    import coremltools as ct
    import numpy as np
    from coremltools.converters.mil import Builder as mb
    from coremltools.converters.mil.mil import types

    dtypes = {"fp16": types.fp16, "fp32": types.fp32, "int32": types.int32}
    rng = np.random.default_rng(0)
    for name, model in models.items():
        target = folder / f"{name}.mlpackage"
        if target.exists():
            continue
        specs = [mb.TensorSpec(tuple(shape), dtype=dtypes[dtype]) for dtype, shape in model["in"]]

        def body(*inputs):
            values = {f"x{i}": value for i, value in enumerate(inputs)}
            counts = Counter()
            for op in model["ops"]:
                kind, arguments = op["op"], {}
                for key, value in op.items():
                    if key in ("op", "out", "returned_output"):
                        continue
                    if isinstance(value, dict) and "const" in value:
                        value = _constant(value, np, rng)
                    elif isinstance(value, str) and value in values:
                        value = values[value]
                    elif isinstance(value, list) and value and isinstance(value[0], str):
                        value = [values[v] for v in value]
                    elif isinstance(value, (int, float)) and not isinstance(value, bool) and key in _REAL:
                        value = np.float16(value)
                    elif key in _UNSIGNED:
                        value = np.uint32(value)
                    elif isinstance(value, list):
                        value = np.array(value, np.int32)
                    arguments[key] = value
                if kind == "quantize" or kind == "dequantize":
                    arguments["scale"] = np.float16(arguments["scale"])
                if kind in ("random_normal",):
                    arguments["shape"] = np.array(op["shape"], np.int32)
                result = getattr(mb, kind)(**arguments, name=f"{kind}_{counts[kind]}")
                counts[kind] += 1
                if "returned_output" in op:
                    result = result[op["returned_output"]]
                if "out" in op:
                    values[op["out"]] = result
            return result

        # The builder counts the parameters of the function that it is given.
        names = ", ".join(f"x{i}" for i in range(len(specs)))
        entry = eval(f"lambda {names}: body({names})", {"body": body})
        program = mb.program(input_specs=specs, opset_version=ct.target.iOS18)(entry)
        mlmodel = ct.convert(program, convert_to="mlprogram", minimum_deployment_target=ct.target.iOS18,
                             compute_precision=ct.precision.FLOAT16, compute_units=ct.ComputeUnit.CPU_AND_NE, skip_model_load=True)
        mlmodel.save(str(target))


def without_weights(blob):
    """A weight file whose values are 0: what stands where is all that placement depends on."""
    data = bytearray(blob)
    at = 64
    while at + 64 <= len(data):
        sentinel, _, size, offset = struct.unpack_from("<IIQQ", data, at)
        if sentinel != 0xDEADBEEF:
            raise SystemExit(f"no blob at {at}")
        data[offset : offset + size] = bytes(size)
        at = (offset + size + 63) // 64 * 64
    return bytes(data)


def pack(folder, target):
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            data = path.read_bytes()
            entry = zipfile.ZipInfo(str(path.relative_to(folder)), (1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, without_weights(data) if path.name == "weight.bin" else data)


def answers(recorded, setting):
    """The recorded rows of a model that can be trusted: [(type, preferred, supported, output)], or None."""
    rows = recorded.get(setting)
    notes = " ".join(recorded.get(f"{setting}_note", []))
    if rows is not None and "OOM" not in notes and "ERROR" not in notes and (rows or "mil" not in recorded):
        return [(kind.split(".")[-1], unit, units, name) for kind, unit, units, name, _ in rows]
    if setting != "ne" or "mil" not in recorded:
        return None
    # The authors trust the segmenter's dump where their memory watchdog stopped the plan. Both CPU backends count as CPU.
    device = lambda backend: "ANE" if backend == "ane" else "CPU"
    order = ["CPU", "ANE"]
    return [(kind, device(unit), sorted({device(u) for u in units}, key=order.index), None) for kind, unit, units in recorded["mil"]]


def predict(tl, path, setting):
    units = {"ne": "cpuAndNeuralEngine", "all": "all"}[setting]
    done = subprocess.run([tl, "check", str(path), "--chip", "M4", "--os", "macOS 15", "--compute-units", units, "--json"],
                          capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise SystemExit(f"{path.name}: {done.stderr}")
    return json.loads(done.stdout)["ops"]


def compare(recorded, folder, tl, setting):
    """Shares of ops with the right supported set and the right preferred unit; prints what differs."""
    table, preferred, decided, agreed = Counter(), Counter(), Counter(), Counter()
    ops = same_set = same_unit = left_out = 0
    for name, model in recorded.items():
        rows = answers(model, setting)
        if rows is None:
            left_out += setting in model
            continue
        predicted = predict(tl, folder / f"{name}.mlpackage", setting)
        if len(predicted) != len(rows):
            raise SystemExit(f"{name}: {len(predicted)} ops, {len(rows)} are recorded: rebuild it with coremltools 9.0")
        for op, (kind, unit, units, output) in zip(predicted, rows):
            if op["type"] != kind or output not in (None, op["name"]):
                raise SystemExit(f"{name}: {op['type']} '{op['name']}', {kind} '{output}' is recorded")
            ops += 1
            table["+".join(units), "+".join(op["supported"])] += 1
            preferred[unit, op["predicted"]] += 1
            same_set += units == op["supported"]
            decided[op["rule"] or "none"] += 1
            agreed[op["rule"] or "none"] += units == op["supported"]
            same_unit += unit == op["predicted"]
            if units != op["supported"] or unit != op["predicted"]:
                print(f"  {name}: {kind} is {unit} of {'+'.join(units)}, predicted {op['predicted']} of {'+'.join(op['supported'])}"
                      + (f" ({op['rule']})" if op["rule"] else ""))
    for title, counts in (("supported", table), ("preferred", preferred)):
        columns = sorted({c for _, c in counts})
        print(f"\n  {title + ', recorded':24}" + "".join(f"{c:>14}" for c in columns) + "  predicted")
        for row in sorted({r for r, _ in counts}):
            print(f"  {row:24}" + "".join(f"{counts[row, c]:>14}" for c in columns))
    print("\n  decided by rule (ops, of which right): " + ", ".join(f"{rule} {n} {agreed[rule]}" for rule, n in decided.most_common()))
    print(f"\n{setting}: {ops} ops, {left_out} models without an answer to trust; supported set right {same_set / ops:.1%}, "
          f"preferred unit right {same_unit / ops:.1%}\n")
    return same_set / ops, same_unit / ops


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["build", "pack", "compare"])
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("tl", nargs="?", default="build/bin/tl")
    arguments = parser.parse_args()
    if arguments.step == "pack":
        pack(arguments.data, arguments.folder)
        return 0
    models = json.loads(arguments.data.read_text())["models"]
    if arguments.step == "build":
        warnings.filterwarnings("ignore")
        arguments.folder.mkdir(parents=True, exist_ok=True)
        build(models, arguments.folder)
        return 0
    shares = [compare(models, arguments.folder, arguments.tl, setting) for setting in ("ne", "all")]
    # The share of supported sets, that of preferred units.
    return 0 if all(s >= 0.97 and p >= 0.95 for s, p in shares) else 1


if __name__ == "__main__":
    sys.exit(main())
