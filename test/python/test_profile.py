import json

import numpy as np
import pytest
import tensorlogic as tl


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_profile_is_a_report(models, tmp_path):
    model = tl.load_model(models / "crepe_tiny.mlpackage")
    inputs = {"frames": np.zeros((1, 1024), np.float32)}
    report = tl.profile(model, inputs, iterations=4)
    assert report.iterations == 4
    assert report.predict_ms > 0
    assert sum(step.share for step in report.steps) == pytest.approx(1)
    assert all(step.kernel for step in report.steps)
    assert "KERNEL" in repr(report)
    assert "<iframe" in report._repr_html_()
    report.save_html(tmp_path / "p.html")
    assert "crepe_tiny" in (tmp_path / "p.html").read_text()
    report.save_trace(tmp_path / "t.json")
    events = [e for e in json.loads((tmp_path / "t.json").read_text())["traceEvents"] if e["ph"] == "X"]
    assert len(events) == 4 * (len(report.steps) + 1)


def test_profile_of_a_path_and_its_data_frame(models):
    pandas = pytest.importorskip("pandas")
    report = tl.profile(models / "crepe_tiny.mlpackage", {"frames": np.zeros((2, 1024), np.float32)}, iterations=1)
    frame = report.to_dataframe()
    assert isinstance(frame, pandas.DataFrame)
    assert {"op", "kernel", "ms", "flops", "roofline"} <= set(frame.columns)


def test_profile_makes_up_what_it_is_not_given(models):
    report = tl.profile(models / "crepe_tiny.mlpackage", iterations=1)
    assert {step.op for step in report.steps} == {
        step.op for step in tl.profile(models / "crepe_tiny.mlpackage", {"frames": np.zeros((1, 1024), np.float32)}, iterations=1).steps
    }
    # Images as well.
    assert tl.profile(models / "EfficientNetLite0.mlpackage", iterations=1).predict_ms > 0


def test_profile_names_what_is_wrong(models):
    model = tl.load_model(models / "crepe_tiny.mlpackage")
    with pytest.raises(tl.Error, match="nosuch"):
        tl.profile(model, {"nosuch": np.zeros(3)})
    with pytest.raises(tl.Error, match="iterations"):
        tl.profile(model, {"frames": np.zeros((1, 1024), np.float32)}, iterations=0)
