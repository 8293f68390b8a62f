"""python -m tensorlogic coremltools --enable | --disable | --status"""

from __future__ import annotations

import argparse
import pathlib
import sys
import sysconfig

from . import __version__, _hook

_PTH = "_tensorlogic_coremltools.pth"
_MODULE = "_tensorlogic_coremltools"


def _site() -> pathlib.Path:
    return pathlib.Path(sysconfig.get_paths()["purelib"])


def _enable() -> None:
    source = pathlib.Path(_hook.__file__).read_text()
    (_site() / f"{_MODULE}.py").write_text(source)
    (_site() / _PTH).write_text(f"import {_MODULE}; {_MODULE}.install()\n")


def _disable() -> None:
    for name in (_PTH, f"{_MODULE}.py"):
        (_site() / name).unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tensorlogic", description="TensorLogic for Python.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    plug = commands.add_parser(
        "coremltools",
        help="make coremltools behave as on a Mac for every program of this environment",
        description="With the plug enabled, coremltools in this environment predicts, compiles and keeps state through TensorLogic. "
        "It is a .pth file and a module in site-packages; --disable removes both.",
    )
    action = plug.add_mutually_exclusive_group(required=True)
    action.add_argument("--enable", action="store_true", help="put the plug in")
    action.add_argument("--disable", action="store_true", help="take it out")
    action.add_argument("--status", action="store_true", help="say which; exit code 0 when enabled, 1 when not")
    options = parser.parse_args(arguments)
    if options.enable:
        _enable()
    elif options.disable:
        _disable()
    enabled = (_site() / _PTH).exists()
    print(f"coremltools plug: {'enabled' if enabled else 'disabled'} ({_site()})")
    return 0 if enabled or not options.status else 1


if __name__ == "__main__":
    sys.exit(main())
