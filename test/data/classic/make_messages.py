"""Makes the models of this folder that coremltools has no converter for, as messages: NAME.mlmodel, NAME.safetensors (in.*, out.*: a
row a case). Expectations are scikit-learn 1.5.1's where it has the estimator, else NumPy's and SciPy's."""
import pathlib

import numpy as np
from coremltools.models.nearest_neighbors import KNearestNeighborsClassifierBuilder
from coremltools.models.utils import save_spec
from coremltools.proto import FeatureTypes_pb2, Model_pb2
from safetensors.numpy import save_file
from scipy.stats import norm
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC, SVR

here = pathlib.Path(__file__).parent
rng = np.random.default_rng(7)
x = rng.standard_normal((60, 4)).astype(np.float32).astype(np.float64)
real = x @ np.array([1.0, -2, 0.5, 3]) + np.sin(x[:, 0])
three = np.digitize(real, [-2, 2])
tests = rng.standard_normal((40, 4)).astype(np.float32).astype(np.float64)


def save(name, spec, inputs, outputs):
    save_spec(spec, str(here / f"{name}.mlmodel"))
    tensors = {f"in.{k}": np.ascontiguousarray(v, np.float64) for k, v in inputs.items()}
    tensors |= {f"out.{k}": np.ascontiguousarray(v, np.float64) for k, v in outputs.items()}
    save_file(tensors, str(here / f"{name}.safetensors"))


def array(feature, *shape):
    feature.type.multiArrayType.shape.extend(shape)
    feature.type.multiArrayType.dataType = FeatureTypes_pb2.ArrayFeatureType.DOUBLE


def described(inputs, outputs, version=5):
    """A model with features by name: a tuple is the shape of an array, text the field of another type; "?" makes it optional."""
    spec = Model_pb2.Model()
    spec.specificationVersion = version
    for features, given in ((spec.description.input, inputs), (spec.description.output, outputs)):
        for name, kind in given.items():
            feature = features.add(name=name)
            if isinstance(kind, tuple):
                array(feature, *kind)
                continue
            feature.type.isOptional = kind.endswith("?")
            field, _, inner = kind.rstrip("?").partition(".")
            getattr(feature.type, field).SetInParent()
            if inner:
                getattr(getattr(feature.type, field), inner).SetInParent()
    return spec


def classifier(integers=True):
    key = "int64" if integers else "string"
    spec = described({"x": (4,)}, {"y": f"{key}Type", "p": f"dictionaryType.{key}KeyType"})
    spec.description.predictedFeatureName, spec.description.predictedProbabilitiesName = "y", "p"
    return spec


# Neighbors. The classes come in their order first, as scikit-learn gives them; queries whose best votes are equal are left out.
order = np.concatenate([[np.flatnonzero(three == c)[0] for c in range(3)], np.arange(60)])
samples, labels = x[order], three[order]
for name, scheme, index, text in (("knn_uniform", "uniform", "linear", False), ("knn_inverse", "inverse_distance", "kd_tree", True)):
    b = KNearestNeighborsClassifierBuilder("x", "y", 4, "none" if text else 9, number_of_neighbors=5, weighting_scheme=scheme,
                                           index_type=index, leaf_size=3)
    b.add_samples(samples.astype(np.float32), [str(v) for v in labels] if text else [int(v) for v in labels])
    estimator = KNeighborsClassifier(5, weights="distance" if text else "uniform", metric="sqeuclidean").fit(samples, labels)
    queries = np.concatenate([tests, x[3:5]])
    shares = np.sort(estimator.predict_proba(queries), 1)
    queries = queries[shares[:, 2] > shares[:, 1]]
    save(name, b.spec, {"x": queries}, {"y": estimator.predict(queries), "yProbs": estimator.predict_proba(queries)})
b = KNearestNeighborsClassifierBuilder("x", "y", 4, 12)
save("knn_empty", b.spec, {"x": tests[:1]}, {"y": [12], "yProbs": [[1]]})

