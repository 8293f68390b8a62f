import subprocess
import sys

import numpy as np
import pytest


def run(script, *arguments, plug="import tensorlogic.coreml\n"):
    done = subprocess.run([sys.executable, "-c", plug + script, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_predict_lists_and_durations(made):
    out = run(
        """
import sys, numpy as np, coremltools as ct
m = ct.models.MLModel(sys.argv[1])
one = {"x": np.ones((2, 3), np.float32), "y": np.zeros((2, 3), np.float32)}
print(m.predict(one)["z"].tolist())
print([float(r["z"].sum()) for r in m.predict([one, {"x": one["y"], "y": one["x"]}])])
print(m.load_duration_in_nano_seconds > 0, m.last_predict_duration_in_nano_seconds > 0)
""",
        made / "weighted.mlpackage",
    )
    assert out.splitlines() == ["[[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]]", "[12.0, 6.0]", "True True"]


def test_coremltools_imported_first(made):
    out = run(
        """
import sys, numpy as np
import coremltools as ct
import tensorlogic.coreml
print(ct.models.MLModel(sys.argv[1]).predict({"x": np.ones((2, 3)), "y": np.ones((2, 3))})["z"].sum())
""",
        made / "weighted.mlpackage", plug="",
    )
    assert float(out) == 18


def test_state(made):
    out = run(
        """
import sys, numpy as np, coremltools as ct
m = ct.models.MLModel(sys.argv[1])
s = m.make_state()
for _ in range(4):
    r = m.predict({"x": np.ones(3, np.float16)}, s)
print(r["sum"].tolist(), s.read_state("total").tolist())
s.write_state("total", np.zeros(3, np.float16))
print(m.predict({"x": np.ones(3, np.float16)}, s)["sum"].tolist())
""",
        made / "counter.mlpackage",
    )
    assert out.split("\n")[:2] == ["[4.0, 4.0, 4.0] [4.0, 4.0, 4.0]", "[1.0, 1.0, 1.0]"]


def test_compile_structure_plan_devices(made):
    out = run(
        """
import sys, numpy as np, coremltools as ct
from coremltools.models.compute_plan import MLComputePlan, MLModelStructure
path = ct.models.utils.compile_model(sys.argv[1])
m = ct.models.CompiledMLModel(path, optimization_hints={"specializationStrategy": ct.SpecializationStrategy.FastPrediction})
print(m.predict({"x": np.ones((2, 3), np.float32), "y": np.ones((2, 3), np.float32)})["z"].sum())
program = MLModelStructure.load_from_path(path).program
ops = program.functions["main"].block.operations
print([op.operator_name.split(".")[-1] for op in ops if "const" not in op.operator_name])
plan = MLComputePlan.load_from_path(path)
op = [o for o in plan.model_structure.program.functions["main"].block.operations if "add" in o.operator_name][0]
usage = plan.get_compute_device_usage_for_mlprogram_operation(op)
print(type(usage.preferred_compute_device).__name__, plan.get_estimated_cost_for_mlprogram_operation(op).weight > 0)
print([type(d).__name__ for d in ct.models.compute_device.MLComputeDevice.get_all_compute_devices()])
""",
        made / "weighted.mlpackage",
    )
    assert out.splitlines() == ["18.0", "['mul', 'add']", "MLCPUComputeDevice True", "['MLCPUComputeDevice']"]


def test_image_input_and_labels(models):
    out = run(
        """
import sys, coremltools as ct
from PIL import Image
m = ct.models.MLModel(sys.argv[1])
r = m.predict({"image": Image.open(sys.argv[2]).convert("RGB")})
print(r["classLabel"], max(r["classLabel_probs"].values()) > 0.3)
""",
        models / "EfficientNetLite0.mlpackage", models / "cat224.png",
    )
    assert out.strip() == "tiger cat True"


def test_enable_and_disable_for_the_environment(made):
    command = [sys.executable, "-m", "tensorlogic", "coremltools"]
    script = "import sys, numpy as np, coremltools as ct; print(ct.models.MLModel(sys.argv[1]).predict({'x': np.ones((2, 3)), 'y': np.ones((2, 3))})['z'].sum())"

    def status():
        return subprocess.run([*command, "--status"], capture_output=True, text=True).returncode

    assert status() == 1
    subprocess.run([*command, "--enable"], check=True, capture_output=True)
    try:
        assert status() == 0
        assert float(run(script, made / "weighted.mlpackage", plug="")) == 18
    finally:
        subprocess.run([*command, "--disable"], check=True, capture_output=True)
    assert status() == 1
    done = subprocess.run([sys.executable, "-c", script, made / "weighted.mlpackage"], capture_output=True, text=True)
    assert done.returncode != 0


def test_plain_start_is_not_slowed():
    done = subprocess.run([sys.executable, "-c", "import tensorlogic, sys; print('coremltools' in sys.modules)"], capture_output=True, text=True)
    assert done.stdout.strip() == "False"
