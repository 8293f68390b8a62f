"""What coremltools.libcoremlpython offers on a Mac, on top of TensorLogic.

coremltools 9.0 reaches Core ML through these classes only; `tensorlogic.coreml` puts this module in their place.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from typing import Any, Optional

import numpy as np

from . import _core
from ._check import check
from ._error import Error
from ._model import Model, State, load_model

# The newest specification that is read: iOS 26.
_MAX_SPECIFICATION_VERSION = 10
# A compiled model that is no ML program keeps its specification under this name.
_SPEC_IN_FOLDER = "model.mlmodel"


class _Scratch:
    """Folders that go with the process."""

    _folders: list[str] = []

    @classmethod
    def make(cls, suffix: str) -> str:
        folder = tempfile.mkdtemp(suffix=suffix)
        if not cls._folders:
            atexit.register(cls._remove)
        cls._folders.append(folder)
        return folder

    @classmethod
    def _remove(cls) -> None:
        for folder in cls._folders:
            shutil.rmtree(folder, ignore_errors=True)


class _State:
    def __init__(self, state: State) -> None:
        self._state = state

    def read_state(self, name: str) -> np.ndarray:
        return self._state.read_state(name)

    def write_state(self, name: str, value: Any) -> None:
        self._state.write_state(name, value)


class _MLModelAssetProxy:
    def __init__(self, path: str) -> None:
        self.path = path


class _MLCPUComputeDeviceProxy:
    pass


class _MLGPUComputeDeviceProxy:
    pass


class _MLNeuralEngineComputeDeviceProxy:
    def get_total_core_count(self) -> int:
        return 0


def _cpu_device():
    from coremltools.models.compute_device import MLCPUComputeDevice

    return MLCPUComputeDevice(_MLCPUComputeDeviceProxy())


def _device(name: str):
    from coremltools.models import compute_device as devices

    if name == "GPU":
        return devices.MLGPUComputeDevice(_MLGPUComputeDeviceProxy())
    if name == "ANE":
        return devices.MLNeuralEngineComputeDevice(_MLNeuralEngineComputeDeviceProxy())
    return _cpu_device()


def _loadable(path: str) -> str:
    inner = os.path.join(path, _SPEC_IN_FOLDER)
    return inner if path.rstrip("/").endswith(".mlmodelc") and os.path.isfile(inner) else path


def _as_coreml(value: Any) -> Any:
    """Values as Core ML's Python layer gives them: fp16 arrays come back as float32, colour images with an alpha channel."""
    if isinstance(value, np.ndarray) and value.dtype == np.float16:
        return value.astype(np.float32)
    return value.convert("RGBA") if getattr(value, "mode", "") == "RGB" else value


