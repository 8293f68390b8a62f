import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def models():
    return ROOT / "models"


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Small programs written by coremltools."""
    import coremltools as ct
    import numpy as np
    from coremltools.converters.mil import Builder as mb
    from coremltools.converters.mil.mil import types

    folder = tmp_path_factory.mktemp("made")

    @mb.program(input_specs=[mb.TensorSpec(shape=(2, 3)), mb.TensorSpec(shape=(2, 3))])
    def weighted(x, y):
        return mb.add(x=mb.mul(x=x, y=np.float32(2)), y=y, name="z")

    def save(program, name, target=ct.target.iOS16, **options):
        model = ct.convert(program, minimum_deployment_target=target, compute_precision=ct.precision.FLOAT32,
                           skip_model_load=True, **options)
        model.save(str(folder / f"{name}.mlpackage"))

    save(weighted, "weighted")

    @mb.program(
        input_specs=[mb.TensorSpec(shape=(3,), dtype=types.fp16), mb.StateTensorSpec(shape=(3,), dtype=types.fp16)],
        opset_version=ct.target.iOS18,
    )
    def counter(x, total):
        value = mb.read_state(input=total)
        value = mb.add(x=value, y=x)
        value = mb.coreml_update_state(state=total, value=value)
        return mb.identity(x=value, name="sum")

    save(counter, "counter", ct.target.iOS18)

    descriptor = ct.utils.MultiFunctionDescriptor()
    for scale in (2, 3):

        @mb.program(input_specs=[mb.TensorSpec(shape=(2,))])
        def scaled(x):
            return mb.mul(x=x, y=np.float32(scale), name="y")

        save(scaled, f"times{scale}", ct.target.iOS18)
        descriptor.add_function(str(folder / f"times{scale}.mlpackage"), src_function_name="main", target_function_name=f"times{scale}")
    descriptor.default_function_name = "times2"
    ct.utils.save_multifunction(descriptor, str(folder / "multi.mlpackage"))
    return folder
