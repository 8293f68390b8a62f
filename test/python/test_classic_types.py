"""Every kind of model without a network that test/data/classic lacks, and features of every kind; answers from NumPy and literals."""

import coremltools as ct
import numpy as np
import pytest
import tensorlogic as tl

proto = ct.proto.Model_pb2
features = ct.proto.FeatureTypes_pb2
rng = np.random.default_rng(8)
NAN = float("nan")


def set_type(kind, what):
    """Fills a FeatureType: "double", "int64", "string", a shape of doubles, a dictionary's key or a sequence's items."""
    if isinstance(what, tuple):
        kind.multiArrayType.shape.extend(what)
        kind.multiArrayType.dataType = features.ArrayFeatureType.DOUBLE
    elif what.startswith("dict:"):
        getattr(kind.dictionaryType, f"{what[5:]}KeyType").SetInParent()
    elif what.startswith("list:"):
        getattr(kind.sequenceType, f"{what[5:]}Type").SetInParent()
        kind.sequenceType.sizeRange.upperBound = -1
    else:
        getattr(kind, f"{what}Type").SetInParent()


def message(inputs, outputs, into=None):
    spec = proto.Model() if into is None else into
    spec.specificationVersion = 4
    for side, listed in ((spec.description.input, inputs), (spec.description.output, outputs)):
        for name, what in listed.items():
            feature = side.add()
            feature.name = name
            set_type(feature.type, what)
    return spec


def run(spec, folder, inputs):
    path = str(folder / "model.mlmodel")
    ct.models.utils.save_spec(spec, path)
    return tl.load_model(path).predict(inputs)


def test_identity(tmp_path):
    kinds = {"a": "double", "b": "int64", "c": "string", "d": (2,), "e": "dict:string", "f": "dict:int64", "g": "list:string", "h": "list:int64"}
    spec = message(kinds, kinds)
    spec.identity.SetInParent()
    given = {"a": 0.1, "b": 2**53 + 1, "c": "µ", "d": [1, 2], "e": {"k": 0.5}, "f": {2**60: -1.5}, "g": ["", "b"], "h": [-(2**60)]}
    answer = run(spec, tmp_path, given)
    assert answer["a"] == 0.1 and answer["b"] == 2**53 + 1 and answer["c"] == "µ" and answer["e"] == {"k": 0.5}
    assert answer["d"].dtype == np.float64 and answer["d"].tolist() == [1, 2]
    assert answer["f"] == {2**60: -1.5} and answer["g"] == ["", "b"] and list(answer["h"]) == [-(2**60)]
    for name, wrong in {"a": "text", "b": "text", "c": 1.5, "d": "text", "f": {"k": 1}, "g": [1], "h": ["a"]}.items():
        with pytest.raises(tl.Error, match=f"'{name}'"):
            run(spec, tmp_path, given | {name: wrong})


def test_feature_vectorizer(tmp_path):
    spec = message({"a": "double", "b": "int64", "c": (3,)}, {"y": (5,)})
    for name, size in (("a", 1), ("c", 3), ("b", 1)):
        column = spec.featureVectorizer.inputList.add()
        column.inputColumn, column.inputDimensions = name, size
    answer = run(spec, tmp_path, {"a": 0.5, "b": -7, "c": [1, 2, 3]})
    assert np.ravel(answer["y"]).tolist() == [0.5, 1, 2, 3, -7]


@pytest.mark.parametrize("value", [NAN, -1.0])
def test_imputer_of_arrays(tmp_path, value):
    spec = message({"x": (3,)}, {"y": (3,)})
    spec.imputer.imputedDoubleArray.vector.extend([10, 20, 30])
    spec.imputer.replaceDoubleValue = value
    answer = run(spec, tmp_path, {"x": [1, value, 3]})
    assert np.ravel(answer["y"]).tolist() == [1, 20, 3]


