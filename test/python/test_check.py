"""tensorlogic.check: where a model would run on Apple hardware."""

from pathlib import Path

import pytest
import tensorlogic as tl

DATA = Path(__file__).resolve().parents[1] / "data"
CUSTOM = DATA / "apple" / "custom_layer.mlmodel"


def test_report():
    report = tl.check(CUSTOM, chip="M4", os="macOS 15", compute_units="cpuAndNeuralEngine")
    assert report.target.chip == "M4"
    assert [op.type for op in report.ops] == ["conv", "custom_layer", "softmax"]
    assert report.ops[1].supported == ["CPU"]
    assert "SwirlLayer" in report.ops[1].reason
    assert report.summary.units.CPU.ops == 3
    assert "Predicted for M4 under macOS 15" in repr(report)
    assert report.to_html().lower().startswith("<!doctype html>")
    assert "srcdoc" in report._repr_html_()


def test_data_frame():
    pandas = pytest.importorskip("pandas")
    frame = tl.check(CUSTOM, compute_units="cpuAndNeuralEngine").to_dataframe()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame["type"]) == ["conv", "custom_layer", "softmax"]
    assert list(frame["rule"])[1] == "F2"
    assert frame["cost"].sum() == pytest.approx(1)


def test_requirements():
    report = tl.check(CUSTOM)
    assert report.unmet("segments<=1") == []
    assert len(report.unmet("ane>=50%,cpu==100%")) == 1
    with pytest.raises(tl.Error, match="no metric 'npu'"):
        report.unmet("npu>1")


def test_wrong_options():
    with pytest.raises(tl.Error, match="no chip 'M9'"):
        tl.check(CUSTOM, chip="M9")
    with pytest.raises(tl.Error, match="no system"):
        tl.check(CUSTOM, os="BeOS 5")
