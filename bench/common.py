"""What the benchmarks share: their options, the inputs of a network, and the JSON that they leave."""
import json
import os
import pathlib

import numpy as np


def add_options(parser, rounds):
    """--tl, --threads, --rounds and --json."""
    parser.add_argument("--tl", required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--json")


def inputs_of(folder, name):
    """The arrays that models.py keeps for a network, by input."""
    with np.load(folder / f"{name}.npz") as stored:
        return {k: stored[k] for k in stored.files if not k.startswith("y")}


def save(path, results):
    """Nothing where no path is given."""
    if path:
        temporary = path + ".part"
        pathlib.Path(temporary).write_text(json.dumps(results, indent=1) + "\n")
        os.replace(temporary, path)
