"""Makes the models of this folder with coremltools: a custom layer in networks of both conventions and in an ML program, and a custom
model. The layer "Affine" gives scale * x + bias + sum of its weights; what comes out is stated in the tests."""
import pathlib

import coremltools as ct
import numpy as np
from coremltools.converters.mil import Builder as mb
from coremltools.converters.mil.mil import Operation, types
from coremltools.converters.mil.mil.input_type import InputSpec, TensorInputType
from coremltools.converters.mil.mil.ops.defs._op_reqs import register_op
from coremltools.models import datatypes
from coremltools.models.neural_network import NeuralNetworkBuilder
from coremltools.models.utils import save_spec
from coremltools.proto import Model_pb2, NeuralNetwork_pb2

here = pathlib.Path(__file__).parent


def affine(params):
    params.className = "Affine"
    params.parameters["scale"].doubleValue = 2
    params.parameters["bias"].intValue = 1
    params.parameters["big"].longValue = 1 << 40
    params.parameters["mode"].stringValue = "plain"
    params.parameters["on"].boolValue = True
    params.weights.add().floatValue.extend([0.5, 0.25])
    params.weights.add().float16Value = np.array([4], np.float16).tobytes()
    params.weights.add().rawValue = b"\x01\x02"


def network(name, legacy):
    b = NeuralNetworkBuilder([("x", datatypes.Array(3))], [("y", datatypes.Array(3))], disable_rank5_shape_mapping=not legacy)
    b.add_activation("half", "LINEAR", "x", "h", [0.5, 0])
    params = NeuralNetwork_pb2.CustomLayerParams()
    affine(params)
    b.add_custom("affine", ["h"], ["a"], params)
    b.add_activation("minus", "LINEAR", "a", "y", [-1, 0])
    save_spec(b.spec, str(here / f"{name}.mlmodel"))


network("network", False)
network("network_rank5", True)


@register_op(is_custom_op=True)
class custom_affine(Operation):
    input_spec = InputSpec(
        x=TensorInputType(type_domain="T"),
        addend=TensorInputType(const=True, type_domain="T"),
        scale=TensorInputType(const=True, optional=True, type_domain=types.fp32),
        mode=TensorInputType(const=True, optional=True, type_domain=types.str),
    )
    type_domains = {"T": (types.fp16, types.fp32)}
    bindings = {"class_name": "Affine", "input_order": ["x"], "parameters": ["scale", "mode"], "weights": ["addend"],
                "description": "scale * x + sum of the addends"}

    def type_inference(self):
        return types.tensor(self.x.dtype, self.x.shape)


@mb.program(input_specs=[mb.TensorSpec(shape=(2, 3))])
def program(x):
    h = mb.mul(x=x, y=np.float32(0.5))
    a = mb.custom_affine(x=h, addend=np.array([0.5, 0.25], np.float32), scale=np.float32(2), mode="plain", name="affine")
    return mb.mul(x=a, y=np.float32(-1), name="y")


ct.convert(program, convert_to="mlprogram", minimum_deployment_target=ct.target.iOS16, compute_precision=ct.precision.FLOAT32,
           skip_model_load=True).save(str(here / "program.mlpackage"))

spec = Model_pb2.Model()
spec.specificationVersion = 3
for name, field in (("text", "stringType"), ("shares", "dictionaryType"), ("size", "doubleType")):
    feature = spec.description.input.add(name=name)
    getattr(feature.type, field).SetInParent()
spec.description.input[1].type.dictionaryType.stringKeyType.SetInParent()
spec.description.output.add(name="label").type.stringType.SetInParent()
array = spec.description.output.add(name="values").type.multiArrayType
array.shape.append(2)
array.dataType = array.FLOAT32
spec.customModel.className = "Shout"
spec.customModel.parameters["mark"].stringValue = "!"
spec.customModel.parameters["raw"].bytesValue = b"ab"
save_spec(spec, str(here / "model.mlmodel"))
