import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import tensorlogic as tl
from PIL import Image
from safetensors.numpy import load_file

FILES = ["EfficientNetLite0.mlpackage", "EfficientNetLite0_W8.mlpackage", "EfficientNetLite0_P6.mlpackage", "EfficientNetLite0_nn8.mlmodel"]


@pytest.fixture(scope="module")
def cat(models):
    return Image.open(models / "cat224.png").convert("RGB")


@pytest.mark.parametrize("file", FILES)
def test_photo_through_every_efficientnet(models, cat, file):
    expected = load_file(models / "EfficientNetLite0.expected.safetensors")
    probabilities = next(iter(expected.values())).ravel()
    model = tl.load_model(models / file)
    answer = model.predict({model.input_names[0]: cat})
    (label,) = [v for v in answer.values() if isinstance(v, str)]
    (shares,) = [v for v in answer.values() if isinstance(v, dict)]
    best = [model.labels[i] for i in np.argsort(-probabilities)[:2]]
    assert label in best
    assert set(shares) == set(model.labels)  # two of the thousand names stand twice
    assert 0.98 < sum(shares.values()) < 1.01
    difference = max(abs(shares[name] - p) for name, p in zip(model.labels, probabilities))
    assert difference < (0.01 if file == FILES[0] else 0.05)


@pytest.mark.parametrize("name", ["basic_pitch", "crepe_tiny"])
def test_audio_models_against_their_twins(models, name):
    io = load_file(models / f"{name}.io.safetensors")
    model = tl.load_model(models / f"{name}.mlpackage")
    answer = model.predict({k: io[k] for k in model.input_names})
    for output in model.output_names:
        np.testing.assert_allclose(answer[output], io[output], atol=2e-3)


def test_arrays_lists_and_dlpack_are_the_same(made):
    model = tl.load_model(made / "weighted.mlpackage")
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    y = np.full((2, 3), 0.5, np.float32)
    want = 2 * x + y

    class Foreign:
        def __dlpack__(self, **options):
            return x.__dlpack__(**options)

        def __dlpack_device__(self):
            return x.__dlpack_device__()

    for given in (x, x.tolist(), x.astype(np.float64), np.asfortranarray(x), Foreign()):
        np.testing.assert_array_equal(model.predict({"x": given, "y": y})["z"], want)


def test_torch_tensors(made):
    torch = pytest.importorskip("torch")
    model = tl.load_model(made / "weighted.mlpackage")
    x = torch.arange(6, dtype=torch.float32).reshape(2, 3).requires_grad_()
    np.testing.assert_array_equal(model.predict({"x": x, "y": torch.ones(2, 3)})["z"], 2 * x.detach().numpy() + 1)


def test_results_into_own_arrays(made):
    model = tl.load_model(made / "weighted.mlpackage")
    out = np.zeros((2, 3), np.float64)
    answer = model.predict({"x": np.ones((2, 3), np.float32), "y": np.ones((2, 3), np.float32)}, out={"z": out})
    assert answer["z"] is out
    np.testing.assert_array_equal(out, np.full((2, 3), 3.0))
    with pytest.raises(tl.Error, match="shape"):
        model.predict({"x": np.ones((2, 3)), "y": np.ones((2, 3))}, out={"z": np.zeros(3)})


def test_states_count_apart(made):
    model = tl.load_model(made / "counter.mlpackage")
    first, second = model.make_state(), model.make_state()
    one = np.ones(3, np.float16)
    for _ in range(3):
        answer = model.predict({"x": one}, state=first)
    np.testing.assert_array_equal(answer["sum"], [3, 3, 3])
    np.testing.assert_array_equal(model.predict({"x": one}, state=second)["sum"], [1, 1, 1])
    (name,) = first.names
    np.testing.assert_array_equal(first.read_state(name), [3, 3, 3])
    first.write_state(name, np.array([10, 20, 30]))
    np.testing.assert_array_equal(model.predict({"x": one}, state=first)["sum"], [11, 21, 31])


def test_functions(made):
    x = np.array([1, 2], np.float32)
    assert tl.load_model(made / "multi.mlpackage").predict({"x": x})["y"].tolist() == [2, 4]
    assert tl.load_model(made / "multi.mlpackage", function="times3").predict({"x": x})["y"].tolist() == [3, 6]
    with pytest.raises(tl.Error, match="times3"):
        tl.load_model(made / "multi.mlpackage", function="times4")


