"""TensorLogic: run, check, debug, train and export Core ML models anywhere.

    import tensorlogic as tl
    model = tl.load_model("model.mlpackage")
    answer = model.predict({"image": PIL.Image.open("cat.png")})
"""

from ._check import check
from ._core import version as _version
from ._compare import compare
from ._custom import register_custom_layer, register_custom_model, unregister_custom_layer, unregister_custom_model
from ._error import Error
from ._model import Model, State, compile_model, load_model
from ._profile import Profile, profile
from ._split import extract, split

__version__ = _version()
__all__ = [
    "Error",
    "Model",
    "Profile",
    "State",
    "__version__",
    "check",
    "compare",
    "compile_model",
    "extract",
    "load_model",
    "profile",
    "register_custom_layer",
    "register_custom_model",
    "split",
    "unregister_custom_layer",
    "unregister_custom_model",
]
