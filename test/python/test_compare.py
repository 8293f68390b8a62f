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
    from tensorlogic import _core  # noqa: F401  the command is beside the package in a build

    tool = Path(__file__).resolve().parents[2] / "build" / "bin" / "tl"
    if not tool.exists():
        pytest.skip("no command in the build folder")
    model = MODELS / "large_scores.mlpackage"
    subprocess.run([tool, "split", model, tmp_path / "parts", "--parts", "3"], check=True, capture_output=True)
    spec = load_in_coremltools(tmp_path / "parts" / "large_scores_pipeline.mlpackage")
    assert len(spec.pipeline.models) == 3
    assert [f.name for f in spec.description.input] == ["q", "k"]
    subprocess.run([tool, "extract", model, tmp_path / "part.mlpackage", "--inputs", "scores", "--outputs", "attention"], check=True)
    spec = load_in_coremltools(tmp_path / "part.mlpackage")
    assert [f.name for f in spec.description.input] == ["scores"]
