"""Runs coremltools' own tests against this runtime, and whole networks against torch.

Results are kept, a line of JSON per test, in --results: a second start runs what is missing. See doc/conformance.md.
"""

import argparse
import collections
import glob
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TREE = HERE.parent.parent
KNOWN = HERE / "live_known.txt"
FAILING = ("failed", "crashed", "timeout")
# What runs tests in every environment.
COMMON = ["coremltools==9.0", "nanobind>=2.2", "pytest", "pytest-asyncio", "pillow"]
TORCH = ["numpy==2.2.*", "torch==2.7.*", "torchvision==0.22.*"]
# xgboost 1.4 breaks on NumPy 2; coremltools takes libsvm's constants from its modules, which later versions no longer have.
CLASSIC = ["numpy<2", "scikit-learn==1.5.1", "xgboost==1.4.2", "libsvm-official==3.32.0", "scipy<1.14", "pandas<2.3", "requests", "setuptools<81"]
NETWORKS = ["timm", "transformers==4.51.*"]

# coremltools takes NumPy's argsort for the order of equal values, which is by place only without SIMD.
PLAIN_SORT = "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL"

# suite: (environment, paths below the coremltools package or, where they end in .py and stand here, ours; shards by default)
SUITES = {
    "layers": ("torch", ["test/neural_network", "test/ml_program", "test/pipeline", "test/modelpackage",
                         "converters/mil/test_inputs_outputs_shape.py"], 1),
    "classic": ("classic", ["test/sklearn_tests", "test/xgboost_tests"], 1),
    "networks": ("torch", ["networks.py"], 1),
    "optimize": ("torch", ["test/optimize/coreml"], 10),
    "torch": ("torch", ["converters/mil/frontend/torch/test"], 50),
    "mil": ("torch", ["converters/mil/mil/ops/tests"], 1),
}
ENVIRONMENTS = {"torch": COMMON + TORCH + NETWORKS, "classic": COMMON + CLASSIC}


def say(text):
    print(text, file=sys.stderr, flush=True)


def environment(name):
    """The interpreter of an environment in the tree, made where it is missing."""
    folder = TREE / f".venv-live-{name}"
    python = folder / "bin/python"
    if not (folder / "complete").exists():
        say(f"making {folder.name}")
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *ENVIRONMENTS[name]], check=True)
        (folder / "complete").touch()
    return str(python)


def package(python):
    """Builds the Python package for an interpreter and returns the folder to import it from."""
    build = TREE / "build"
    say("building the Python package")
    subprocess.run(["cmake", "-S", TREE, "-B", build, "-G", "Ninja", "-DTL_BUILD_PYTHON=ON", f"-DPython_EXECUTABLE={python}"],
                   check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", build, "--target", "python_package"], check=True, stdout=subprocess.DEVNULL)
    return str(build / "python")


def boston(python):
    """The table that coremltools' tests read from a site that may be out of reach; scikit-learn 1.1 still carries it."""
    target = Path("/tmp/bostonHousingData.txt")
    if target.exists():
        return
    import tempfile, zipfile

    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:",
                        "--python-version=3.10", "-d", folder, "scikit-learn==1.1.3"], check=True)
        wheel = zipfile.ZipFile(glob.glob(f"{folder}/*.whl")[0])
        rows = wheel.read("sklearn/datasets/data/boston_house_prices.csv").decode().split("\n")[2:]
    lines = ["#"] * 22
    for row in filter(None, rows):
        cells = row.strip().split(",")
        lines += [" ".join(cells[:11]), " ".join(cells[11:])]
    target.write_text("\n".join(lines) + "\n")


def read_results(path):
    """The last result of each test."""
    results = {}
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                row = json.loads(line)
                results[row["id"]] = row
            except (ValueError, KeyError):  # a line that was cut off
                pass
    return results


def read_known():
    """Tests that are listed: (id or its beginning followed by *, reason)."""
    rows = []
    for line in KNOWN.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, reason = line.split(" | ", 1)
            rows.append((name.strip(), reason.strip()))
    return rows


def listed(known, name):
    for pattern, reason in known:
        if name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1])):
            return reason
    return None


