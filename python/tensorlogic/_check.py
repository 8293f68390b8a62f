"""Where a model would run on Apple hardware."""

from __future__ import annotations

import os as _os
from typing import Any, Optional

from . import _core
from ._model import _units_name
from ._report import Report

_ROWS = 40  # of the table in a terminal


class CheckReport(Report):
    """What check() returns: `summary`, `findings`, `ops` by attribute, text in a terminal, a page in a notebook."""

    def __init__(self, core: Any) -> None:
        super().__init__(core.json(), "ops", text=lambda: core.text(_ROWS), page=core.html)
        self._core = core

    def unmet(self, requirements: str) -> list[str]:
        """A line for each requirement that fails, such as "ane>=95%,segments<=1"."""
        return self._core.unmet(requirements)


def check(
    path: "str | _os.PathLike",
    chip: str = "M4",
    os: Optional[str] = None,
    compute_units: Any = "all",
    *,
    function: Optional[str] = None,
    infrequent_reshape: bool = False,
) -> CheckReport:
    """Predicts where each op of a Core ML model would run on Apple hardware, and why not on the Neural Engine.

    Args:
        chip: "A12" to "A19", "M1" to "M5".
        os: "macOS 15", "iOS 18.2"; default: macOS 15 or iOS 18, as the chip has it.
        compute_units: as for load_model().
        function: of a model that has several.
        infrequent_reshape: as if loaded with the hint reshapeFrequency = infrequent.

    Raises:
        Error: names what is wrong; ops that cannot run here are no error.
    """
    return CheckReport(_core.check(_os.fspath(path), chip, os or "", _units_name(compute_units), function or "", infrequent_reshape))
