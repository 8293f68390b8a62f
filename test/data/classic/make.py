"""Makes the classic models of this folder with coremltools and scikit-learn 1.5.1: NAME.mlmodel, NAME.safetensors (in.*, out.*; in.*
holds a row a case, out.* what scikit-learn answers)."""
import pathlib

import coremltools as ct
import numpy as np
from coremltools.models import datatypes
from coremltools.models.neural_network import NeuralNetworkBuilder
from coremltools.models.pipeline import PipelineRegressor
from safetensors.numpy import save_file
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import SVC, SVR

here = pathlib.Path(__file__).parent
rng = np.random.default_rng(2)
x = rng.standard_normal((60, 4)).astype(np.float32).astype(np.float64)
real = x @ np.array([1.0, -2, 0.5, 3]) + np.sin(x[:, 0])
two = (real > 0).astype(int)
three = np.digitize(real, [-2, 2])
tests = x[:8]


def save(name, model, inputs, outputs):
    model.save(str(here / f"{name}.mlmodel"))
    tensors = {f"in.{k}": np.ascontiguousarray(v, np.float64) for k, v in inputs.items()}
    tensors |= {f"out.{k}": np.ascontiguousarray(v, np.float64) for k, v in outputs.items()}
    save_file(tensors, str(here / f"{name}.safetensors"))


def regressor(name, estimator):
    estimator.fit(x, real)
    save(name, ct.converters.sklearn.convert(estimator, "x", "y"), {"x": tests}, {"y": estimator.predict(tests)})


def classifier(name, estimator, labels, probable=True):
    estimator.fit(x, labels)
    outputs = {"y": estimator.predict(tests)}
    if probable:
        outputs["classProbability"] = estimator.predict_proba(tests)
        if name == "trees_three":  # the file asks for the sum over the trees
            outputs["classProbability"] = outputs["classProbability"] * len(estimator.estimators_)
        if name == "svc_two":  # scikit-learn smooths two classes as it does more of them, which Core ML does not
            first = 1 / (1 + np.exp(-estimator.probA_ * estimator.decision_function(tests) + estimator.probB_))
            outputs["classProbability"] = np.stack([first, 1 - first], 1)
    save(name, ct.converters.sklearn.convert(estimator, "x", "y"), {"x": tests}, outputs)


regressor("linear", LinearRegression())
regressor("forest", RandomForestRegressor(5, max_depth=4, random_state=1))
for kernel in ("linear", "rbf", "poly", "sigmoid"):
    regressor(f"svr_{kernel}", SVR(kernel=kernel, gamma=0.3, coef0=0.5, degree=2))
regressor("scaled", Pipeline([("scale", StandardScaler()), ("norm", Normalizer("l1")), ("fit", LinearRegression())]))
for name, labels in (("logistic_two", two), ("logistic_three", three)):
    # coremltools 9.0 does not convert it.
    estimator = LogisticRegression(multi_class="ovr").fit(x, labels)
    spec = ct.converters.sklearn.convert(RandomForestClassifier(1).fit(x, labels), "x", "y").get_spec()
    spec.glmClassifier.int64ClassLabels.vector.extend(range(labels.max() + 1))
    for row, offset in zip(estimator.coef_, estimator.intercept_):
        spec.glmClassifier.weights.add().value.extend(row)
        spec.glmClassifier.offset.append(offset)
    spec.glmClassifier.classEncoding = 1 if labels is three else 0
    save(name, ct.models.MLModel(spec), {"x": tests},
         {"y": estimator.predict(tests), "classProbability": estimator.predict_proba(tests)})
classifier("trees_three", RandomForestClassifier(5, max_depth=4, random_state=1), three)
classifier("boosted_two", GradientBoostingClassifier(n_estimators=5, random_state=1), two)
classifier("svc_two", SVC(probability=True, gamma=0.3, random_state=1), two)
classifier("svc_three", SVC(probability=True, gamma=0.3, random_state=1), three)
# Nu-SVC may leave no bound to decide by: libsvm's svm_predict_probability clamps what is not a number to 1e-7.
spec = ct.utils.load_spec(str(here / "svc_two.mlmodel"))
spec.supportVectorClassifier.rho[0] = float("nan")
least = np.full(len(tests), 1e-7)
save("svc_undecided", ct.models.MLModel(spec, skip_model_load=True), {"x": tests},
     {"y": np.ones(len(tests)), "classProbability": np.stack([least, 1 - least], 1)})

# A network in front of trees.
weights = rng.integers(-2, 3, (3, 4)).astype(np.float64)
b = NeuralNetworkBuilder([("x", datatypes.Array(4))], [("h", datatypes.Array(3))], disable_rank5_shape_mapping=True)
b.add_inner_product("dense", weights, None, 4, 3, False, "x", "h")
forest = RandomForestRegressor(5, max_depth=4, random_state=1).fit(x @ weights.T, real)
trees = ct.converters.sklearn.convert(forest, "h", "y")
pipeline = PipelineRegressor([("x", datatypes.Array(4))], [("y", datatypes.Double())])
pipeline.add_model(b.spec)
pipeline.add_model(trees.get_spec())
pipeline.spec.specificationVersion = 4
save("network_then_forest", ct.models.MLModel(pipeline.spec), {"x": tests}, {"y": forest.predict(tests @ weights.T)})

# Two ML programs; its expectations are literals in the test.
from coremltools.converters.mil import Builder as mb  # noqa: E402


@mb.program(input_specs=[mb.TensorSpec(shape=(2, 3))])
def first(x):
    return mb.relu(x=mb.add(x=x, y=np.float32(-1)), name="h")


@mb.program(input_specs=[mb.TensorSpec(shape=(2, 3))])
def second(h):
    return mb.linear(x=h, weight=np.arange(300).reshape(100, 3).astype(np.float32), name="y")


programs = [ct.convert(p, convert_to="mlprogram", minimum_deployment_target=ct.target.iOS16) for p in (first, second)]
ct.utils.make_pipeline(*programs).save(str(here / "two_programs.mlpackage"))
