"""Makes coremltools on this machine behave as on a Mac, for this process: `import tensorlogic.coreml`.

For every program of an environment: `python -m tensorlogic coremltools --enable`.
"""

import logging
import sys

from . import _hook, libcoremlpython


def _patch_loaded() -> None:
    """coremltools was imported before us: set what its modules took over from the bridge and from the guards."""
    utils = sys.modules.get("coremltools.models.utils")
    deps = sys.modules.get("coremltools._deps")
    if utils is None or deps is None:
        return
    sys.modules["coremltools.libcoremlpython"] = libcoremlpython
    sys.modules["coremltools"].libcoremlpython = libcoremlpython
    _hook._patch_utils(utils)
    _hook._patch_deps(deps)
    guards = {"_is_macos": utils._is_macos, "_macos_version": utils._macos_version, "_IS_MACOS": True}
    for name, module in list(sys.modules.items()):
        if not name.startswith("coremltools") or module is None:
            continue
        held = vars(module)
        for guard, value in guards.items():
            if guard in held:
                setattr(module, guard, value)
        for attribute in list(held):
            if attribute.startswith("_ML") and attribute.endswith("Proxy") and hasattr(libcoremlpython, attribute):
                setattr(module, attribute, getattr(libcoremlpython, attribute))


def enable() -> None:
    """Done by importing this module; calling it again changes nothing."""
    if sys.platform == "darwin":
        return
    loaded = "coremltools" in sys.modules
    _hook.install()
    if loaded:
        _patch_loaded()
    else:
        logging.getLogger("coremltools").addFilter(lambda record: "libcoremlpython" not in record.getMessage())


enable()
