"""compare, and what coremltools makes of the files that compare, split and extract write."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorlogic as tl

MODELS = Path(__file__).resolve().parents[1] / "data" / "compare"
NAMES = sorted(path.stem for path in MODELS.glob("*.npz") if path.stem != "harmless")


def load_in_coremltools(path):
    """Builds coremltools' own program from the file: its type rules are checked on the way."""
    ct = pytest.importorskip("coremltools")
    from coremltools.converters.mil.frontend.milproto.load import load as load_program

    model = ct.models.MLModel(str(path), skip_model_load=True)
    spec = model.get_spec()
    parts = spec.pipeline.models if spec.WhichOneof("Type") == "pipeline" else [spec]
    for part in parts:
        load_program(part, specification_version=part.specificationVersion, file_weights_dir=model.weights_dir)
    return spec


def values_of(name):
    with np.load(MODELS / f"{name}.npz") as file:
        return dict(file)


def test_report():
    values = values_of("softmax_by_hand")
    report = tl.compare(MODELS / "softmax_by_hand.mlpackage", inputs={"x": values["x"]})
    assert not report.passed
    assert report.first_op == "exponents"
    assert report.keep == ["exponents", "total", "probabilities"]
    assert [row["op"] for row in report.rows] == ["logits", "exponents", "total", "probabilities"]
    assert "Keep in float32" in repr(report)
    with pytest.raises(TypeError, match="nosuch"):
        tl.compare(MODELS / "softmax_by_hand.mlpackage", nosuch=1)


def test_page_and_data_frame(tmp_path):
    values = values_of("softmax_by_hand")
    report = tl.compare(MODELS / "softmax_by_hand.mlpackage", inputs={"x": values["x"]})
    assert "srcdoc" in report._repr_html_()
    report.save_html(tmp_path / "c.html")
    assert "First to break" in (tmp_path / "c.html").read_text()
    frame = pytest.importorskip("pandas") and report.to_dataframe()
    assert list(frame["op"]) == ["logits", "exponents", "total", "probabilities"]
    logits = (values["x"].astype(np.float16) * np.float16(16)).astype(np.float64)
    assert frame.set_index("op")["overflowed"]["exponents"] == np.sum(np.exp(logits) >= 65520)  # what rounds to infinity


@pytest.mark.parametrize("name", NAMES)
def test_fixed_file_is_valid(name, tmp_path):
    values = values_of(name)
    model = tl.load_model(MODELS / f"{name}.mlpackage")
    inputs = {key: values[key] for key in model.input_names}
    report = tl.compare(model, inputs=inputs, fix=tmp_path / "fixed.mlpackage")
    assert report.fixed_outputs[0].passed
    load_in_coremltools(tmp_path / "fixed.mlpackage")
    output = model.output_names[0]
    fixed = tl.load_model(tmp_path / "fixed.mlpackage").predict(inputs)[output]
    np.testing.assert_allclose(np.asarray(fixed, np.float64), values[output], rtol=0.01, atol=0.002)


def test_pipeline_is_valid(tmp_path):
    model = MODELS / "large_scores.mlpackage"
    report = tl.split(model, tmp_path / "parts", parts=3)
    assert len(report.parts) == len(report.rows) == 3
    assert "part" in report._repr_html_() or "path" in report._repr_html_()
    spec = load_in_coremltools(report.pipeline)
    assert len(spec.pipeline.models) == 3
    assert [f.name for f in spec.description.input] == ["q", "k"]
    tl.extract(model, tmp_path / "part.mlpackage", "attention", inputs="scores")
    spec = load_in_coremltools(tmp_path / "part.mlpackage")
    assert [f.name for f in spec.description.input] == ["scores"]
    with pytest.raises(tl.Error, match="no value 'nosuch'"):
        tl.extract(model, tmp_path / "none.mlpackage", ["nosuch"])
    with pytest.raises(tl.Error, match="say how to cut"):
        tl.split(model, tmp_path / "parts")