def test_imputer_of_numbers_and_texts(tmp_path):
    spec = message({"x": "int64"}, {"y": "int64"})
    spec.imputer.imputedInt64Value, spec.imputer.replaceInt64Value = 2**60 + 1, -1
    assert run(spec, tmp_path, {"x": -1})["y"] == 2**60 + 1 and run(spec, tmp_path, {"x": 2**60 + 3})["y"] == 2**60 + 3
    spec.description.input[0].type.isOptional = True
    spec.imputer.imputedInt64Value = 5
    assert [run(spec, tmp_path, given)["y"] for given in ({}, {"x": -1}, {"x": 3})] == [5, 5, 3]
    spec = message({"x": "string"}, {"y": "string"})
    spec.imputer.imputedStringValue, spec.imputer.replaceStringValue = "none", ""
    assert [run(spec, tmp_path, {"x": text})["y"] for text in ("", "a", "none")] == ["none", "a", "none"]
    spec.imputer.ClearField("replaceStringValue")
    assert run(spec, tmp_path, {"x": ""})["y"] == ""
    spec = message({"x": "double"}, {"y": "double"})
    spec.imputer.imputedDoubleValue, spec.imputer.replaceDoubleValue = 2.5, NAN
    assert run(spec, tmp_path, {"x": NAN})["y"] == 2.5


@pytest.mark.parametrize("key", ["string", "int64"])
def test_imputer_of_dictionaries(tmp_path, key):
    a, b, c = ("a", "b", "c") if key == "string" else (1, -(2**60), 2**60 + 1)
    spec = message({"x": f"dict:{key}"}, {"y": f"dict:{key}"})
    spec.description.input[0].type.isOptional = True
    getattr(spec.imputer, f"imputed{key.capitalize()}Dictionary").map.update({a: 10, b: 20})
    assert run(spec, tmp_path, {"x": {a: 1, b: NAN}})["y"] == {a: 1, b: 20}
    assert run(spec, tmp_path, {"x": {c: 3, a: 0}})["y"] == {c: 3, a: 0, b: 20}
    assert run(spec, tmp_path, {"x": {}})["y"] == run(spec, tmp_path, {})["y"] == {a: 10, b: 20}
    assert np.isnan(run(spec, tmp_path, {"x": {c: NAN}})["y"][c])


@pytest.mark.parametrize("kind, fields, fault", [
    ("string", {"imputedStringValue": "a", "replaceDoubleValue": 1}, "text is put in place of a number"),
    ("double", {"imputedStringValue": "a"}, "text is put into"),
    ("double", {"imputedDoubleValue": 1, "replaceStringValue": ""}, "a number is put in place of text"),
    ("string", {"imputedDoubleValue": 1}, "numbers are expected"),
    ("double", {}, "no value to put in"),
])
def test_imputer_that_fits_nothing(tmp_path, kind, fields, fault):
    spec = message({"x": kind}, {"y": kind})
    spec.imputer.SetInParent()
    for name, value in fields.items():
        setattr(spec.imputer, name, value)
    with pytest.raises(tl.Error, match=fault):
        run(spec, tmp_path, {"x": "" if kind == "string" else 0.5})


def test_imputer_of_dictionaries_that_fits_nothing(tmp_path):
    spec = message({"x": "dict:string"}, {"y": "dict:string"})
    spec.imputer.imputedStringDictionary.map["a"] = 1
    spec.imputer.replaceDoubleValue = 0
    with pytest.raises(tl.Error, match="dictionaries do not have"):
        run(spec, tmp_path, {"x": {}})
    spec = message({"x": "dict:int64"}, {"y": "dict:int64"})
    spec.imputer.imputedStringDictionary.map["a"] = 1
    with pytest.raises(tl.Error, match="expected a dictionary by string"):
        run(spec, tmp_path, {"x": {}})


def test_glm_classifier_with_unknown_fields(tmp_path):
    spec = message({"x": (1,)}, {"label": "int64", "p": "dict:int64"})
    spec.description.predictedFeatureName, spec.description.predictedProbabilitiesName = "label", "p"
    glm = spec.glmClassifier
    glm.weights.add().value.append(2)
    glm.int64ClassLabels.vector.extend([0, 1])
    assert run(spec, tmp_path, {"x": [1]})["p"][1] == pytest.approx(1 / (1 + np.exp(-2)))
    for field, what in (("postEvaluationTransform", "transform 7"), ("classEncoding", "class encoding 7")):
        setattr(glm, field, 7)
        with pytest.raises(tl.Error, match=f"{what} is not known"):
            run(spec, tmp_path, {"x": [1]})
        setattr(glm, field, 0)


