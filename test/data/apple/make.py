#!/usr/bin/env python3
"""Writes custom_layer.mlmodel with coremltools: convolution, custom layer, softmax."""

from pathlib import Path

import coremltools as ct
import numpy as np
from coremltools.models import datatypes
from coremltools.models.neural_network import NeuralNetworkBuilder

builder = NeuralNetworkBuilder(
    [("x", datatypes.Array(1, 3, 8, 8))], [("y", datatypes.Array(1, 4, 8, 8))], disable_rank5_shape_mapping=True
)
builder.add_convolution("conv", 3, 4, 3, 3, 1, 1, "same", 1, np.zeros((3, 3, 3, 4), np.float32), None, False, input_name="x", output_name="a")
layer = builder.nn_spec.layers.add()
layer.name = "swirl"
layer.input.append("a")
layer.output.append("b")
layer.custom.className = "SwirlLayer"
builder.add_softmax_nd("softmax", "b", "y", 1)
ct.utils.save_spec(builder.spec, str(Path(__file__).with_name("custom_layer.mlmodel")))
