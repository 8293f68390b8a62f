"""Where the time of a prediction goes."""

from __future__ import annotations

import os
from typing import Any, Mapping, Optional, Union

from . import _core
from ._model import Model, State, _prepare, load_model
from ._report import Report


class Profile(Report):
    """The report of profile(): `steps` is its table; `save_trace` writes what Perfetto opens."""

    def __init__(self, core: Any) -> None:
        super().__init__(core.json(), "steps", lambda: core.text(True, 20), core.html)
        self._core = core

    def save_trace(self, path: Union[str, os.PathLike]) -> None:
        """Every step of every measured prediction as Chrome trace events."""
        with open(path, "w", encoding="utf-8") as file:
            file.write(self._core.trace())


def profile(
    model: Union[Model, str, os.PathLike],
    inputs: Optional[Mapping[str, Any]] = None,
    iterations: int = 30,
    state: Optional[State] = None,
) -> Profile:
    """Runs a model and tells per step its time, operations, bytes and share of what the machine could do.

    Args:
        model: a loaded model, or a path.
        inputs: as for Model.predict; required ones that are missing are made up from their descriptions.
        iterations: predictions that are measured inside, and as many that are not, in turns.

    Returns:
        A Report: `p.predict_ms`, `p.steps[0].kernel`, `p.to_dataframe()`, `p.save_html(path)`, `p.save_trace(path)`.
    """
    if not isinstance(model, Model):
        model = load_model(model)
    if state is None and model._info.get("states"):
        state = model.make_state()
    prepared = {name: _prepare(value) for name, value in (inputs or {}).items()}
    return Profile(_core.profile(model._core, prepared, iterations, None if state is None else state._core))
