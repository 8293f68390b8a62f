"""Makes the models of this folder with coremltools 9.0 and PyTorch: every kind of input and output. What they give is computed in
test/python/test_interface.py with NumPy."""
import pathlib

import coremltools as ct
import numpy as np
import torch

here = pathlib.Path(__file__).parent
SPACES = {"gray": ct.colorlayout.GRAYSCALE, "gray16": ct.colorlayout.GRAYSCALE_FLOAT16, "rgb": ct.colorlayout.RGB, "bgr": ct.colorlayout.BGR}


class Twice(torch.nn.Module):
    def forward(self, x):
        return x * 2


class Sum(torch.nn.Module):
    def forward(self, a, b):
        return a + b


class Shares(torch.nn.Module):
    def forward(self, x):
        return torch.softmax(x, 1)


def convert(module, examples, network=False, target=ct.target.iOS16, **options):
    traced = torch.jit.trace(module.eval(), examples)
    options["convert_to"] = "neuralnetwork" if network else "mlprogram"
    if not network:
        options.setdefault("compute_precision", ct.precision.FLOAT32)
        options["minimum_deployment_target"] = target
    return ct.convert(traced, skip_model_load=True, **options)


def save(name, model):
    kind = "mlpackage" if model.get_spec().WhichOneof("Type") == "mlProgram" else "mlmodel"
    model.save(str(here / f"{name}.{kind}"))


def image(name, space, sizes=(4, 6), **options):
    channels = 1 if space.startswith("gray") else 3
    shape = sizes if not isinstance(sizes, tuple) else (1, channels, *sizes)
    return ct.ImageType(name=name, shape=shape, color_layout=SPACES[space], **options)


# Pixels in, numbers out, and pixels in, pixels out.
for space in SPACES:
    channels = 1 if space.startswith("gray") else 3
    example = torch.ones(1, channels, 4, 6)
    bias = 3.0 if channels == 1 else [1.0, 2.0, 3.0]
    for network in (False, True):
        if network and space == "gray16":
            continue
        kind = "network" if network else "program"
        save(f"{kind}_{space}", convert(Twice(), example, network, inputs=[image("x", space, scale=0.5, bias=bias)], outputs=None if network else [ct.TensorType(name="y")]))
    save(f"pixels_{space}", convert(Twice(), example, inputs=[image("x", space)], outputs=[ct.ImageType(name="y", color_layout=SPACES[space])]))

# Sizes of images: listed, and ranges.
listed = ct.EnumeratedShapes(shapes=[(1, 3, 4, 6), (1, 3, 8, 8)], default=(1, 3, 4, 6))
ranged = (1, 3, ct.RangeDim(2, 10, default=4), ct.RangeDim(3, -1, default=6))
for network in (False, True):
    kind = "network" if network else "program"
    save(f"{kind}_image_listed", convert(Twice(), torch.ones(1, 3, 4, 6), network, inputs=[ct.ImageType(name="x", shape=listed)]))
    upper = ranged if network else (1, 3, ct.RangeDim(2, 10, default=4), ct.RangeDim(3, 20, default=6))
    save(f"{kind}_image_ranged", convert(Twice(), torch.ones(1, 3, 4, 6), network, inputs=[ct.ImageType(name="x", shape=ct.Shape(upper))]))
    shapes = ct.EnumeratedShapes(shapes=[(2, 3), (4, 5)], default=(2, 3))
    save(f"{kind}_array_listed", convert(Twice(), torch.ones(2, 3), network, inputs=[ct.TensorType(name="x", shape=shapes)]))
    shapes = ct.Shape((ct.RangeDim(1, 4, default=2), 3))
    save(f"{kind}_array_ranged", convert(Twice(), torch.ones(2, 3), network, inputs=[ct.TensorType(name="x", shape=shapes)]))
    save(f"{kind}_optional", convert(Sum(), (torch.ones(2), torch.ones(2)), network,
                                     inputs=[ct.TensorType(name="a", shape=(2,)), ct.TensorType(name="b", shape=(2,), default_value=np.array([3, 3], np.float32))]))
    for label, names in (("text", ["cat", "dog", "cow"]), ("number", [7, 8, -9])):
        config = ct.ClassifierConfig(names, predicted_feature_name="label")
        save(f"{kind}_labels_{label}", convert(Shares(), torch.ones(1, 3), network, inputs=[ct.TensorType(name="x", shape=(1, 3))], classifier_config=config))

# Element types.
for name, dtype, target in (("float16", np.float16, ct.target.iOS16), ("float32", np.float32, ct.target.iOS16), ("int32", np.int32, ct.target.iOS16),
                            ("int8", np.int8, ct.target.iOS26)):
    try:
        save(f"type_{name}", convert(Twice(), torch.ones(2, 3, dtype=torch.int32 if name.startswith("int") else torch.float32), target=target,
                                     inputs=[ct.TensorType(name="x", shape=(2, 3), dtype=dtype)], outputs=[ct.TensorType(name="y", dtype=dtype)]))
    except Exception as e:
        print(name, type(e), e)