# Bayesian probit regression (Graepel, Candela, Borchert, Herbrich 2010, beta = 1), features as a list and as rows.
features, values = 5, 3
means, precisions = rng.normal(0, 0.5, (features, values)), rng.uniform(1, 9, (features, values))
chosen = rng.integers(0, values, (12, features))
optimism = rng.uniform(-1, 1, 12)
for name, rows in (("probit", False), ("probit_rows", True)):
    spec = described({"x": (features, 2) if rows else (features,), "optimism": "doubleType?", "scale": "doubleType?", "cut": "doubleType?"},
                     {n: "doubleType" for n in ("y", "mean", "variance", "pessimistic", "sampled")})
    spec.description.predictedFeatureName = "y"
    m = spec.bayesianProbitRegressor
    m.numberOfFeatures = features
    m.bias.mean, m.bias.precision = 0.25, 4
    for i in range(features):
        f = m.features.add(featureId=i)
        for j in range(values):
            w = f.weights.add(featureValue=j)
            w.featureWeight.mean, w.featureWeight.precision = means[i, j], precisions[i, j]
    m.regressionInputFeatureName, m.optimismInputFeatureName = "x", "optimism"
    m.samplingScaleInputFeatureName, m.samplingTruncationInputFeatureName = "scale", "cut"
    m.meanOutputFeatureName, m.varianceOutputFeatureName = "mean", "variance"
    m.pessimisticProbabilityOutputFeatureName, m.sampledProbabilityOutputFeatureName = "pessimistic", "sampled"
    mean = 0.25 + means[np.arange(features), chosen].sum(1)
    variance = 1 / 4 + (1 / precisions)[np.arange(features), chosen].sum(1)
    given = chosen.astype(float)
    if rows:  # in any order
        given = np.stack([np.broadcast_to(np.arange(features), chosen.shape), chosen], 2)[:, ::-1].astype(float)
    save(name, spec, {"x": given, "optimism": optimism, "scale": np.zeros(12)},
         {"y": norm.cdf(mean / np.sqrt(1 + variance)), "mean": mean, "variance": variance, "sampled": norm.cdf(mean),
          "pessimistic": norm.cdf((mean + optimism * np.sqrt(variance)) / np.sqrt(1 + variance))})

# Generalized linear models: every transform, every encoding.
w, offset = rng.standard_normal((3, 4)), rng.standard_normal(3)
score = tests @ w.T + offset
for name, transform, value in (("glm_logit", 1, 1 / (1 + np.exp(-score[:, 0]))), ("glm_probit", 2, norm.cdf(score[:, 0])), ("glm_rows", 0, score)):
    many = value.ndim == 2
    spec = described({"x": (4,)}, {"y": (3,) if many else "doubleType"})
    spec.description.predictedFeatureName = "y"
    for row in w if many else w[:1]:
        spec.glmRegressor.weights.add().value.extend(row)
    spec.glmRegressor.offset.extend(offset if many else offset[:1])
    spec.glmRegressor.postEvaluationTransform = transform
    save(name, spec, {"x": tests}, {"y": value})


def shares(values):
    return values / values.sum(1, keepdims=True)


softmax = shares(np.exp(np.concatenate([np.zeros((40, 1)), score[:, :2]], 1)))
cases = {
    "glm_two_probit": (1, 1, 0, np.stack([1 - norm.cdf(score[:, 0]), norm.cdf(score[:, 0])], 1)),
    "glm_three_reference": (2, 0, 0, softmax),
    "glm_rest_logit": (3, 0, 1, shares(1 / (1 + np.exp(-score)))),
    "glm_rest_probit": (3, 1, 1, shares(norm.cdf(score))),
}
for name, (rows, transform, encoding, value) in cases.items():
    spec = classifier()
    m = spec.glmClassifier
    for row in w[:rows]:
        m.weights.add().value.extend(row)
    m.offset.extend(offset[:rows])
    m.postEvaluationTransform, m.classEncoding = transform, encoding
    m.int64ClassLabels.vector.extend(range(value.shape[1]))
    save(name, spec, {"x": tests}, {"y": value.argmax(1), "p": value})

# Trees: each transform, each kind of comparison, two trees per output.
behaviors = ["BranchOnValueLessThanEqual", "BranchOnValueLessThan", "BranchOnValueGreaterThanEqual", "BranchOnValueGreaterThan",
             "BranchOnValueEqual", "BranchOnValueNotEqual"]
compare = [np.less_equal, np.less, np.greater_equal, np.greater, np.equal, np.not_equal]
steps = rng.integers(-2, 3, (40, 4)).astype(float)
leaf = rng.standard_normal((6, 2, 3))
sums = np.array([0.5, -0.25, 0.125]) + sum(np.where(compare[t](steps[:, t % 4], 1)[:, None], leaf[t, 0], leaf[t, 1]) for t in range(6))


def grow(parameters, outputs):
    parameters.numPredictionDimensions = outputs
    parameters.basePredictionValue.extend([0.5, -0.25, 0.125][:outputs])
    for t in range(6):
        node = parameters.nodes.add(treeId=t, nodeId=0, branchFeatureIndex=t % 4, branchFeatureValue=1, trueChildNodeId=1, falseChildNodeId=2)
        node.nodeBehavior = node.TreeNodeBehavior.Value(behaviors[t])
        for child in (0, 1):
            node = parameters.nodes.add(treeId=t, nodeId=1 + child, nodeBehavior=node.TreeNodeBehavior.Value("LeafNode"))
            for k in range(outputs):
                node.evaluationInfo.add(evaluationIndex=k, evaluationValue=leaf[t, child, k])