@pytest.mark.parametrize("norm", ["LMax", "L1", "L2"])
def test_normalizer(tmp_path, norm):
    spec = message({"x": (4,)}, {"y": (4,)})
    spec.normalizer.normType = getattr(ct.proto.Normalizer_pb2.Normalizer, norm)
    x = np.array([0.5, -3, 2, 1])
    length = np.linalg.norm(x, {"LMax": np.inf, "L1": 1, "L2": 2}[norm])
    np.testing.assert_allclose(np.ravel(run(spec, tmp_path, {"x": x})["y"]), x / length, rtol=1e-12)


def test_scaler(tmp_path):
    spec = message({"x": (3,)}, {"y": (3,)})
    spec.scaler.shiftValue.extend([-1, 0, 2])
    spec.scaler.scaleValue.extend([2, 0.5, 3])
    assert np.ravel(run(spec, tmp_path, {"x": [3, 4, 5]})["y"]).tolist() == [4, 2, 21]


@pytest.mark.parametrize("key, sparse", [(k, s) for k in ("string", "int64") for s in (False, True)])
def test_one_hot(tmp_path, key, sparse):
    categories = ["red", "green", "blue"] if key == "string" else [4, -5, 6]
    spec = message({"x": key}, {"y": "dict:int64" if sparse else (3,)})
    getattr(spec.oneHotEncoder, f"{key}Categories").vector.extend(categories)
    spec.oneHotEncoder.outputSparse = sparse
    spec.oneHotEncoder.handleUnknown = 1  # IgnoreUnknown
    unknown = "grey" if key == "string" else 7
    for value, place in [(c, i) for i, c in enumerate(categories)] + [(unknown, None)]:
        answer = run(spec, tmp_path, {"x": value})["y"]
        if sparse:
            assert answer == ({} if place is None else {place: 1})
        else:
            assert np.ravel(answer).tolist() == [float(i == place) for i in range(3)]
    spec.oneHotEncoder.handleUnknown = 0
    with pytest.raises(tl.Error, match="is no category"):
        run(spec, tmp_path, {"x": unknown})


@pytest.mark.parametrize("to", ["string", "int64"])
def test_categorical_mapping(tmp_path, to):
    spec = message({"x": "string" if to == "int64" else "int64"}, {"y": to})
    pairs = {"a": 3, "b": 2**40}
    mapping = spec.categoricalMapping
    if to == "int64":
        mapping.stringToInt64Map.map.update(pairs)
        mapping.int64Value = -1
        assert [run(spec, tmp_path, {"x": k})["y"] for k in ("a", "b", "c")] == [3, 2**40, -1]
        mapping.strValue = "?"
    else:
        mapping.int64ToStringMap.map.update({v: k for k, v in pairs.items()})
        mapping.strValue = "?"
        assert [run(spec, tmp_path, {"x": k})["y"] for k in (3, 2**40, 5)] == ["a", "b", "?"]
        mapping.int64Value = -1
    with pytest.raises(tl.Error, match="of another kind than mapped ones"):
        run(spec, tmp_path, {"x": "a" if to == "int64" else 3})


@pytest.mark.parametrize("key", ["string", "int64"])
def test_dict_vectorizer(tmp_path, key):
    keys = ["a", "b", "c"] if key == "string" else [5, 7, 11]
    spec = message({"x": f"dict:{key}"}, {"y": (3,)})
    getattr(spec.dictVectorizer, f"{key}ToIndex").vector.extend(keys)
    given = {keys[2]: 2.5, keys[0]: -1}
    assert np.ravel(run(spec, tmp_path, {"x": given})["y"]).tolist() == [-1, 0, 2.5]
    assert np.ravel(run(spec, tmp_path, {"x": {}})["y"]).tolist() == [0, 0, 0]


def test_array_feature_extractor(tmp_path):
    spec = message({"x": (5,)}, {"y": (3,)})
    spec.arrayFeatureExtractor.extractIndex.extend([4, 0, 4])
    assert np.ravel(run(spec, tmp_path, {"x": [10, 11, 12, 13, 14]})["y"]).tolist() == [14, 10, 14]


