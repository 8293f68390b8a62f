"""A custom layer in Python: python examples/custom_layer.py test/data/custom/network.mlmodel

The model computes -Affine(x / 2); what "Affine" is, its author wrote in Swift. Here it is written again, as a class.
"""

import sys

import numpy as np
import tensorlogic as tl


@tl.register_custom_layer("Affine")
class Affine:
    def __init__(self, parameters, weights):
        self.scale = parameters["scale"]
        self.shift = parameters.get("bias", 0) + weights[0].sum()

    def output_shapes(self, inputs):  # may be left out: then a run tells
        return inputs

    def evaluate(self, inputs):
        return self.scale * inputs[0] + self.shift


model = tl.load_model(sys.argv[1])
print(model.predict({"x": np.array([1, 2, -4], np.float32)})["y"])