class Worker:
    """One pytest process at a time on one part of a suite; restarted when a test takes it down or hangs."""

    def __init__(self, suite, number, command, folder, variables):
        self.suite, self.number, self.command = suite, number, command
        self.current = folder / f"{suite}.{number}.current"
        self.done = folder / f"{suite}.{number}.done"
        self.log = folder / f"{suite}.{number}.log"
        self.variables = {**variables, "LIVE_CURRENT": str(self.current), "LIVE_DONE": str(self.done)}
        self.process = None
        self.watched, self.seconds = "", 0.0

    def start(self, done):
        self.done.write_text("\n".join(done))
        self.current.write_text("")
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(self.command, env={**os.environ, **self.variables}, cwd="/", stdout=log, stderr=log)

    def under_way(self):
        """The test that runs."""
        return self.current.read_text() if self.current.exists() else ""

    def watch(self):
        """Called each second: how long the test has run. Time in which the machine stood still, or we were stopped, does not count."""
        name = self.under_way()
        self.seconds = self.seconds + 1 if name and name == self.watched else 0.0
        self.watched = name
        return self.seconds


def run_suite(suite, arguments, python, site, packages, results_path):
    paths = [str(HERE / p) if (HERE / p).exists() else os.path.join(site, "coremltools", p) for p in SUITES[suite][1]]
    before = read_results(results_path)
    rerun = arguments.rerun_failed
    kept = {name for name, row in before.items() if not (rerun and row["outcome"] in FAILING)}
    offset = results_path.stat().st_size if results_path.exists() else 0
    folder = results_path.parent
    count = folder / f"{suite}.count"
    shard = arguments.shard or f"0/{SUITES[suite][2]}"

    def done():
        new = set()
        if results_path.exists():
            with open(results_path) as file:
                file.seek(offset)
                new = {json.loads(line)["id"] for line in file if line.endswith("\n")}
        return kept | new

    workers = []
    for number in range(arguments.jobs):
        command = [python, "-m", "pytest", "-p", "live_plugin", "-p", "no:cacheprovider", "-q", "-W", "ignore", "--rootdir", site, "-c", os.devnull,
                   "--continue-on-collection-errors", "--tb=short"]
        command += ["-k", arguments.keyword] if arguments.keyword else []
        variables = {
            "LIVE_RESULTS": str(results_path), "LIVE_COUNT": str(count), "LIVE_SHARD": shard, "LIVE_PART": f"{number}/{arguments.jobs}",
            "PYTHONPATH": os.pathsep.join(filter(None, [packages, str(HERE), os.environ.get("PYTHONPATH")])), "OMP_NUM_THREADS": "1", "TL_THREADS": "1", "PYTHONWARNINGS": "ignore",
            "NPY_DISABLE_CPU_FEATURES": PLAIN_SORT,
        }
        worker = Worker(suite, number, command + paths, folder, variables)
        worker.start(done())
        workers.append(worker)

    def fault(worker, outcome, message):
        name = worker.under_way()
        with open(results_path, "a") as file:
            file.write(json.dumps({"id": name, "outcome": outcome, "seconds": 0, "message": message}) + "\n")
        worker.start(done())

    told = time.time()
    try:
        while any(worker.process for worker in workers):
            time.sleep(1)
            for worker in workers:
                if worker.process is None:
                    continue
                seconds = worker.watch()
                code = worker.process.poll()
                if code is None:
                    if seconds > arguments.timeout:
                        worker.process.kill()
                        worker.process.wait()
                        fault(worker, "timeout", f"over {arguments.timeout} s")
                elif worker.under_way():
                    fault(worker, "crashed", f"the process ended with {code}")
                else:
                    if code not in (0, 1, 5):
                        say(f"{suite}: pytest ended with {code}; see {worker.log}")
                    worker.process = None
            if time.time() - told > arguments.tell:
                told = time.time()
                tell(suite, results_path, count)
    finally:
        for worker in workers:
            if worker.process is not None:
                worker.process.terminate()


def tell(suite, results_path, count):
    tally = collections.Counter(row["outcome"] for row in read_results(results_path).values())
    whole = json.loads(count.read_text())["in_shard"] if count.exists() else "?"
    say(f"{time.strftime('%H:%M:%S')} {suite}: {sum(tally.values())} known, {whole} in this shard; " + ", ".join(f"{n} {k}" for k, n in sorted(tally.items())))


