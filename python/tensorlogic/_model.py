"""Models, predictions and states on top of the C++ library."""

from __future__ import annotations

import os
from typing import Any, Callable, Mapping, Optional

import numpy as np

from . import _core
from ._error import Error

# The names on Apple, and those of coremltools.ComputeUnit.
_COMPUTE_UNITS = {
    "ALL": "all",
    "CPU_ONLY": "cpuOnly",
    "CPU_AND_GPU": "cpuAndGPU",
    "CPU_AND_NE": "cpuAndNeuralEngine",
}


def _units_name(units: Any) -> str:
    name = getattr(units, "name", units)
    return _COMPUTE_UNITS.get(name, name)


def _is_image(value: Any) -> bool:
    return type(value).__module__.startswith("PIL.")


def _image(value: Any, feature: dict) -> np.ndarray:
    """A PIL image in the colors that the model takes."""
    mode = "F" if feature["half"] else "L" if feature["gray"] else "RGB"
    return np.ascontiguousarray(np.asarray(value if value.mode == mode else value.convert(mode)))


def _prepare(value: Any) -> Any:
    """NumPy arrays in C order and plain Python values pass; images, torch tensors and array-likes become arrays (no copy where none is needed)."""
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "US":
            return str(value.item()) if value.ndim == 0 else [str(v) for v in value.ravel()]
        if not value.dtype.isnative:
            value = value.astype(value.dtype.newbyteorder("="))
        # ascontiguousarray makes a scalar a vector
        return value if value.flags.c_contiguous else np.ascontiguousarray(value)
    if isinstance(value, np.generic):
        return np.asarray(value)
    if value is None or isinstance(value, (str, bool, int, float, dict)):
        return value
    if _is_image(value):
        if value.mode not in ("RGB", "L", "F"):
            value = value.convert("RGB")
        return np.ascontiguousarray(np.asarray(value))
    if isinstance(value, (list, tuple)):
        if value and all(isinstance(v, str) for v in value):
            return list(value)
        return _prepare(np.asarray(value))
    if hasattr(value, "detach"):  # torch: gradients and devices other than the CPU don't cross
        value = value.detach().cpu().contiguous()
        return value
    if hasattr(value, "__dlpack__"):
        return _prepare(np.from_dlpack(value))
    if hasattr(value, "__array__"):
        return _prepare(np.asarray(value))
    raise Error(f"expected an array, number, text, list or dict, got {type(value).__name__}", "invalid argument")


class State:
    """The values of a model's state variables, kept from one prediction to the next."""

    def __init__(self, core: Any) -> None:
        self._core = core

    @property
    def names(self) -> list[str]:
        return self._core.names()

    def read_state(self, name: str) -> np.ndarray:
        """The value of a state variable, copied."""
        return self._core.read(name)

    def write_state(self, name: str, value: Any) -> None:
        """Sets a state variable; shape must agree, the dtype is converted."""
        held = self._core.read(name)
        array = np.asarray(value)
        if array.shape != held.shape:
            raise Error(f"state '{name}' has shape {list(held.shape)}, {list(array.shape)} is given", "invalid argument")
        self._core.write(name, np.ascontiguousarray(array.astype(held.dtype, copy=False)))

    def __repr__(self) -> str:
        return f"State({', '.join(self.names)})"