def kept(boxes, scores, confidence, overlap):
    """The places of the boxes (centre and size) that stay: by best score, those that overlap a kept one no further than `overlap`."""
    low, high = boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2
    best, result = scores.max(1), []
    for i in np.argsort(-best):
        if best[i] < confidence:
            break
        common = [np.prod(np.maximum(0, np.minimum(high[i], high[k]) - np.maximum(low[i], low[k]))) for k in result]
        if all(c / (np.prod(boxes[i, 2:]) + np.prod(boxes[k, 2:]) - c) <= overlap for c, k in zip(common, result)):
            result.append(i)
    return result


def test_non_maximum_suppression(tmp_path):
    boxes = np.concatenate([rng.uniform(0.2, 0.8, (40, 2)), rng.uniform(0.1, 0.4, (40, 2))], 1)
    scores = rng.uniform(0, 1, (40, 3))
    spec = message({"scores": (40, 3), "boxes": (40, 4)}, {"s": (0, 3), "b": (0, 4)})
    nms = spec.nonMaximumSuppression
    nms.confidenceInputFeatureName, nms.coordinatesInputFeatureName = "scores", "boxes"
    nms.confidenceOutputFeatureName, nms.coordinatesOutputFeatureName = "s", "b"
    nms.iouThreshold, nms.confidenceThreshold = 0.3, 0.4
    nms.stringClassLabels.vector.extend(["a", "b", "c"])
    for side in (spec.description.output,):
        for feature in side:  # the number of boxes is open
            width = feature.type.multiArrayType.shape[1]
            del feature.type.multiArrayType.shape[:]
            for low, high in ((0, -1), (width, width)):
                size = feature.type.multiArrayType.shapeRange.sizeRanges.add()
                size.lowerBound, size.upperBound = low, high
    answer = run(spec, tmp_path, {"scores": scores, "boxes": boxes})
    places = kept(boxes, scores, 0.4, 0.3)
    assert 2 < len(places) < 40
    np.testing.assert_allclose(answer["b"], boxes[places], rtol=1e-6)
    np.testing.assert_allclose(answer["s"], scores[places], rtol=1e-6)


def test_pipelines_of_all_kinds(tmp_path):
    scaler = message({"x": (2,)}, {"h": (2,)})
    scaler.scaler.shiftValue.extend([1, 1])
    scaler.scaler.scaleValue.extend([2, 3])
    extractor = message({"h": (2,)}, {"y": (1,)})
    extractor.arrayFeatureExtractor.extractIndex.append(1)
    plain = message({"x": (2,)}, {"y": (1,)})
    plain.pipeline.models.add().CopyFrom(scaler)
    plain.pipeline.models.add().CopyFrom(extractor)
    assert np.ravel(run(plain, tmp_path, {"x": [10, 20]})["y"]).tolist() == [63]

    regressor = message({"h": (2,)}, {"y": "double"})
    regressor.description.predictedFeatureName = "y"
    regressor.glmRegressor.weights.add().value.extend([1, -2])
    regressor.glmRegressor.offset.append(0.5)
    both = message({"x": (2,)}, {"y": "double"})
    both.description.predictedFeatureName = "y"
    both.pipelineRegressor.pipeline.models.add().CopyFrom(scaler)
    both.pipelineRegressor.pipeline.models.add().CopyFrom(regressor)
    assert run(both, tmp_path, {"x": [10, 20]})["y"] == 22 - 126 + 0.5

    classifier = message({"h": (2,)}, {"label": "string", "all": "dict:string"})
    classifier.description.predictedFeatureName, classifier.description.predictedProbabilitiesName = "label", "all"
    classifier.glmClassifier.weights.add().value.extend([0.01, -0.02])
    classifier.glmClassifier.offset.append(0.5)
    classifier.glmClassifier.stringClassLabels.vector.extend(["no", "yes"])
    both = message({"x": (2,)}, {"label": "string", "all": "dict:string"})
    both.description.predictedFeatureName, both.description.predictedProbabilitiesName = "label", "all"
    both.pipelineClassifier.pipeline.models.add().CopyFrom(scaler)
    both.pipelineClassifier.pipeline.models.add().CopyFrom(classifier)
    answer = run(both, tmp_path, {"x": [10, 20]})
    yes = 1 / (1 + np.exp(-(0.22 - 1.26 + 0.5)))
    assert answer["label"] == "no"
    np.testing.assert_allclose([answer["all"]["no"], answer["all"]["yes"]], [1 - yes, yes], rtol=1e-6)
