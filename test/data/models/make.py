"""Writes the small models of this folder with coremltools 9.0 (run from this folder)."""

import numpy as np
import coremltools as ct
from coremltools.converters.mil import Builder as mb
from coremltools.converters.mil.mil import types


def branches():
    """iOS 18: a state, a cond with blocks, a palette, an int4 weight, strings."""
    fp16 = types.fp16
    lut = np.arange(4, dtype=np.float16).reshape(1, 1, 4, 1)
    indices = np.array([[0, 1, 2, 3], [3, 2, 1, 0], [1, 1, 2, 2]], dtype=np.uint8).astype(types.np_uint2_dtype)
    data = np.arange(-8, 8).reshape(4, 4).astype(types.nptype_from_builtin(types.int4))

    @mb.program(
        input_specs=[
            mb.TensorSpec((2, 4), dtype=fp16),
            mb.StateTensorSpec((3,), dtype=fp16),
        ],
        opset_version=ct.target.iOS18,
    )
    def program(x, memory):
        w = mb.constexpr_lut_to_dense(indices=indices, lut=lut)
        q = mb.constexpr_blockwise_shift_scale(data=data, scale=np.full((4, 1), 0.5, np.float16))
        h = mb.matmul(x=x, y=q)
        y = mb.linear(x=h, weight=w, bias=np.array([1, -1, 0.5], np.float16))
        total = mb.reduce_sum(x=y)
        y = mb.cond(
            pred=mb.greater(x=total, y=np.float16(0)),
            _true_fn=lambda: mb.relu(x=y),
            _false_fn=lambda: mb.sub(x=np.float16(0), y=y),
        )
        seen = mb.read_state(input=memory)
        mb.coreml_update_state(state=memory, value=mb.add(x=seen, y=mb.reduce_max(x=y, axes=[0])))
        return mb.add(x=y, y=seen, name="y")

    model = ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=ct.target.iOS18,
        skip_model_load=True,
        pass_pipeline=ct.PassPipeline.EMPTY,
    )
    model.author = "TensorLogic"
    model.user_defined_metadata["key"] = "value"
    model.save("branches.mlpackage")


branches()