def summarize(suite, results_path, known):
    results = read_results(results_path)
    count = results_path.parent / f"{suite}.count"
    row = {"suite": suite, "collected": json.loads(count.read_text())["collected"] if count.exists() else None, "run": len(results)}
    tally = collections.Counter(r["outcome"] for r in results.values())
    failing = [r for r in results.values() if r["outcome"] in FAILING]
    row["passed"], row["failed"] = tally["passed"], len(failing)
    row["skipped"], row["xfailed"] = tally["skipped"], tally["xfailed"]
    row["listed"] = sum(listed(known, r["id"]) is not None for r in failing)
    tried = row["passed"] + row["failed"]
    row["rate"] = row["passed"] / tried if tried else None
    row["failures"] = [{"id": r["id"], "outcome": r["outcome"], "message": r.get("message", ""), "listed": listed(known, r["id"])} for r in failing]
    return row


def table(rows):
    columns = ("suite", "collected", "run", "passed", "failed", "listed", "skipped", "xfailed")
    print("| " + " | ".join(columns) + " | passed of those that ran |")
    print("|" + "---|" * (len(columns) + 1))
    for row in rows:
        rate = "-" if row["rate"] is None else f"{100 * row['rate']:.2f} %"
        print("| " + " | ".join(str("?" if row[c] is None else row[c]) for c in columns) + f" | {rate} |")


def main():
    parser = argparse.ArgumentParser(prog="test/conformance/live", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(SUITES)} (default: all, in this order)")
    parser.add_argument("--shard", metavar="R/N", help="tests whose id hashes to R modulo N (default: all of layers, classic, networks and mil, a tenth of optimize, a fiftieth of torch)")
    parser.add_argument("--rerun-failed", action="store_true", help="run again what failed before")
    parser.add_argument("-k", dest="keyword", metavar="EXPRESSION", help="pytest's selection by name")
    parser.add_argument("-j", "--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--timeout", type=float, default=300, metavar="SECONDS", help="a test that takes longer has failed (default 300)")
    parser.add_argument("--results", type=Path, default=TREE / "build/live", metavar="FOLDER", help="kept results (default build/live)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the summary and the failures")
    parser.add_argument("--summary", action="store_true", help="run nothing, sum up what is kept")
    parser.add_argument("--python", metavar="PATH", help="an interpreter that has all packages, in place of environments of its own")
    parser.add_argument("--package", metavar="FOLDER", help="where the built Python package is (default: it is built into build/python)")
    parser.add_argument("--tell", type=float, default=30, metavar="SECONDS", help="time between lines of progress (default 30)")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the workers end as well
    suites = arguments.suites or list(SUITES)
    for suite in suites:
        if suite not in SUITES:
            parser.error(f"no suite '{suite}'; there are: {', '.join(SUITES)}")
    arguments.results = arguments.results.resolve()
    arguments.results.mkdir(parents=True, exist_ok=True)
    known = read_known()
    built = {}
    for suite in suites if not arguments.summary else []:
        python = arguments.python or environment(SUITES[suite][0])
        if python not in built:
            built[python] = arguments.package or package(python)
        if suite == "classic":
            boston(python)
        site = subprocess.run([python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"], check=True, capture_output=True, text=True)
        run_suite(suite, arguments, python, site.stdout.strip(), built[python], arguments.results / f"{suite}.jsonl")
    rows = [summarize(suite, arguments.results / f"{suite}.jsonl", known) for suite in suites]
    for row in rows:
        for failure in row["failures"]:
            if failure["listed"] is None:
                print(f"{row['suite']}: {failure['outcome']}: {failure['id']}\n    {failure['message'].splitlines()[0] if failure['message'] else ''}")
    table(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")
    failed, excused = (sum(row[key] for row in rows) for key in ("failed", "listed"))
    passed, skipped = (sum(row[key] for row in rows) for key in ("passed", "skipped"))
    print(f"{passed} passed, {failed - excused} failed, {skipped + excused} skipped ({excused} of them listed as failing)")
    return 1 if failed > excused else 0


if __name__ == "__main__":
    sys.exit(main())
