"""What check, compare and profile return: a JSON document that prints well and becomes a data frame."""

from __future__ import annotations

import html as _html
import json
import os
from typing import Any, Callable, Iterator, Optional, Union

_MOST_ROWS = 40  # of the plain HTML table


class Node:
    """A JSON object whose keys are attributes as well; lists and objects inside are wrapped on access."""

    def __init__(self, data: dict) -> None:
        self._data = data

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._data:
            raise AttributeError(f"no '{name}' in this {type(self).__name__.lower()}; there are: {', '.join(self._data)}")
        return _wrap(self._data[name])

    def __getitem__(self, name: str) -> Any:
        return _wrap(self._data[name])

    def __contains__(self, name: str) -> bool:
        return name in self._data

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __dir__(self):
        return [*super().__dir__(), *self._data]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and self._data == other._data

    def to_dict(self) -> dict:
        """The document itself; changing it changes the report."""
        return self._data

    def __repr__(self) -> str:
        return f"{type(self).__name__}({json.dumps(self._data, ensure_ascii=False)})"


def _wrap(value: Any) -> Any:
    if isinstance(value, dict):
        return Node(value)
    return [_wrap(v) for v in value] if isinstance(value, list) else value


class Report(Node):
    """A report: `report.summary`, `report.ops[0].name`, `report["ops"]`; text in a terminal, a page in a notebook.

    `table` names the list of the document that is its table. `text` and `page` are strings, or functions that make them
    when they are first needed; without a page, notebooks show the table.
    """

    def __init__(
        self,
        data: Union[dict, str],
        table: str,
        text: Union[str, Callable[[], str], None] = None,
        page: Union[str, Callable[[], str], None] = None,
    ) -> None:
        super().__init__(json.loads(data) if isinstance(data, str) else data)
        self._table = table
        self._text = text
        self._page = page

    @property
    def rows(self) -> list:
        """The rows of the table as plain dicts."""
        return self._data[self._table]

    def to_json(self, indent: Optional[int] = None) -> str:
        return json.dumps(self._data, indent=indent, ensure_ascii=False)

    def to_dataframe(self):
        """The table as a pandas.DataFrame; objects inside become columns such as `estimate_ms.ane`. Needs pandas."""
        try:
            import pandas
        except ImportError as error:
            raise ImportError("to_dataframe() needs pandas: pip install pandas") from error
        return pandas.json_normalize(self.rows)

    def to_html(self) -> str:
        """A self-contained page."""
        if callable(self._page):
            self._page = self._page()
        if self._page is None:
            self._page = f"<!doctype html><meta charset=utf-8>{self._plain_table()}"
        return self._page

    def save_html(self, path: Union[str, os.PathLike]) -> None:
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.to_html())

    def _plain_table(self) -> str:
        columns = list(dict.fromkeys(key for row in self.rows[:_MOST_ROWS] for key in row))
        head = "".join(f"<th>{_html.escape(c)}</th>" for c in columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{_html.escape(_cell(row.get(c)))}</td>" for c in columns) + "</tr>" for row in self.rows[:_MOST_ROWS]
        )
        more = len(self.rows) - _MOST_ROWS
        return f"<table><tr>{head}</tr>{body}</table>" + (f"<p>{more} more rows</p>" if more > 0 else "")

    def _repr_html_(self) -> str:
        if self._page is None:
            return self._plain_table()
        # A frame of its own keeps the page's styles and scripts apart from the notebook's.
        style = "width:100%;height:640px;border:1px solid #8884;border-radius:6px"
        return f'<iframe style="{style}" srcdoc="{_html.escape(self.to_html(), quote=True)}"></iframe>'

    def __repr__(self) -> str:
        if callable(self._text):
            self._text = self._text()
        return self._text.rstrip("\n") if self._text is not None else super().__repr__()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text("..." if cycle else repr(self))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