for name, transform, outputs, value in (
    ("tree_plain", 0, 3, sums),
    ("tree_logistic", 2, 1, 1 / (1 + np.exp(-sums[:, 0]))),
    ("tree_softmax", 1, 3, shares(np.exp(sums))),
    ("tree_softmax_reference", 3, 2, shares(np.exp(np.concatenate([np.zeros((40, 1)), sums[:, :2]], 1)))),
):
    if transform in (0, 2):
        spec = described({"x": (4,)}, {"y": (3,) if outputs == 3 else "doubleType"})
        spec.description.predictedFeatureName = "y"
        m, answer = spec.treeEnsembleRegressor, {"y": value}
    else:
        spec = classifier()
        m, answer = spec.treeEnsembleClassifier, {"y": value.argmax(1), "p": value}
        m.int64ClassLabels.vector.extend(range(value.shape[1]))
    m.postEvaluationTransform = transform
    grow(m.treeEnsemble, outputs)
    save(name, spec, {"x": steps}, answer)

# Support vectors as sparse lists, with text labels and without probabilities.
thin = np.where(rng.random((60, 4)) < 0.5, x, 0)


def kernel_of(m, estimator):
    m.kernel.rbfKernel.gamma = estimator._gamma
    for vector in estimator.support_vectors_:
        row = m.sparseSupportVectors.vectors.add()
        for i in np.flatnonzero(vector):
            row.nodes.add(index=int(i) + 1, value=vector[i])


svr = SVR(gamma=0.4).fit(thin, real)
spec = described({"x": (4,)}, {"y": "doubleType"})
spec.description.predictedFeatureName = "y"
kernel_of(spec.supportVectorRegressor, svr)
spec.supportVectorRegressor.coefficients.alpha.extend(svr.dual_coef_[0])
spec.supportVectorRegressor.rho = -svr.intercept_[0]
save("svr_sparse", spec, {"x": tests}, {"y": svr.predict(tests)})
svc = SVC(gamma=0.4).fit(thin, three)
spec = described({"x": (4,)}, {"y": "stringType"})
spec.description.predictedFeatureName = "y"
m = spec.supportVectorClassifier
kernel_of(m, svc)
m.numberOfSupportVectorsPerClass.extend(svc.n_support_)
for row in svc.dual_coef_:
    m.coefficients.add().alpha.extend(row)
m.rho.extend(-svc.intercept_)
m.stringClassLabels.vector.extend(["0", "1", "2"])
save("svc_text", spec, {"x": tests}, {"y": svc.predict(tests)})

# A link to a compiled model, for which linear.mlmodel stands in, alone and inside of a pipeline that doubles x first.
linear = Model_pb2.Model()
linear.ParseFromString((here / "linear.mlmodel").read_bytes())
weights, intercept = np.array(linear.glmRegressor.weights[0].value), linear.glmRegressor.offset[0]
link = described({"x": (4,)}, {"y": "doubleType"})
link.description.predictedFeatureName = "y"
link.linkedModel.linkedModelFile.linkedModelFileName.defaultValue = "linear.mlmodelc"
link.linkedModel.linkedModelFile.linkedModelSearchPath.defaultValue = "$BUNDLE_MAIN:nowhere:."
save("linked", link, {"x": tests}, {"y": tests @ weights + intercept})
pipeline = described({"x": (4,)}, {"y": "doubleType"})
pipeline.description.predictedFeatureName = "y"
double = pipeline.pipelineRegressor.pipeline.models.add()
double.CopyFrom(described({"x": (4,)}, {"x": (4,)}))
double.scaler.scaleValue.extend([2] * 4)
pipeline.pipelineRegressor.pipeline.models.add().CopyFrom(link)
save("linked_stage", pipeline, {"x": tests}, {"y": 2 * tests @ weights + intercept})

# A recommender; its expectations are literals in the test.
spec = described({"items": "dictionaryType.stringKeyType", "count": "int64Type?", "only": "sequenceType.stringType?", "without": "sequenceType.stringType?"},
                 {"best": "sequenceType.stringType", "scores": "dictionaryType.stringKeyType"})
m = spec.itemSimilarityRecommender
for i, (shift, similar) in enumerate([(0, [(1, 0.5), (2, 0.25)]), (0.5, [(0, 0.5), (3, 1)]), (0, [(3, 0.125)]), (0, [])]):
    row = m.itemItemSimilarities.add(itemId=i, itemScoreAdjustment=shift)
    for k, score in similar:
        row.similarItemList.add(itemId=k, similarityScore=score)
m.itemStringIds.vector.extend(["ant", "bee", "cat", "dog"])
m.itemInputFeatureName, m.numRecommendationsInputFeatureName = "items", "count"
m.itemRestrictionInputFeatureName, m.itemExclusionInputFeatureName = "only", "without"
m.recommendedItemListOutputFeatureName, m.recommendedItemScoreOutputFeatureName = "best", "scores"
save_spec(spec, str(here / "recommender.mlmodel"))
