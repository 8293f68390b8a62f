"""Times a 12-megapixel JPEG to the 224 x 224 values of an image model against Pillow and NumPy, one thread each, in turns.

usage: images.py --tl-images build/bin/tl_images [--photo models/cat.jpg] [--rounds 5] [--json FILE]

The photo is enlarged to 4000 x 3000 with noise of a camera's order, as JPEG of quality 90. Both decode, bring the short side to 256
bicubically, crop 224 x 224, scale by mean and std, round to float16; the results are compared before anything is timed."""
import argparse
import json
import pathlib
import subprocess
import tempfile
import time

import numpy as np
from PIL import Image

from common import save

ROOT = pathlib.Path(__file__).resolve().parent.parent
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
STEPS = ("decode", "resize", "normalize")


def make(photo, path):
    with Image.open(photo) as image:
        large = np.asarray(image.convert("RGB").resize((4000, 3000), Image.Resampling.BICUBIC), np.int16)
    noise = np.random.default_rng(0).normal(0, 3, large.shape).astype(np.int16)
    Image.fromarray(np.clip(large + noise, 0, 255).astype(np.uint8)).save(path, quality=90)


def pillow(path):
    """Milliseconds by step, and the values."""
    moments = [time.perf_counter()]
    image = Image.open(path).convert("RGB")
    moments.append(time.perf_counter())
    scale = 256 / min(image.size)
    width, height = (round(side * scale) for side in image.size)
    left, top = (width - 224) // 2, (height - 224) // 2
    image = image.resize((width, height), Image.Resampling.BICUBIC).crop((left, top, left + 224, top + 224))
    moments.append(time.perf_counter())
    values = ((np.asarray(image, np.float32) / 255 - MEAN) / STD).transpose(2, 0, 1).astype(np.float16)
    moments.append(time.perf_counter())
    return {step: (b - a) * 1e3 for step, a, b in zip(STEPS, moments, moments[1:])}, values


def ours(program, path, rounds, folder):
    done = subprocess.run([program, str(path), str(rounds), str(folder / "values")], capture_output=True, text=True, check=True)
    return json.loads(done.stdout), np.fromfile(folder / "values", np.float16).reshape(3, 224, 224)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tl-images", required=True)
    parser.add_argument("--photo", default=str(ROOT / "models/cat.jpg"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        path = folder / "photo.jpg"
        make(arguments.photo, path)
        values = pillow(path)[1]
        difference = np.abs(ours(arguments.tl_images, path, 1, folder)[1].astype(np.float32) - values.astype(np.float32)).max()
        if difference > 0.02:  # a level is 1 / (255 * 0.225)
            raise SystemExit(f"images.py: the results differ by {difference}")
        best = {"Pillow": {}, "tensorlogic": {}}
        for _ in range(arguments.rounds):
            for who, times in (("Pillow", pillow(path)[0]), ("Pillow", pillow(path)[0]),
                               ("tensorlogic", ours(arguments.tl_images, path, 2, folder)[0])):
                for step in STEPS:
                    best[who][step] = min(best[who].get(step, np.inf), times[step])
    totals = {who: sum(times.values()) for who, times in best.items()}
    for who, times in best.items():
        print(f"{who:12}", " + ".join(f"{times[step]:6.2f}" for step in STEPS), f"= {totals[who]:7.2f} ms ({' + '.join(STEPS)})")
    print(f"ratio {totals['tensorlogic'] / totals['Pillow']:.2f}, largest difference {difference:.4f}")
    save(arguments.json, {"best_ms": best, "difference": float(difference)})


if __name__ == "__main__":
    main()
