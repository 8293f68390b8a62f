"""Models cut into parts: what `tl split` and `tl extract` do, from Python."""

from __future__ import annotations

import os
from typing import Optional, Sequence, Union

from . import _core
from ._compare import Path, _path
from ._model import Model
from ._report import Report


def split(
    model: Union[Model, Path],
    folder: Path,
    *,
    max_bytes: Optional[int] = None,
    parts: Optional[int] = None,
    at: Union[str, Sequence[str], None] = None,
    function: Optional[str] = None,
    threads: int = 0,
) -> Report:
    """Cuts a model into packages and a pipeline of them that gives the same bits.

    Args:
        folder: where NAME_1.mlpackage, ... and NAME_pipeline.mlpackage are written; made when it is missing.
        max_bytes: of the weights of a part, in as few parts as this allows.
        parts: so many, of about equal weights.
        at: the name of an op, or several, after which to cut. One of the three is given.

    Returns:
        A report whose table is the parts: `report.pipeline`, `report.parts[0].path`, `report.to_dataframe()`.

    Raises:
        Error: names the op, or why there is no place to cut.
    """
    after = [at] if isinstance(at, str) else list(at or [])
    return Report(_core.split(_path(model), os.fspath(folder), max_bytes or 0, parts or 0, after, function or "", threads), table="parts")


def extract(
    model: Union[Model, Path],
    path: Path,
    outputs: Union[str, Sequence[str]],
    inputs: Union[str, Sequence[str]] = (),
    *,
    function: Optional[str] = None,
) -> None:
    """Writes the part of a model that computes `outputs` from `inputs` as an .mlpackage.

    Args:
        outputs, inputs: names of values as `tl print` shows them; without inputs, the part starts at the model's own.

    Raises:
        Error: names the value that there is none of, or that cannot stand at a model's border.
    """

    def names(value):
        return [value] if isinstance(value, str) else list(value)

    _core.extract(_path(model), names(inputs), names(outputs), os.fspath(path), function or "")
