"""Which op loses the accuracy: what `tl compare` does, from Python."""

from __future__ import annotations

import os
from typing import Any, Mapping, Optional, Sequence, Union

from . import _core
from ._model import Model, _prepare
from ._report import Report

Path = Union[str, os.PathLike]


def _path(model: Union[Model, Path]) -> str:
    return model.metadata["path"] if isinstance(model, Model) else os.fspath(model)


def compare(
    model: Union[Model, Path],
    other: Union[Model, Path, None] = None,
    inputs: Union[Mapping[str, Any], Sequence[Mapping[str, Any]], None] = None,
    *,
    target_psnr: Optional[float] = None,
    target_cosine: Optional[float] = None,
    fix: Optional[Path] = None,
    **settings: Any,
) -> Report:
    """Runs a model beside itself in float32, or beside another model or a file of tensors, op by op.

    Args:
        other: a model, or .npz or .safetensors with values named as the model's are.
        inputs: as predict takes them, or a list of such for several runs; what is missing is made up.
        target_psnr, target_cosine: what each output must reach; 40 dB when neither is given.
        fix: where to write the model with the ops that break in float32 (.mlpackage).
        settings: function, precision ("own", "fp16"), samples, seed, search, search_seconds, device, threads.

    Returns:
        A report whose table is the ops: `report.passed`, `report.first_op`, `report.keep`, `report.to_dataframe()`.

    Raises:
        Error: names the op that cannot be run, or the feature at fault.
    """
    known = {"function", "precision", "samples", "seed", "search", "search_seconds", "device", "threads"}
    if unknown := set(settings) - known:
        raise TypeError(f"compare() has no setting '{sorted(unknown)[0]}'; there are: {', '.join(sorted(known))}")
    runs = [] if inputs is None else [inputs] if isinstance(inputs, Mapping) else list(inputs)
    prepared = [{name: _prepare(value) for name, value in run.items()} for run in runs]
    settings.update(target_psnr=target_psnr, target_cosine=target_cosine, fix=None if fix is None else os.fspath(fix))
    document, text, page = _core.compare(_path(model), None if other is None else _path(other), prepared, settings)
    return Report(document, table="ops", text=text, page=page)
