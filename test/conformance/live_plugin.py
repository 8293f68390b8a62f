"""pytest plugin of the live suites: coremltools' tests predict with TensorLogic, and each result is kept as a line of JSON.

It takes everything from the environment:
    LIVE_RESULTS   file that results are appended to: {"id", "outcome", "seconds", "message"}
    LIVE_CURRENT   file that holds the id of the test under way; empty between tests
    LIVE_DONE      file of ids, one a line, that are left out
    LIVE_COUNT     file that takes the numbers of tests that were collected and that are in the shard
    LIVE_SHARD     r/n: tests whose id hashes to r modulo n
    LIVE_PART      w/m: the share of one of m workers
"""

import gc
import hashlib
import importlib.metadata
import json
import os
import random
import sys

import tensorlogic.coreml  # noqa: F401  before coremltools, which then takes itself to be on a Mac

import numpy as np

# Enough of a failure to sort by.
_MESSAGE_LENGTH = 800


def _short(nodeid):
    """An id without the folders above the coremltools package; of a test of ours, its name."""
    path, colons, rest = nodeid.partition("::")
    folders = path.rpartition("coremltools/")
    return folders[2] + colons + rest if folders[1] else rest


def _name(item):
    return _short(item.nodeid)


def _digest(name):
    return int(hashlib.sha1(name.encode()).hexdigest(), 16)


def _share(text):
    part, whole = (int(v) for v in text.split("/"))
    return part, whole


def _write(variable, text):
    path = os.environ[variable]
    with open(path + ".new", "w") as file:
        file.write(text)
    os.replace(path + ".new", path)


def pytest_collection_modifyitems(config, items):
    collected = len(items)
    part, whole = _share(os.environ["LIVE_SHARD"])
    items[:] = [item for item in items if _digest(_name(item)) % whole == part]
    _write("LIVE_COUNT", json.dumps({"collected": collected, "in_shard": len(items)}))
    with open(os.environ["LIVE_DONE"]) as file:
        done = set(file.read().split("\n"))
    worker, workers = _share(os.environ["LIVE_PART"])
    items[:] = [item for item in items if _name(item) not in done and _digest(_name(item)) // whole % workers == worker]


# Tests between two rounds of setting apart what stays alive.
_FREEZE_EVERY = 50


def _set_apart():
    """Each conversion collects garbage, which takes four fifths of a test's time unless what stays alive stands apart."""
    gc.collect()
    gc.freeze()


def pytest_collection_finish(session):
    _set_apart()


def pytest_runtest_setup(item):
    """The same random numbers in every run."""
    seed = _digest(_name(item)) % 2**32
    random.seed(seed)
    np.random.seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


class _Recorder:
    def __init__(self):
        self._outcome, self._message, self._seconds = "passed", "", 0.0
        self._finished = 0

    def pytest_runtest_logstart(self, nodeid):
        self._outcome, self._message, self._seconds = "passed", "", 0.0
        _write("LIVE_CURRENT", _short(nodeid))

    def pytest_runtest_logreport(self, report):
        self._seconds += report.duration
        expected_failure = hasattr(report, "wasxfail")
        if report.failed:
            self._outcome = "failed"
            crash = getattr(report.longrepr, "reprcrash", None)
            where = f" ({os.path.basename(crash.path)}:{crash.lineno})" if crash else ""
            text = crash.message if crash else str(report.longrepr)
            self._message = f"{report.when}: " * (report.when != "call") + text[:_MESSAGE_LENGTH] + where
        elif report.skipped and self._outcome != "failed":
            self._outcome = "xfailed" if expected_failure else "skipped"
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
            self._message = str(report.wasxfail if expected_failure else reason)[:_MESSAGE_LENGTH]

    def pytest_runtest_logfinish(self, nodeid):
        row = {"id": _short(nodeid), "outcome": self._outcome, "seconds": round(self._seconds, 3)}
        if self._message:
            row["message"] = self._message
        with open(os.environ["LIVE_RESULTS"], "a") as file:
            file.write(json.dumps(row) + "\n")
        _write("LIVE_CURRENT", "")
        self._finished += 1
        if self._finished % _FREEZE_EVERY == 1:
            _set_apart()


def pytest_configure(config):
    # coremltools imports libsvm's modules also by the names that they had outside of a package, and writes its version into models.
    try:
        import libsvm.svm
        import libsvm.svmutil

        libsvm.__version__ = importlib.metadata.version("libsvm-official")
        sys.modules.update(svm=libsvm.svm, svmutil=libsvm.svmutil)
    except ImportError:
        pass
    config.pluginmanager.register(_Recorder())
