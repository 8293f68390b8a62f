"""Import hook: coremltools on this platform finds Core ML's Python bridge in TensorLogic and takes itself to be on a Mac.

Standard library only: `python -m tensorlogic coremltools --enable` copies this file into site-packages, where a .pth file
imports it at every start of the interpreter.
"""

import importlib.abc
import importlib.util
import sys

_BRIDGE = "coremltools.libcoremlpython"
_MACOS_VERSION = (26, 0)


def _patch_utils(module):
    module._is_macos = lambda: True
    module._macos_version = lambda: _MACOS_VERSION


def _patch_deps(module):
    module._IS_MACOS = True


_PATCHES = {"coremltools.models.utils": _patch_utils, "coremltools._deps": _patch_deps}


class _BridgeLoader(importlib.abc.Loader):
    def create_module(self, spec):
        import importlib

        return importlib.import_module("tensorlogic.libcoremlpython")

    def exec_module(self, module):
        pass


class _PatchingLoader(importlib.abc.Loader):
    def __init__(self, inner, patch):
        self._inner = inner
        self._patch = patch

    def create_module(self, spec):
        return self._inner.create_module(spec)

    def exec_module(self, module):
        self._inner.exec_module(module)
        self._patch(module)

    def __getattr__(self, name):
        return getattr(self._inner, name)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self):
        self._busy = set()

    def find_spec(self, name, path=None, target=None):
        if name == _BRIDGE:
            return importlib.util.spec_from_loader(name, _BridgeLoader())
        patch = _PATCHES.get(name)
        if patch is None or name in self._busy:
            return None
        self._busy.add(name)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._busy.discard(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _PatchingLoader(spec.loader, patch)
        return spec


def install():
    """Puts the hook in place, once."""
    if sys.platform == "darwin" or any(type(f).__name__ == "_Finder" and type(f).__module__ == __name__ for f in sys.meta_path):
        return
    sys.meta_path.insert(0, _Finder())
