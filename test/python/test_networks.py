"""Layers of neural networks: weights of few bits against coremltools' own expansion of them, reshapes in both mappings of shapes."""

import coremltools as ct
import numpy as np
import pytest
import tensorlogic as tl
from coremltools.models.neural_network import NeuralNetworkBuilder, quantization_utils

Array = ct.models.datatypes.Array
rng = np.random.default_rng(3)


def real(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def run(spec, folder, inputs):
    path = str(folder / "m.mlmodel")
    ct.models.utils.save_spec(spec, path)
    return tl.load_model(path).predict(inputs)


def layers():
    """A network of every layer whose weights coremltools quantizes: its specification, its inputs."""
    inputs = {"image": real(1, 4, 6, 6), "row": real(1, 5), "places": np.array([2, 0, 6], np.float32),
              "steps": real(3, 1, 5, 1, 1)}
    outputs = ["conv", "deconv", "product", "scale", "bias", "constant", "table", "table1", "matmul", "lstm", "gru", "rnn"]
    b = NeuralNetworkBuilder([(k, Array(*v.shape)) for k, v in inputs.items()], [(o, None) for o in outputs],
                             disable_rank5_shape_mapping=True)
    b.add_convolution("conv", 4, 3, 3, 3, 1, 1, "same", 1, real(3, 3, 4, 3), real(3), True, input_name="image", output_name="conv")
    b.add_convolution("deconv", 4, 3, 2, 2, 2, 2, "valid", 1, real(2, 2, 3, 4), real(3), True, is_deconv=True, input_name="image",
                      output_name="deconv")
    b.add_inner_product("product", real(7, 5), real(7), 5, 7, True, "row", "product")
    b.add_scale("scale", real(4, 1, 1), real(4, 1, 1), True, "image", "scale", [4, 1, 1], [4, 1, 1])
    b.add_bias("bias", real(4, 1, 1), "image", "bias", [4, 1, 1])
    b.add_load_constant_nd("constant", "constant", real(2, 3), (2, 3))
    b.add_embedding_nd("table", "spread", "table", 7, 4, real(4, 7))
    b.add_expand_dims("spread", "places", "spread", [1])
    b.spec.neuralNetwork.layers.insert(0, b.spec.neuralNetwork.layers.pop())
    b.add_embedding("table1", real(4, 7), real(4), 7, 4, True, "spread5", "table1")
    b.add_expand_dims("spread5", "places", "spread5", [1, 2, 3, 4])
    b.spec.neuralNetwork.layers.insert(0, b.spec.neuralNetwork.layers.pop())
    b.add_batched_mat_mul("matmul", ["row"], "matmul", weight_matrix_rows=5, weight_matrix_columns=6, W=real(5, 6), bias=real(6))
    zeros = {"h": (1, 1, 4, 1, 1)}
    for name, count in (("lstm", 2), ("gru", 1), ("rnn", 1)):
        for i in range(count):
            b.add_load_constant_nd(f"{name}_s{i}", f"{name}_s{i}", np.zeros(zeros["h"]), zeros["h"])
    b.add_unilstm("lstm", [real(4, 4) for _ in range(4)], [real(4, 5) for _ in range(4)], [real(4) for _ in range(4)], hidden_size=4,
                  input_size=5, input_names=["steps", "lstm_s0", "lstm_s1"], output_names=["lstm", "lstm_h", "lstm_c"], output_all=True)
    b.add_gru("gru", [real(4, 4) for _ in range(3)], [real(4, 5) for _ in range(3)], [real(4) for _ in range(3)], hidden_size=4, input_size=5,
              input_names=["steps", "gru_s0"], output_names=["gru", "gru_h"], activation="TANH", inner_activation="SIGMOID", output_all=True)
    b.add_simple_rnn("rnn", real(4, 4), real(4, 5), real(4), hidden_size=4, input_size=5, activation="TANH", input_names=["steps", "rnn_s0"],
                     output_names=["rnn", "rnn_h"], output_all=True)
    return b.spec, inputs


MODES = {"linear": ct.models._QUANTIZATION_MODE_LINEAR_QUANTIZATION, "symmetric": ct.models._QUANTIZATION_MODE_LINEAR_SYMMETRIC,
         "table": ct.models._QUANTIZATION_MODE_LOOKUP_TABLE_LINEAR}


@pytest.mark.parametrize("bits, mode", [(n, m) for n in (8, 7, 5, 4, 3, 2, 1) for m in ("linear", "table")] + [(8, "symmetric"), (16, "linear")])
def test_weights_of_few_bits(tmp_path, bits, mode):
    spec, inputs = layers()
    plain = run(spec, tmp_path, inputs)
    quantization_utils._quantize_spec_weights(spec, bits, MODES[mode])
    got = run(spec, tmp_path, inputs)
    for layer in spec.neuralNetwork.layers if bits != 16 else ():
        kind = layer.WhichOneof("layer")
        assert kind in ("loadConstantND", "expandDims") or "quantization" in str(layer), kind
    if bits == 16:
        want = plain
    else:
        quantization_utils._dequantize_nn_spec(spec.neuralNetwork)
        want = run(spec, tmp_path, inputs)
    for name, value in want.items():
        assert np.isfinite(value).all()
        np.testing.assert_allclose(got[name], value, rtol=1e-2 if bits == 16 else 1e-4, atol=1e-2 if bits == 16 else 1e-5, err_msg=name)


@pytest.mark.parametrize("exact", [False, True])
def test_reshapes(tmp_path, exact):
    x, like = real(2, 3, 4), real(4, 6)
    b = NeuralNetworkBuilder([("x", Array(2, 3, 4)), ("like", Array(4, 6))], [(k, None) for k in ("static", "dynamic", "squeezed")] + [(k, None) for k in ("alike", "kept") if exact],
                             disable_rank5_shape_mapping=True)
    b.add_reshape_static("static", "x", "static", (-1, 12))
    b.add_load_constant_nd("shape", "shape", np.array([6, -1]), (2,))
    b.add_reshape_dynamic("dynamic", ["x", "shape"], "dynamic")
    if exact:  # a rank that the old mapping does not have
        b.add_reshape_like("alike", ["x", "like"], "alike")
        b.add_rank_preserving_reshape("kept", "x", "kept", (4, 0, -1))
    b.add_expand_dims("wider", "x", "wide", [0, 2])
    b.add_squeeze("squeezed", "wide", "squeezed", squeeze_all=True)
    spec = b.spec
    network, mapping = spec.neuralNetwork, ct.proto.NeuralNetwork_pb2
    network.arrayInputShapeMapping = mapping.EXACT_ARRAY_MAPPING if exact else mapping.RANK5_ARRAY_MAPPING
    answer = run(spec, tmp_path, {"x": x, "like": like})
    # a rank-3 input of the old mapping is [sequence, batch, channel, height, width] = [1, 1, 2, 3, 4]
    np.testing.assert_array_equal(answer["static"], x.reshape(-1, 12))
    np.testing.assert_array_equal(answer["dynamic"], x.reshape(6, -1))
    np.testing.assert_array_equal(np.squeeze(answer["squeezed"]), x)
    if exact:
        np.testing.assert_array_equal(answer["alike"], x.reshape(4, 6))
        np.testing.assert_array_equal(answer["kept"], x.reshape(4, 3, 2))
