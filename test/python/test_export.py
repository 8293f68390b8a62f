"""What scripts export is opened by coremltools: its loader checks every op against the definition of the version that is written."""

import pathlib
import subprocess

import coremltools as ct
import numpy as np
import pytest
import tensorlogic as tl
from coremltools.converters.mil.frontend.milproto import load as milproto

TL = pathlib.Path(__file__).parents[2] / "build" / "bin" / "tl"
FUNCTIONS = [
    # specification version, function
    (6, "fn f(x: float32[2, 4]) { return relu(x) + 1 }"),
    (6, "fn f(x: float32[2, 4]) { return softmax(x @ transpose(x)) }"),
    (6, "fn f(x: float32[2, 4], n: int32[2]) { return sum(x) * 2 + sum(x[1]) }"),
    (7, "fn f(x: float16[2, 4]) { return x * x }"),
]


@pytest.mark.parametrize("version, code", FUNCTIONS)
def test_the_lowest_version_is_written(tmp_path, version, code):
    path = tmp_path / "m.mlpackage"
    (tmp_path / "export.tl").write_text(f'{code}\nsave_model(f, "{path}")\n')
    subprocess.run([TL, "run", tmp_path / "export.tl"], check=True)
    model = ct.models.MLModel(str(path), skip_model_load=True)
    spec = model.get_spec()
    assert spec.specificationVersion == version
    milproto.load(spec, spec.specificationVersion, model.weights_dir)
    half = "float16" in code
    x = np.arange(8).reshape(2, 4).astype(np.float16 if half else np.float32) / 8
    given = {"x": x} | ({"n": np.array([1, 2])} if "n:" in code else {})
    (got,) = tl.load_model(path).predict(given).values()
    s = x.astype(np.float64) @ x.T.astype(np.float64)
    e = np.exp(s - s.max(1, keepdims=True))
    wants = [np.maximum(x, 0) + 1, e / e.sum(1, keepdims=True), x.sum() * 2 + x[1].sum(), x * x]
    want = wants[[c for _, c in FUNCTIONS].index(code)]
    np.testing.assert_allclose(got, want, rtol=1e-3 if half else 1e-5)