class _MLModelProxy:
    def __init__(
        self,
        path: str,
        compute_units: str,
        function_name: str = "",
        optimization_hints: Optional[dict] = None,
        asset: Optional[_MLModelAssetProxy] = None,
    ) -> None:
        self._path = asset.path if asset is not None else os.path.expanduser(path)
        self._compiled: Optional[str] = None
        self._hints = dict(optimization_hints or {})
        self._keep_file()
        self._model: Model = load_model(_loadable(self._path), compute_units, function_name or None)
        self._predicted = False

    def predict(self, data: dict, state: Optional[_State] = None) -> dict:
        self._predicted = True
        try:
            results = self._model.predict(data, None if state is None else state._state)
        except Error as error:
            if error.kind == "invalid argument":
                raise
            # Programs look for Core ML's words.
            kind = "ML Program" if self._model.metadata["model_type"] == "mlprogram" else "a neural network model"
            raise Error(f"Unable to compute the prediction using {kind}: {error}", error.kind, error.where) from error
        return {name: _as_coreml(value) for name, value in results.items()}

    def batchPredict(self, data: list) -> list:
        return [self.predict(inputs) for inputs in data]

    def newState(self) -> _State:
        return _State(self._model.make_state())

    def _keep_file(self) -> None:
        """coremltools deletes the file of a specification once it is loaded, and may ask for its compiled form afterwards."""
        if os.path.isfile(self._path) and os.path.dirname(os.path.abspath(self._path)) == tempfile.gettempdir():
            kept = os.path.join(_Scratch.make(".kept"), os.path.basename(self._path))
            os.link(self._path, kept)
            self._path = kept

    def get_compiled_model_path(self) -> str:
        if self._path.rstrip("/").endswith(".mlmodelc"):
            return self._path
        if self._compiled is None:
            self._compiled = self.compileModel(self._path)
        return self._compiled

    def get_load_duration_in_nano_seconds(self) -> int:
        return int(self._model.load_seconds * 1e9)

    def get_last_predict_duration_in_nano_seconds(self) -> Optional[int]:
        return int(self._model.last_predict_seconds * 1e9) if self._predicted else None

    @staticmethod
    def maximum_supported_specification_version() -> int:
        return _MAX_SPECIFICATION_VERSION

    @staticmethod
    def auto_set_specification_version(source: str, target: str) -> None:
        """Writes the model with the lowest specification version that its own layers need: the one that it was saved with."""
        if os.path.abspath(source) != os.path.abspath(target):
            shutil.copyfile(source, target)

    @staticmethod
    def compileModel(path: str) -> str:
        name = os.path.splitext(os.path.basename(path.rstrip("/")))[0]
        target = os.path.join(_Scratch.make(".compiled"), name + ".mlmodelc")
        try:
            _core.compile_model(path, target)
        except Error as error:
            if error.kind != "unsupported" or os.path.isdir(path):
                raise
            os.makedirs(target, exist_ok=True)
            shutil.copyfile(path, os.path.join(target, _SPEC_IN_FOLDER))
        return target

    @staticmethod
    def create_model_asset_from_path(path: str):
        from coremltools.models.model import MLModelAsset

        if not os.path.exists(path):
            raise RuntimeError(f"{path}: no such compiled model")
        return MLModelAsset(_MLModelAssetProxy(path))

    @staticmethod
    def create_model_asset_from_memory(spec_data: bytes, blob_mapping: dict):
        from coremltools.models.model import MLModelAsset

        folder = _Scratch.make(".asset")
        if not blob_mapping:
            path = os.path.join(folder, "model.mlmodel")
            with open(path, "wb") as file:
                file.write(spec_data)
            return MLModelAsset(_MLModelAssetProxy(path))
        package = os.path.join(folder, "model.mlpackage")
        data = os.path.join(package, "Data", "com.apple.CoreML")
        os.makedirs(os.path.join(data, "weights"))
        with open(os.path.join(data, "model.mlmodel"), "wb") as file:
            file.write(spec_data)
        for name, blob in blob_mapping.items():
            with open(os.path.join(data, "weights", os.path.basename(name)), "wb") as file:
                file.write(blob)
        author = {"author": "com.apple.CoreML", "description": ""}
        manifest = {
            "fileFormatVersion": "1.0.0",
            "itemInfoEntries": {
                "model": {**author, "name": "model.mlmodel", "path": "com.apple.CoreML/model.mlmodel"},
                "weights": {**author, "name": "weights", "path": "com.apple.CoreML/weights"},
            },
            "rootModelIdentifier": "model",
        }
        with open(os.path.join(package, "Manifest.json"), "w") as file:
            json.dump(manifest, file)
        return MLModelAsset(_MLModelAssetProxy(package))

    @staticmethod
    def get_model_structure(path: str):
        return _structure(path)[0]

    @staticmethod
    def get_compute_plan(path: str, compute_units: str):
        from coremltools.models.compute_plan import MLComputePlan

        structure, functions = _structure(path)
        return MLComputePlan(_MLComputePlanProxy(structure, _reports(path, compute_units, functions)))

    @staticmethod
    def get_available_compute_devices() -> list:
        return [_cpu_device()]

    @staticmethod
    def get_all_compute_devices() -> list:
        return [_cpu_device()]