def test_errors_name_the_place(made, models, tmp_path):
    model = tl.load_model(made / "weighted.mlpackage")
    with pytest.raises(tl.Error, match="'y'"):
        model.predict({"x": np.ones((2, 3))})
    with pytest.raises(tl.Error, match="no input 'q'"):
        model.predict({"x": np.ones((2, 3)), "y": np.ones((2, 3)), "q": np.ones(1)})
    with pytest.raises(tl.Error, match="shape"):
        model.predict({"x": np.ones((2, 4)), "y": np.ones((2, 3))})
    with pytest.raises(tl.Error) as caught:
        tl.load_model(tmp_path / "none.mlpackage")
    assert caught.value.kind == "not found" and "none.mlpackage" in str(caught.value)
    broken = tmp_path / "broken.mlmodel"
    broken.write_bytes((models / "EfficientNetLite0_nn8.mlmodel").read_bytes()[:5000])
    with pytest.raises(tl.Error, match="broken.mlmodel"):
        tl.load_model(broken)
    with pytest.raises(tl.Error, match="compute units"):
        tl.load_model(made / "weighted.mlpackage", compute_units="cpu")


def test_image_of_another_size_is_refused(models, cat):
    with pytest.raises(tl.Error, match="image"):
        tl.load_model(models / FILES[0]).predict({"image": cat.resize((100, 100))})


def test_threads_share_a_model(models):
    io = load_file(models / "crepe_tiny.io.safetensors")
    model = tl.load_model(models / "crepe_tiny.mlpackage")
    inputs = {k: io[k] for k in model.input_names}
    alone = model.predict(inputs)
    failures = []

    def work():
        for _ in range(5):
            for name, value in model.predict(inputs).items():
                if not np.array_equal(value, alone[name]):
                    failures.append(name)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_the_lock_is_free_while_predicting(models, cat):
    model = tl.load_model(models / FILES[0], device="reference")
    ticks, done = [0], threading.Event()

    def tick():
        while not done.is_set():
            ticks[0] += 1
            done.wait(0.001)

    counter = threading.Thread(target=tick)
    counter.start()
    model.predict({"image": cat})
    done.set()
    counter.join()
    assert ticks[0] > 5


def test_fallback_of_units_is_told(made):
    lines = []
    model = tl.load_model(made / "weighted.mlpackage", compute_units="cpuAndNeuralEngine", log=lines.append)
    assert model.device == "cpu" and any("CPU" in line for line in lines)


def test_weights_and_metadata(models):
    model = tl.load_model(models / FILES[1])
    assert model.metadata["format"] == "CoreML" and model.metadata["quantization"] == "W8"
    assert model.get_tensor(model.tensor_names()[0]).dtype in (np.float16, np.float32)
    assert "EfficientNetLite0_W8" in repr(model) and tl.__version__


@pytest.fixture(scope="module")
def endless(tmp_path_factory):
    """x doubled while a flag holds, which nothing changes."""
    import coremltools as ct
    from coremltools.converters.mil import Builder as mb

    @mb.program(input_specs=[mb.TensorSpec(shape=(2,)), mb.TensorSpec(shape=(1,))])
    def program(x, go):
        flag = mb.greater(x=mb.squeeze(x=go), y=np.float32(0))
        return mb.while_loop(_cond=lambda v: mb.logical_and(x=flag, y=flag), _body=lambda v: mb.add(x=v, y=v), loop_vars=(x,), name="spin")

    path = tmp_path_factory.mktemp("endless") / "m.mlpackage"
    ct.convert(program, compute_precision=ct.precision.FLOAT32, skip_model_load=True, pass_pipeline=ct.PassPipeline.EMPTY,
               minimum_deployment_target=ct.target.iOS16).save(str(path))
    return path


def test_a_loop_without_end_ends_by_time(endless):
    model = tl.load_model(endless, time_limit=0.2)
    x = np.ones(2, np.float32)
    assert list(model.predict({"x": x, "go": [0]}).values())[0].tolist() == [1, 1]
    start = time.monotonic()
    with pytest.raises(tl.Error, match=r"spin.*over its time of 0.2 s") as error:
        model.predict({"x": x, "go": [1]})
    assert error.value.kind == "limit" and time.monotonic() - start < 5


def test_a_loop_without_end_ends_by_rounds(endless):
    code = "import sys, tensorlogic as tl; tl.load_model(sys.argv[1]).predict({'x': [1, 1], 'go': [1]})"
    done = subprocess.run([sys.executable, "-c", code, str(endless)], env=os.environ | {"TL_LOOP_LIMIT": "100"}, capture_output=True, text=True)
    assert done.returncode != 0 and "the loops of this prediction ran 100 rounds" in done.stderr and "spin" in done.stderr
