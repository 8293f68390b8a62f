"""Draws what bench.py wrote: bars of time over the fastest rival's, one group per network. usage: plot.py RESULTS.json PLOT.svg

The colours read on light and dark pages alike."""
import json
import os
import pathlib
import sys

COLOURS = {"tensorlogic": "#2f81f7", "onnxruntime": "#8b949e", "openvino": "#bf8700", "openvino-fast": "#bf8700"}
LABELS = {"tensorlogic": "TensorLogic", "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "openvino-fast": "OpenVINO (bf16)"}
TEXT = "#768390"
WIDTH, LEFT, BAR, GAP, TOP = 760, 150, 13, 14, 46


def text(x, y, value, anchor="start", weight="normal"):
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{TEXT}" text-anchor="{anchor}" font-weight="{weight}">{value}</text>'


def draw(facts):
    models = facts["models"]
    kinds = [k for k in COLOURS if all(k in m for m in models.values())]
    relative = {
        name: {k: m[k]["p50_ms"] / min(m[r]["p50_ms"] for r in kinds if r != "tensorlogic") for k in kinds} for name, m in models.items()
    }
    most = max(v for row in relative.values() for v in row.values())
    scale = (WIDTH - LEFT - 110) / most
    parts = []
    x = LEFT
    for kind in kinds:
        parts.append(f'<rect x="{x}" y="12" width="11" height="11" rx="2" fill="{COLOURS[kind]}"/>' + text(x + 17, 22, LABELS[kind]))
        x += 34 + 8 * len(LABELS[kind])
    y = TOP
    for name, row in relative.items():
        parts.append(text(LEFT - 10, y + BAR * len(kinds) / 2 + 4, name, "end", "bold"))
        for kind in kinds:
            width = row[kind] * scale
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR - 2}" rx="2" fill="{COLOURS[kind]}"/>')
            parts.append(text(LEFT + width + 6, y + BAR - 3, f"{models[name][kind]['p50_ms']:.2f} ms"))
            y += BAR
        y += GAP
    line = LEFT + scale
    parts.append(f'<line x1="{line:.1f}" y1="{TOP - 8}" x2="{line:.1f}" y2="{y - GAP + 4}" stroke="{TEXT}" stroke-dasharray="3 3"/>')
    parts.append(text(LEFT, y + 6, f"batch 1, {facts['threads']} threads, median; shorter is faster; dashed: the faster rival. {facts['cpu']}"))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 18}" font-family="sans-serif" font-size="12" '
            f'role="img" aria-label="Time of one prediction relative to the faster rival">{"".join(parts)}</svg>\n')


def main():
    source, target = sys.argv[1:3]
    part = pathlib.Path(target + ".part")
    part.write_text(draw(json.loads(pathlib.Path(source).read_text())))
    os.replace(part, target)


if __name__ == "__main__":
    main()
