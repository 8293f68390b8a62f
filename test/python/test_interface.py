"""Every kind of input and output (test/data/interface/make.py): y = 2 x, unless it says otherwise."""

import pathlib

import numpy as np
import pytest
import tensorlogic as tl
from PIL import Image

DATA = pathlib.Path(__file__).parents[1] / "data" / "interface"
rng = np.random.default_rng(4)
RGB = rng.integers(0, 120, (4, 6, 3)).astype(np.uint8)
GRAY = rng.integers(0, 120, (4, 6)).astype(np.uint8)
KINDS = ["network", "program"]


def load(name):
    (file,) = DATA.glob(f"{name}.ml*")
    return tl.load_model(file)


def only(answer):
    (value,) = answer.values()
    return value


def planes(space, pixels=None):
    """[1, channels, height, width] in the model's order, as float32."""
    if space.startswith("gray"):
        return (GRAY if pixels is None else pixels).astype(np.float32)[None, None]
    pixels = RGB if pixels is None else pixels
    if space == "bgr":
        pixels = pixels[..., ::-1]
    return pixels.transpose(2, 0, 1).astype(np.float32)[None]


def given(space):
    """What a caller may give for the same picture."""
    if space == "gray16":
        return [GRAY.astype(np.float16), Image.fromarray(GRAY.astype(np.float32), mode="F"), planes(space)]
    pixels = GRAY if space == "gray" else RGB
    return [pixels, Image.fromarray(pixels), planes(space)]


# neural networks have no float16 images
@pytest.mark.parametrize("kind, space", [(k, s) for k in KINDS for s in ("gray", "gray16", "rgb", "bgr") if (k, s) != ("network", "gray16")])
def test_pixels_are_scaled_and_shifted(kind, space):
    model = load(f"{kind}_{space}")
    # the bias is given in the order of the model's channels
    bias = np.float32(3) if space.startswith("gray") else np.array([1, 2, 3], np.float32).reshape(1, 3, 1, 1)
    for x in given(space):
        np.testing.assert_allclose(only(model.predict({"x": x})), 2 * (0.5 * planes(space) + bias), rtol=1e-6)


@pytest.mark.parametrize("space", ["gray", "gray16", "rgb", "bgr"])
def test_pixels_come_out(space):
    model = load(f"pixels_{space}")
    for x in given(space):
        picture = model.predict({"x": x})["y"]
        assert picture.size == (6, 4) and picture.mode == {"gray": "L", "gray16": "F"}.get(space, "RGB")
        np.testing.assert_array_equal(np.asarray(picture), 2 * (GRAY if space.startswith("gray") else RGB).astype(np.float32))


@pytest.mark.parametrize("space", ["gray", "rgb", "bgr"])
def test_networks_give_pixels(space, tmp_path):
    import coremltools as ct
    from coremltools.models.neural_network import NeuralNetworkBuilder

    shape = ct.models.datatypes.Array(1 if space == "gray" else 3, 4, 6)
    builder = NeuralNetworkBuilder([("x", shape)], [("y", shape)])
    builder.add_activation("twice", "LINEAR", "x", "y", [2, 0])
    for feature in (builder.spec.description.input[0], builder.spec.description.output[0]):
        image = feature.type.imageType
        image.width, image.height = 6, 4
        image.colorSpace = {"gray": image.GRAYSCALE, "rgb": image.RGB, "bgr": image.BGR}[space]
    ct.models.utils.save_spec(builder.spec, str(tmp_path / "m.mlmodel"))
    pixels = GRAY if space == "gray" else RGB
    picture = tl.load_model(tmp_path / "m.mlmodel").predict({"x": pixels})["y"]
    assert picture.mode == ("L" if space == "gray" else "RGB")
    np.testing.assert_array_equal(np.asarray(picture), 2 * pixels.astype(int))