def stateful(path):
    """Two sums that two states keep, one after the other: (a += x), (b += 2 a), y = b."""
    ct = pytest.importorskip("coremltools")
    from coremltools.converters.mil.mil import Builder as mb
    from coremltools.converters.mil.mil import types

    specs = [kind((1, 32), dtype=types.fp16) for kind in (mb.TensorSpec, mb.StateTensorSpec, mb.StateTensorSpec)]

    @mb.program(input_specs=specs, opset_version=ct.target.iOS18)
    def program(x, a, b):
        first = mb.coreml_update_state(state=a, value=mb.add(x=mb.read_state(input=a), y=x), name="first")
        twice = mb.mul(x=first, y=np.float16(2), name="twice")
        return mb.identity(x=mb.coreml_update_state(state=b, value=mb.add(x=mb.read_state(input=b), y=twice)), name="y")

    ct.convert(program, minimum_deployment_target=ct.target.iOS18, skip_model_load=True).save(str(path))


def test_states_stay_with_their_part(tmp_path):
    stateful(tmp_path / "sums.mlpackage")
    report = tl.split(tmp_path / "sums.mlpackage", tmp_path / "parts", at="twice")
    assert [tl.load_model(part.path)._info["states"][0]["name"] for part in report.parts] == ["a", "b"]
    spec = load_in_coremltools(report.pipeline)
    assert [state.name for state in spec.description.state] == ["a", "b"]
    pipeline = tl.load_model(report.pipeline)
    state = pipeline.make_state()
    x = np.ones((1, 32), np.float16)
    # a is 1, 2, 3; b their doubled sums.
    for want in (2, 6, 12):
        assert np.all(pipeline.predict({"x": x}, state)["y"] == want)
    assert np.all(state.read_state("a") == 3)
    with pytest.raises(tl.Error, match="share the state 'a'"):
        tl.split(tmp_path / "sums.mlpackage", tmp_path / "no", at=_before_update(tmp_path / "sums.mlpackage")[0])
    # A part of a model holds the states that it works on.
    tl.extract(tmp_path / "sums.mlpackage", tmp_path / "first.mlpackage", "twice")
    part = tl.load_model(tmp_path / "first.mlpackage")
    state = part.make_state()
    assert [part.predict({"x": x}, state)["twice"][0, 0] for _ in range(3)] == [2, 4, 6]


def test_a_scalar_passes_a_border(tmp_path):
    ct = pytest.importorskip("coremltools")
    from coremltools.converters.mil.mil import Builder as mb
    from coremltools.converters.mil.mil import types

    @mb.program(input_specs=[mb.TensorSpec((4,), dtype=types.fp16)], opset_version=ct.target.iOS17)
    def program(x):
        total = mb.reduce_sum(x=x, axes=[0], keep_dims=False, name="total")
        return mb.mul(x=x, y=total, name="y")

    ct.convert(program, minimum_deployment_target=ct.target.iOS17, skip_model_load=True).save(str(tmp_path / "sum.mlpackage"))
    report = tl.split(tmp_path / "sum.mlpackage", tmp_path / "parts", at="total")
    assert [(part.inputs, part.outputs) for part in report.parts] == [(["x"], ["total"]), (["x", "total"], ["y"])]
    load_in_coremltools(report.pipeline)
    x = np.array([1, 2, 3, 4], np.float16)
    assert tl.load_model(report.parts[0].path).predict({"x": x})["total"].tolist() == [10]
    for path, inputs in ((report.pipeline, {"x": x}), (report.parts[1].path, {"x": x, "total": np.array([10], np.float16)})):
        assert tl.load_model(path).predict(inputs)["y"].tolist() == [10, 20, 30, 40]


def _before_update(path):
    """Names of the sums that go into states."""
    return [row["op"] for row in tl.compare(path).rows if row["type"] == "add"]
