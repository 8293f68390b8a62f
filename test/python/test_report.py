"""Reports: a JSON document with attribute access, text, HTML and a data frame."""

import importlib.util
from pathlib import Path

import pytest

# The module needs nothing of the extension.
_path = Path(__file__).resolve().parents[2] / "python" / "tensorlogic" / "_report.py"
_spec = importlib.util.spec_from_file_location("_report_alone", _path)
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
Report = _module.Report

DATA = '{"summary": {"ops": 2}, "ops": [{"name": "a<b>", "ms": {"ane": 0.5}}, {"name": "c", "ms": {"ane": 1.5}}]}'


def test_attributes_and_items():
    report = Report(DATA, "ops")
    assert report.summary.ops == 2
    assert report.ops[1].name == "c"
    assert report["ops"][0]["ms"].ane == 0.5
    assert [row["name"] for row in report.rows] == ["a<b>", "c"]
    assert report.to_dict()["summary"] == {"ops": 2}
    with pytest.raises(AttributeError, match="no 'nosuch'.*summary, ops"):
        report.nosuch


def test_text_comes_from_the_function_once():
    calls = []

    def text():
        calls.append(1)
        return "two ops\n"

    report = Report(DATA, "ops", text=text)
    assert repr(report) == "two ops"
    assert repr(report) == "two ops"
    assert len(calls) == 1


def test_html_is_escaped_and_framed(tmp_path):
    plain = Report(DATA, "ops")
    assert "a&lt;b&gt;" in plain._repr_html_()
    framed = Report(DATA, "ops", page=lambda: '<p class="x">hi</p>')
    assert 'srcdoc="&lt;p class=&quot;x&quot;&gt;hi&lt;/p&gt;"' in framed._repr_html_()
    framed.save_html(tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text() == '<p class="x">hi</p>'


def test_data_frame():
    pytest.importorskip("pandas")
    frame = Report(DATA, "ops").to_dataframe()
    assert list(frame["ms.ane"]) == [0.5, 1.5]