def test_pixels_saturate():
    bright = np.full((4, 6, 3), 200, np.uint8)
    assert np.asarray(load("pixels_rgb").predict({"x": bright})["y"]).tolist() == np.full((4, 6, 3), 255).tolist()


def test_pillow_images_are_converted():
    colors = Image.fromarray(RGB)
    np.testing.assert_array_equal(np.asarray(load("pixels_gray").predict({"x": colors})["y"]), 2 * np.asarray(colors.convert("L")).astype(int))
    gray = Image.fromarray(GRAY)
    np.testing.assert_array_equal(np.asarray(load("pixels_rgb").predict({"x": gray})["y"]), 2 * np.stack([GRAY] * 3, 2).astype(int))


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_of_images(kind):
    listed, ranged = load(f"{kind}_image_listed"), load(f"{kind}_image_ranged")
    for height, width in ((4, 6), (8, 8)):
        pixels = rng.integers(0, 9, (height, width, 3)).astype(np.uint8)
        np.testing.assert_array_equal(only(listed.predict({"x": pixels})), 2 * planes("rgb", pixels))
    for height, width in ((4, 6), (2, 3), (10, 20)):
        pixels = rng.integers(0, 9, (height, width, 3)).astype(np.uint8)
        np.testing.assert_array_equal(only(ranged.predict({"x": pixels})), 2 * planes("rgb", pixels))
    for bad in (np.zeros((8, 6, 3), np.uint8), np.zeros((1, 3, 6, 8), np.float32)):
        with pytest.raises(tl.Error, match=r"input 'x': an image of \d x \d is given, the model takes .*6 x 4.*8 x 8"):
            listed.predict({"x": bad})
    with pytest.raises(tl.Error, match=r"an image of 6 x 11 is given, the model takes 3\.\.\.\d* x 2\.\.\.10"):
        ranged.predict({"x": np.zeros((11, 6, 3), np.uint8)})
    with pytest.raises(tl.Error, match="1 channels are given, the model takes 3"):
        ranged.predict({"x": np.zeros((4, 6), np.uint8)})


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_of_arrays(kind):
    listed, ranged = load(f"{kind}_array_listed"), load(f"{kind}_array_ranged")
    for model, shapes in ((listed, [(2, 3), (4, 5)]), (ranged, [(1, 3), (2, 3), (4, 3)])):
        for shape in shapes:
            x = rng.standard_normal(shape).astype(np.float32)
            np.testing.assert_array_equal(only(model.predict({"x": x})), 2 * x)
    with pytest.raises(tl.Error, match=r"shape \[4, 3\] is given, the model takes fp32 one of .*\[2, 3\].*\[4, 5\]"):
        listed.predict({"x": np.zeros((4, 3))})
    with pytest.raises(tl.Error, match=r"shape \[5, 3\] is given, the model takes fp32 \[1\.\.\.4, 3\]"):
        ranged.predict({"x": np.zeros((5, 3))})
    with pytest.raises(tl.Error, match=r"shape \[3\] is given"):
        ranged.predict({"x": np.zeros(3)})


@pytest.mark.parametrize("kind", KINDS)
def test_optional_inputs_have_a_default(kind):
    model = load(f"{kind}_optional")
    (b,) = [f for f in model.metadata["inputs"] if f["name"] == "b"]
    assert b["optional"]
    np.testing.assert_array_equal(only(model.predict({"a": [1, 2], "b": [10, 20]})), [11, 22])
    np.testing.assert_array_equal(only(model.predict({"a": [1, 2]})), [4, 5])
    with pytest.raises(tl.Error, match="input 'a': is missing"):
        model.predict({"b": [1, 2]})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("label", ["text", "number"])
def test_labels(kind, label):
    names = ["cat", "dog", "cow"] if label == "text" else [7, 8, -9]
    model = load(f"{kind}_labels_{label}")
    assert model.labels == names
    x = np.array([[0.5, 0.25, 2]], np.float32)
    answer = model.predict({"x": x})
    assert answer["label"] == names[2] and type(answer["label"]) is type(names[2])
    (shares,) = [v for v in answer.values() if isinstance(v, dict)]
    want = np.exp(x[0]) / np.exp(x[0]).sum()
    assert list(shares) == names
    np.testing.assert_allclose(list(shares.values()), want, rtol=1e-5)


