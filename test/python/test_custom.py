import pathlib
import threading

import numpy as np
import pytest
import tensorlogic as tl

DATA = pathlib.Path(__file__).parents[1] / "data" / "custom"
X = np.array([1, 2, -4], np.float32)
FILES = ["network.mlmodel", "network_rank5.mlmodel", "program.mlpackage"]


def inputs(file):
    return {"x": X if file != "program.mlpackage" else np.array([[1, 2, -4], [0, 0, 8]], np.float32)}


def want(file):
    """The files compute -Affine(x / 2): the scale is 2, the shift of the networks 1.75, that of the program 0.75."""
    x = inputs(file)["x"]
    return -(x + (0.75 if file == "program.mlpackage" else 1.75))


@pytest.fixture(autouse=True)
def forget():
    yield
    tl.unregister_custom_layer("Affine")
    tl.unregister_custom_model("Shout")


def affine(inputs, parameters, weights):
    return parameters["scale"] * inputs[0] + parameters.get("bias", 0) + weights[0].sum()


@pytest.mark.parametrize("file", FILES)
def test_functions_and_classes(file):
    seen = []

    @tl.register_custom_layer("Affine")
    def function(inputs, parameters, weights):
        seen.append((inputs, parameters, weights))
        return affine(inputs, parameters, weights)

    model = tl.load_model(DATA / file)
    np.testing.assert_array_equal(model.predict(inputs(file))["y"], want(file))
    (given,), parameters, weights = seen[0]
    assert given.dtype == np.float32 and parameters["mode"] == "plain" and isinstance(parameters["scale"], float)
    if file == "program.mlpackage":
        assert [w.tolist() for w in weights] == [[0.5, 0.25]] and parameters == {"mode": "plain", "scale": 2.0}
    else:
        assert given.shape == ((1, 1, 3, 1, 1) if "rank5" in file else (3,))
        assert parameters == {"big": 1 << 40, "bias": 1, "mode": "plain", "on": True, "scale": 2.0}
        assert weights[1].dtype == np.float16 and weights[2].tolist() == [1, 2]

    made = []

    @tl.register_custom_layer("Affine")
    class Layer:
        def __init__(self, parameters, weights):
            made.append(self)
            self.parameters, self.weights = parameters, weights

        def output_shapes(self, shapes):
            return shapes

        def evaluate(self, inputs):
            return [affine(inputs, self.parameters, self.weights)]

    for _ in range(3):
        np.testing.assert_array_equal(model.predict(inputs(file))["y"], want(file))
    assert len(made) == 1


def test_a_missing_class_is_named():
    model = tl.load_model(DATA / "program.mlpackage")
    with pytest.raises(tl.Error, match=r'op .affine. \(custom_layer\): .*class .Affine. is registered.*register_custom_layer\("Affine"') as caught:
        model.predict(inputs("program.mlpackage"))
    assert caught.value.kind == "unsupported"
    assert not tl.unregister_custom_layer("Affine")


def test_exceptions_name_the_layer():
    model = tl.load_model(DATA / "network.mlmodel")

    @tl.register_custom_layer("Affine")
    def fails(inputs, parameters, weights):
        raise ValueError("five is too many")

    with pytest.raises(tl.Error, match=r"op 'affine' \(custom_layer\): ValueError: five is too many") as caught:
        model.predict({"x": X})
    assert caught.value.kind == "script"
    for answer, text in ((np.zeros((1, 3)), r"gives shape \[1, 3\]"), ("text", "gives string"), ([X, X], "gives 2 outputs"), ({}, "object array|this dtype|expected")):
        tl.register_custom_layer("Affine", lambda inputs, parameters, weights, answer=answer: answer)
        with pytest.raises(tl.Error, match=text):
            model.predict({"x": X})
    tl.register_custom_layer("Affine", lambda inputs, parameters, weights: inputs[0].astype(np.int64))
    np.testing.assert_array_equal(model.predict({"x": X})["y"], [0, -1, 2])
    with pytest.raises(tl.Error, match="a function or class is expected"):
        tl.register_custom_layer("Affine", 3)


def test_inputs_may_be_kept_and_changed():
    kept = []

    def greedy(inputs, parameters, weights):
        kept.append(inputs[0])
        inputs[0] += 1
        return inputs[0]

    tl.register_custom_layer("Affine", greedy)
    model = tl.load_model(DATA / "network.mlmodel")
    first = model.predict({"x": X})["y"]
    model.predict({"x": 10 * X})
    np.testing.assert_array_equal(first, -(X / 2 + 1))
    np.testing.assert_array_equal(kept[0], X / 2 + 1)


def test_threads():
    tl.register_custom_layer("Affine", affine)
    model = tl.load_model(DATA / "network.mlmodel")
    failures = []

    def work(k):
        for _ in range(20):
            y = model.predict({"x": k * X})["y"]
            if not np.array_equal(y, -(k * X + 1.75)):
                failures.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        tl.register_custom_layer("Affine", affine)
    for thread in threads:
        thread.join()
    assert not failures


def test_custom_models():
    given = {"text": "hey", "shares": {"a": 0.25}, "size": 8.0}
    model = tl.load_model(DATA / "model.mlmodel")
    with pytest.raises(tl.Error, match="custom model class 'Shout'"):
        model.predict(given)

    @tl.register_custom_model("Shout")
    def shout(inputs, parameters):
        assert inputs == given and parameters == {"mark": "!", "raw": b"ab"}
        return {"label": inputs["text"] + parameters["mark"], "values": [inputs["size"] * inputs["shares"]["a"], 98]}

    answer = model.predict(given)
    assert answer["label"] == "hey!" and answer["values"].tolist() == [2, 98]

    @tl.register_custom_model("Shout")
    class Model:
        def __init__(self, parameters):
            self.mark = parameters["mark"]

        def predict(self, inputs):
            return {"label": 2 * self.mark, "values": np.zeros(2)}

    assert model.predict(given)["label"] == "!!"
    tl.register_custom_model("Shout", lambda inputs, parameters: 3)
    with pytest.raises(tl.Error, match="a dict of outputs is expected"):
        model.predict(given)


def test_through_coremltools():
    import tensorlogic.coreml  # noqa: F401
    import coremltools as ct

    tl.register_custom_layer("Affine", affine)
    for file in FILES:
        answer = ct.models.MLModel(str(DATA / file)).predict(inputs(file))
        np.testing.assert_array_equal(answer["y"], want(file))