class _MLComputePlanProxy:
    """What `tensorlogic.check` predicts for the chip that the environment variable TL_CHIP names (default: M4)."""

    def __init__(self, structure: Any = None, reports: Optional[dict] = None) -> None:
        self._structure = structure
        self._reports = reports or {}

    @property
    def model_structure(self):
        return self._structure

    def _row(self, part: Any) -> Optional[dict]:
        if part.__proxy__ is None:
            return None
        function, place = part.__proxy__
        rows = self._reports.get(function, [])
        if isinstance(place, str):
            return next((row for row in rows if row["name"] == place), None)
        return rows[place] if place < len(rows) else None

    def _usage(self, part: Any):
        from coremltools.models.compute_plan import MLComputePlanDeviceUsage

        row = self._row(part)
        if row is None:
            return None
        devices = {name: _device(name) for name in row["supported"]}
        return MLComputePlanDeviceUsage(
            preferred_compute_device=devices[row["predicted"]], supported_compute_devices=list(devices.values())
        )

    def get_compute_device_usage_for_mlprogram_operation(self, operation):
        return self._usage(operation)

    def get_compute_device_usage_for_neuralnetwork_layer(self, layer):
        return self._usage(layer)

    def get_estimated_cost_for_mlprogram_operation(self, operation):
        from coremltools.models.compute_plan import MLComputePlanCost

        row = self._row(operation)
        return None if row is None else MLComputePlanCost(weight=row["cost"])


def _reports(path: str, compute_units: str, functions: Any) -> dict:
    chip = os.environ.get("TL_CHIP", "M4")
    source = _loadable(os.path.expanduser(path))
    return {name: check(source, chip, compute_units=compute_units, function=name).rows for name in functions}


def _structure(path: str):
    """The structure as coremltools has it, and the names of its functions. What runs with a prediction carries its place among
    the ops that a check lists, (function, index), as its proxy; layers of a network, some of which a check folds away, carry their
    name instead of an index."""
    import coremltools.models.compute_plan as cp

    described = json.loads(_core.structure_json(_loadable(os.path.expanduser(path))))

    def named(value: dict):
        return cp.MLModelStructureProgramNamedValueType(name=value["name"], type=cp.MLModelStructureProgramValueType())

    def binding(value: dict):
        constant = None if "name" in value else cp.MLModelStructureProgramValue()
        return cp.MLModelStructureProgramBinding(name=value.get("name"), value=constant)

    places: dict = {}

    def place(function: str, op: dict):
        if op["operator"] == "const" or op["operator"].startswith("constexpr_"):
            return None
        places[function] = places.get(function, -1) + 1
        return function, places[function]

    def operation(function: str, op: dict):
        # The op's own place comes before those of its blocks.
        own = place(function, op)
        return cp.MLModelStructureProgramOperation(
            inputs={k: cp.MLModelStructureProgramArgument(bindings=[binding(b) for b in v]) for k, v in op["inputs"].items()},
            operator_name=op["operator"],
            outputs=[named(o) for o in op["outputs"]],
            blocks=[block(function, b) for b in op["blocks"]],
            __proxy__=own,
        )

    def block(function: str, value: dict):
        return cp.MLModelStructureProgramBlock(
            inputs=[named(i) for i in value["inputs"]],
            operations=[operation(function, op) for op in value["operations"]],
            output_names=list(value["outputs"]),
        )

    if described["type"] == "neuralnetwork":
        layers = [
            cp.MLModelStructureNeuralNetworkLayer(
                name=op["outputs"][0]["name"] if op["outputs"] else "",
                type=op["operator"],
                input_names=[b["name"] for v in op["inputs"].values() for b in v if "name" in b],
                output_names=[o["name"] for o in op["outputs"]],
                __proxy__=("main", op["outputs"][0]["name"]) if op["outputs"] else None,
            )
            for op in described["functions"]["main"]["block"]["operations"]
            if op["operator"] != "const"
        ]
        network = cp.MLModelStructureNeuralNetwork(layers=layers)
        return cp.MLModelStructure(neuralnetwork=network, program=None, pipeline=None), ["main"]
    functions = {
        name: cp.MLModelStructureProgramFunction(inputs=[named(i) for i in f["inputs"]], block=block(name, f["block"]))
        for name, f in described["functions"].items()
    }
    program = cp.MLModelStructureProgram(functions=functions)
    return cp.MLModelStructure(neuralnetwork=None, program=program, pipeline=None), list(functions)