@pytest.mark.parametrize("name", ["float16", "float32", "int32", "int8"])
def test_element_types(name):
    model = load(f"type_{name}")
    dtype = np.dtype(name)
    (x,), (y,) = model.metadata["inputs"], model.metadata["outputs"]
    spelled = {"float16": "fp16", "float32": "fp32"}.get(name, name)
    assert x["dtype"] == y["dtype"] == spelled
    values = np.array([[1, -2, 3], [0, 50, -60]])
    for given in (values.astype(dtype), values.astype(np.float64), values.tolist()):
        answer = model.predict({"x": given})["y"]
        assert answer.dtype == dtype
        np.testing.assert_array_equal(answer, 2 * values)


def test_text_is_no_array():
    with pytest.raises(tl.Error, match="text is given, the model takes fp32"):
        load("type_float32").predict({"x": "six"})


CLASSIC = pathlib.Path(__file__).parents[1] / "data" / "classic"


def test_dictionaries_sequences_and_numbers():
    model = tl.load_model(CLASSIC / "recommender.mlmodel")
    assert [f["type"] for f in model.metadata["inputs"]] == ["dictionary", "int64", "sequence", "sequence"]
    answer = model.predict({"items": {"ant": 2}})
    assert answer["best"] == ["bee", "cat", "dog"] and answer["scores"] == {"bee": 0.75, "cat": 0.5, "dog": 0}
    assert model.predict({"items": {"ant": 2}, "count": 1, "only": ["cat", "dog"]})["best"] == ["cat"]
    assert model.predict({"items": {"ant": 2}, "without": []})["best"] == ["bee", "cat", "ant", "dog"]
    with pytest.raises(tl.Error, match="input 'only': .* are given, the model takes texts"):
        model.predict({"items": {"ant": 2}, "only": [1, 2]})
    with pytest.raises(tl.Error, match="input 'items': is missing"):
        model.predict({})


def test_numbers_may_be_missing():
    model = tl.load_model(CLASSIC / "probit.mlmodel")
    answer = model.predict({"x": np.zeros(5)})
    assert answer["y"] == answer["pessimistic"] and isinstance(answer["y"], float)


def test_neighbors_list_their_labels():
    assert tl.load_model(CLASSIC / "knn_inverse.mlmodel").labels == ["0", "1", "2"]


@pytest.mark.parametrize("name", ["classic/knn_inverse.mlmodel", "classic/recommender.mlmodel", "classic/tree_softmax.mlmodel", "classic/linked_stage.mlmodel"])
def test_classic_models_compile_and_run_through_coremltools(name, tmp_path):
    import tensorlogic.coreml  # noqa: F401
    import coremltools as ct

    path = CLASSIC.parent / name
    given = {"items": {"bee": 2.0}} if "recommender" in name else {"x": np.array([1, 0.5, -1, 2])}
    plain, compiled = tl.load_model(path).predict(given), ct.models.CompiledMLModel(ct.models.utils.compile_model(str(path))).predict(given)
    assert str(plain) == str(compiled) and str(ct.models.MLModel(str(path)).predict(given)) == str(plain)


def test_a_refused_model_describes_itself(tmp_path):
    # a word tagger (field 2001) of specification 3
    (tmp_path / "tagger.mlmodel").write_bytes(b"\x08\x03\x12\x00" + bytes([0x8A, 0x7D, 0x00]))
    model = tl.load_model(tmp_path / "tagger.mlmodel")
    assert model.metadata["model_type"] == "wordTagger"
    with pytest.raises(tl.Error, match="models of type 'wordTagger' are not run: word taggers of Create ML"):
        model.predict({})
