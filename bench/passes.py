"""Prints, as Markdown, what each pass brings: the time of a prediction without it over the time with all of them.

usage: passes.py --tl build/bin/tl --models FOLDER [--threads 2] [--rounds 5] NAME..."""
import argparse
import json
import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent


def best(tl, package, threads, off):
    done = subprocess.run([tl, "bench", str(package), "--threads", str(threads), "--iterations", "8", "--warmup", "2", "--json"],
                          capture_output=True, text=True, check=True, env={**os.environ, "TL_PASSES_OFF": off})
    return json.loads(done.stdout)["p50_ms"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+")
    parser.add_argument("--tl", required=True)
    parser.add_argument("--models", required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    passes = re.findall(r"^TL_PASS\((\w+),", (ROOT / "src/pass/passes.inc").read_text(), re.M)
    cells = {}
    for name in arguments.names:
        times = {off: [] for off in ["", *passes]}
        for _ in range(arguments.rounds):
            for off, values in times.items():
                values.append(best(arguments.tl, pathlib.Path(arguments.models) / f"{name}.mlpackage", arguments.threads, off))
        for off in passes:
            cells[off, name] = min(times[off]) / min(times[""])
    print("| without | " + " | ".join(arguments.names) + " |")
    print("|---" * (len(arguments.names) + 1) + "|")
    for off in passes:
        print(f"| {off} | " + " | ".join(f"{cells[off, name]:.2f}" for name in arguments.names) + " |")


if __name__ == "__main__":
    main()
