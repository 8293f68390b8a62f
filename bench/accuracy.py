"""Prints, as Markdown, how far each runtime is from float32 torch. usage: accuracy.py FAITHFUL.json [FAST.json]

The files are what bench.py writes. Each cell: largest and mean absolute difference over all outputs, over the largest absolute
value of the answer."""
import json
import pathlib
import sys

LABELS = {"tensorlogic": "TensorLogic", "onnxruntime": "ONNX Runtime f32", "openvino": "OpenVINO f32", "openvino-fast": "OpenVINO default"}


def main():
    columns = []
    for path in sys.argv[1:]:
        facts = json.loads(pathlib.Path(path).read_text())
        kinds = [k for k in LABELS if all(k in m for m in facts["models"].values())]
        for kind in kinds:
            label = LABELS[kind] + (f" {facts['mode']}" if kind == "tensorlogic" else "")
            columns.append((label, {name: m[kind] for name, m in facts["models"].items()}))
    names = list(columns[0][1])
    print("| model | " + " | ".join(f"{label}: largest, mean" for label, _ in columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name in names:
        cells = []
        for _, rows in columns:
            r = rows.get(name)
            cells.append("" if r is None else f"{r['difference'] / r['scale']:.1e}, {r['mean'] / r['scale']:.1e}")
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
