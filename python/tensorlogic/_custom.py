"""Custom layers and custom models written in Python."""

from __future__ import annotations

from typing import Any, Callable, Optional

import numpy as np

from . import _core
from ._error import Error
from ._model import _prepare


def _plain(value: Any) -> Any:
    """Scalars as Python's, bytes as bytes."""
    if isinstance(value, np.ndarray):
        if value.ndim == 0:
            return value.item()
        if value.dtype == np.uint8:
            return value.tobytes()
    return value


class _Layer:
    """What the runtime calls: an instance of the user's class, or a function with what the file gives it."""

    def __init__(self, implementation: Any, info: dict) -> None:
        parameters = {name: _plain(value) for name, value in info["parameters"].items()}
        weights = info["weights"]
        if isinstance(implementation, type):
            layer = implementation(parameters, weights)
            self._run = layer.evaluate
            self._shapes = getattr(layer, "output_shapes", None)
        else:
            self._run = lambda inputs: implementation(inputs, parameters, weights)
            self._shapes = None

    def output_shapes(self, inputs: list) -> list:
        return [] if self._shapes is None else [[int(extent) for extent in shape] for shape in self._shapes(inputs)]

    def evaluate(self, inputs: list) -> list:
        results = self._run(inputs)
        if not isinstance(results, (list, tuple)):
            results = [results]
        return [_prepare(np.asarray(result)) for result in results]


class _CustomModel:
    def __init__(self, implementation: Any, info: dict) -> None:
        parameters = {name: _plain(value) for name, value in info["parameters"].items()}
        if isinstance(implementation, type):
            self._run = implementation(parameters).predict
        else:
            self._run = lambda inputs: implementation(inputs, parameters)

    def predict(self, inputs: dict) -> dict:
        inputs = {name: value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value for name, value in inputs.items()}
        results = self._run(inputs)
        if not isinstance(results, dict):
            raise TypeError(f"a dict of outputs is expected, got {type(results).__name__}")
        return {name: _prepare(value) for name, value in results.items()}


def _register(register: Callable, wrapper: type, class_name: str, implementation: Any) -> Any:
    if implementation is None:
        return lambda given: _register(register, wrapper, class_name, given)
    if not callable(implementation):
        raise Error(f"a function or class is expected, got {type(implementation).__name__}", "invalid argument")
    register(class_name, lambda info: wrapper(implementation, info))
    return implementation


def register_custom_layer(class_name: str, implementation: Optional[Callable] = None) -> Any:
    """Says what runs for layers of this class, in every model, from the next prediction on; also a decorator.

    Args:
        class_name: as the model names it: `className` of a neural network's custom layer, `class_name` of an ML program's.
        implementation: a function `f(inputs, parameters, weights)`, or a class that is made once per layer of a loaded model,
            `C(parameters, weights)`, with `evaluate(inputs)` and, if it likes, `output_shapes(input_shapes)`. `inputs` and `weights`
            are lists of NumPy arrays, `parameters` a dict. The answer is an array, or a list with one per output.

    What the code raises leaves `predict` as an Error that names the op.
    """
    return _register(_core.register_custom_layer, _Layer, class_name, implementation)


def register_custom_model(class_name: str, implementation: Optional[Callable] = None) -> Any:
    """Says what runs for custom models of this class; also a decorator.

    Args:
        implementation: a function `f(inputs, parameters)`, or a class `C(parameters)` with `predict(inputs)`; both take and give
            a dict of features.
    """
    return _register(_core.register_custom_model, _CustomModel, class_name, implementation)


def unregister_custom_layer(class_name: str) -> bool:
    """Forgets a class; False when it was not registered."""
    return _core.unregister_custom_layer(class_name)


def unregister_custom_model(class_name: str) -> bool:
    """Forgets a class; False when it was not registered."""
    return _core.unregister_custom_model(class_name)