class Model:
    """A loaded model. Predictions may run from many threads at once; the GIL is released while they compute."""

    def __init__(self, core: Any, compute_units: str) -> None:
        self._core = core
        self._info = core.info()
        self.compute_units = compute_units
        self._image_inputs = {f["name"]: f for f in self._info.get("inputs", []) if f["type"] == "image"}
        self._images = {f["name"]: f for f in self._info.get("outputs", []) if f["type"] == "image"}
        self._sequences = [f["name"] for f in self._info.get("outputs", []) if f["type"] == "sequence"]

    @property
    def metadata(self) -> dict[str, Any]:
        """What the file says about itself: format, quantization, model_type, inputs, outputs, author, ..."""
        return dict(self._info)

    @property
    def input_names(self) -> list[str]:
        return [f["name"] for f in self._info.get("inputs", [])]

    @property
    def output_names(self) -> list[str]:
        return [f["name"] for f in self._info.get("outputs", [])]

    @property
    def labels(self) -> list:
        """Class labels of a classifier, in the order of its probabilities."""
        return self._info["labels"]

    @property
    def device(self) -> str:
        """What the compute units came to on this machine."""
        return self._core.device()

    @property
    def load_seconds(self) -> float:
        return self._core.times()[0]

    @property
    def last_predict_seconds(self) -> float:
        return self._core.times()[1]

    def predict(self, inputs: Mapping[str, Any], state: Optional[State] = None, out: Optional[Mapping[str, np.ndarray]] = None) -> dict[str, Any]:
        """Runs the model.

        Args:
            inputs: by name: NumPy arrays, PIL images, torch tensors and others through DLPack, numbers, text, dicts.
            state: from make_state(), for models that keep one.
            out: arrays by output name that take the results (shape must agree; converted to their dtype).

        Returns:
            Outputs by name as coremltools gives them: arrays, PIL images (uint8 arrays without Pillow), a label as str or int,
            a classifier's probabilities as a dict by label.

        Raises:
            Error: names the feature or op at fault.
        """
        images = self._image_inputs
        prepared = {name: _image(value, images[name]) if name in images and _is_image(value) else _prepare(value) for name, value in inputs.items()}
        results = self._core.predict(prepared, None if state is None else state._core)
        for name in self._images:
            results[name] = _to_image(results[name])
        for name in self._sequences:
            if isinstance(results[name], np.ndarray):
                results[name] = results[name].tolist()
        for name, value in results.items():
            if isinstance(value, np.ndarray) and value.ndim == 0:
                results[name] = value.item()
        if out:
            for name, target in out.items():
                if name not in results:
                    raise Error(f"no output '{name}'; there are: {', '.join(results)}", "invalid argument")
                if np.shape(results[name]) != target.shape:
                    raise Error(f"out['{name}'] has shape {list(target.shape)}, the output has {list(np.shape(results[name]))}", "invalid argument")
                np.copyto(target, results[name], casting="unsafe")
                results[name] = target
        return results

    def make_state(self) -> State:
        """A new state, all zeros."""
        return State(self._core.make_state())

    def tensor_names(self) -> list[str]:
        return self._core.tensor_names()

    def get_tensor(self, name: str) -> np.ndarray:
        """A stored weight as plain numbers (dequantized, palettes expanded)."""
        return self._core.tensor(name)

    def __repr__(self) -> str:
        i = self._info
        return f"<tensorlogic.Model {i['name']}: {i['format']} {i['model_type']}, {i['quantization']}, {', '.join(self.input_names)} -> {', '.join(self.output_names)}>"


def _to_image(pixels: np.ndarray) -> Any:
    try:
        from PIL import Image
    except ImportError:
        return pixels
    if pixels.dtype == np.float16:
        return Image.fromarray(pixels.astype(np.float32), mode="F")
    return Image.fromarray(pixels)


def load_model(
    path: str | os.PathLike,
    compute_units: Any = "all",
    function: Optional[str] = None,
    precision: Optional[str] = None,
    *,
    device: Optional[str] = None,
    threads: int = 0,
    time_limit: float = 0,
    log: Optional[Callable[[str], None]] = None,
) -> Model:
    """Loads .mlpackage, .mlmodelc, .mlmodel, .safetensors or .gguf, told by content.

    Args:
        compute_units: "all", "cpuOnly", "cpuAndGPU", "cpuAndNeuralEngine", or a coremltools.ComputeUnit. A unit that this machine
            lacks falls back; `log` is told, and Model.device says to what.
        function: of a multi-function model; default: its default function.
        precision: None or "own" keeps the model's own types (fp16 values, fp32 sums). "bf16" is fast math: convolutions, linear ops
            and attention multiply in bf16 (8 bits of mantissa) with fp32 sums where the machine can; others are refused.
        device: "cpu" or "reference"; default: the best for the compute units.
        threads: 0 takes all cores.
        time_limit: seconds after which a prediction ends with an Error of kind "limit", at the next op; 0: never.
        log: called with a line of text.

    Raises:
        Error: names file, place and reason.
    """
    units = _units_name(compute_units)
    core = _core.Model.load(os.fspath(path), units, function or "", precision or "", device or "", threads, time_limit, log)
    return Model(core, units)


def compile_model(source: str | os.PathLike, target: str | os.PathLike) -> None:
    """Writes a program model as a .mlmodelc folder."""
    _core.compile_model(os.fspath(source), os.fspath(target))
