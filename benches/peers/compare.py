"""Compares Opledger with other engines, turn by turn in one run; see README.md."""

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import chart
import report
from cases import all_cases
from worker import HERE, Failure, Pool, Worker, machine_busy

# An output may differ from ours by this share of the greatest absolute value of ours.
TOLERANCE = 1e-3
# A run longer than this is not repeated within a turn.
LONG = 2.0
# Between turns, so that threads of the engine before have gone to sleep.
PAUSE = 0.05


# The Rust workers, and what they are built with.
BUILT = {"ours": [], "crates": ["--features", "crates"]}


def build():
    """Builds the workers. A comparison without one of its engines is none, so each must build."""
    cargo = ["cargo", "build", "--release", "--locked", "--quiet"]
    for name, features in BUILT.items():
        if subprocess.run([*cargo, "--bin", name, *features], cwd=HERE).returncode != 0:
            sys.exit(f"error: the worker `{name}` did not build")


def check_built():
    """Holds that the workers are there."""
    for name in BUILT:
        if not (HERE / "target/release" / name).exists():
            sys.exit(f"error: the worker `{name}` is not there; leave out --no-build")


def measured_machine():
    """What `opledger machine` measures; empty where it has no such command."""
    command = ["cargo", "run", "--release", "--locked", "--quiet", "-p", "opledger-cli", "--"]
    command += ["machine", "--format", "json"]
    done = subprocess.run(command, cwd=HERE.parent.parent, capture_output=True, text=True)
    try:
        return json.loads(done.stdout) if done.returncode == 0 else {}
    except json.JSONDecodeError:
        return {}


def versions():
    """The version of every engine."""
    found = {"Opledger": revision()}
    for name, package in [("PyTorch", "torch"), ("onnxruntime", "onnxruntime"), ("OpenVINO", "openvino")]:
        found[name] = importlib.metadata.version(package)
    lock = (HERE / "Cargo.lock").read_text().split("[[package]]")
    names = {"candle": "candle-core", "burn": "burn-flex"}
    for name in ["candle", "burn", "matrixmultiply", "gemm", "faer", "gemmkit"]:
        wanted = f'name = "{names.get(name, name)}"'
        block = next((b for b in lock if wanted in b), "")
        found[name] = block.split('version = "')[1].split('"')[0] if block else "?"
    return found


def revision():
    git = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    done = subprocess.run(git, cwd=HERE, capture_output=True, text=True)
    return done.stdout.strip() or "unknown revision"


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


class Comparison:
    """One case: its entries prepared, checked against the first, timed in turns."""

    def __init__(self, case, pool, options):
        self.case, self.pool, self.options = case, pool, options
        self.rows = [{"entry": vars(e), "times": [], "error": None} for e in case.entries]
        self.idle = self.foreign = self.window = 0.0

    def worker(self, at):
        entry = self.case.entries[at]
        return self.pool.get(entry.worker, entry.threads)

    def ask(self, at, verb, *rest):
        return self.worker(at).ask(" ".join([verb, str(at), *map(str, rest)]))

    def run(self):
        try:
            self.prepare()
            for turn in range(self.options.turns):
                order = range(len(self.rows))
                for at in order if turn % 2 == 0 else reversed(order):
                    self.turn(at)
        finally:
            for at in range(len(self.rows)):
                try:
                    self.ask(at, "drop")
                except Failure:
                    pass
        return self.result()

    def prepare(self):
        ours = None
        for at, row in enumerate(self.rows):
            spec = {**self.case.spec, "variant": self.case.entries[at].variant}
            try:
                self.ask(at, "prepare", json.dumps(spec))
                with tempfile.NamedTemporaryFile() as file:
                    row["facts"] = self.ask(at, "output", file.name)["facts"]
                    result = np.fromfile(file.name, dtype=np.float32)
            except Failure as failure:
                row["error"] = str(failure)
                continue
            if ours is None:
                ours = result
                continue
            if result.shape != ours.shape:
                row["error"] = f"{result.size} elements in place of {ours.size}"
                continue
            row["difference"] = float(np.abs(result - ours).max())
            row["relative"] = row["difference"] / float(np.abs(ours).max())
            if not row["relative"] <= TOLERANCE:
                row["error"] = f"another result: differs by {row['difference']:.3g}"

    def turn(self, at):
        row = self.rows[at]
        if row["error"]:
            return
        time.sleep(PAUSE)
        worker = self.worker(at)
        idle, own, all_busy, start = self.pool.others_cpu(worker), worker.cpu(), machine_busy(), time.monotonic()
        try:
            reps = 1 if self.options.quick else 3
            reply = self.ask(at, "run", reps, 0.02 if self.options.quick else self.case.seconds, LONG)
        except Failure as failure:
            row["error"] = str(failure)
            return
        row["times"].append(reply["seconds"])
        idle, own = self.pool.others_cpu(worker) - idle, worker.cpu() - own
        self.idle += idle
        self.foreign += max(0.0, machine_busy() - all_busy - own - idle)
        self.window += time.monotonic() - start

    def result(self):
        ours = self.rows[0]["times"]
        for row in self.rows:
            times = row["times"]
            if times and not row["error"]:
                row["seconds"] = statistics.median(times)
                ratios = [a / b for a, b in zip(ours, times)]
                row["ratio"] = [statistics.median(ratios), min(ratios), max(ratios)] if ratios else None
        case = {n: v for n, v in vars(self.case).items() if n != "entries"}
        window = max(self.window, 1e-9)
        return {**case, "rows": self.rows, "idle": self.idle / window, "foreign": self.foreign / window}


def peak_memory(tokens, threads):
    """Peak resident set of a fresh worker that computes attention of one head, once."""
    spec = dict(kind="attention", variant="counted", batch=1, queries=tokens, keys=tokens)
    spec |= dict(heads=1, kv_heads=1, width=64, causal=False)
    worker = Worker("ours", threads, retain=False)
    try:
        seconds = worker.ask(f"prepare 0 {json.dumps(spec)}")["seconds"]
        return {"tokens": tokens, "seconds": seconds, "bytes": worker.peak_memory()}
    finally:
        worker.stop()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="a,b,c,d,e,f,g,h,i,j,k,l", help="groups of cases, by letter")
    parser.add_argument("--quick", action="store_true", help="a smoke run of small cases")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--turns", type=int, default=0, help="7, or 2 with --quick")
    parser.add_argument("--output", type=Path, default=HERE, help="folder of results.md and results.svg")
    parser.add_argument("--no-build", action="store_true", help="take the workers as they are")
    options = parser.parse_args()
    options.turns = options.turns or (2 if options.quick else 7)
    return options


def write(results, folder):
    """What there is so far, so that an interrupted run is not lost."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / "results.md").write_text(report.markdown(results))
    (folder / "results.svg").write_text(chart.svg(results))


def main():
    options = arguments()
    check_built() if options.no_build else build()
    only = set(options.only.split(","))
    results = {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": options.threads,
        "turns": options.turns,
        "quick": options.quick,
        "tolerance": TOLERANCE,
        "versions": versions(),
        "machine": measured_machine(),
        "cases": [],
    }
    if "k" in only:
        subprocess.run([sys.executable, "-c", "import encoder; encoder.write()"], cwd=HERE, check=True)
    pool = Pool()
    try:
        for case in all_cases(options.threads, options.quick):
            if case.group in only:
                result = Comparison(case, pool, options).run()
                results["cases"].append(result)
                print(report.brief(result), file=sys.stderr, flush=True)
                write(results, options.output)
    finally:
        pool.stop()
    if "j" in only:
        results["memory"] = peak_memory(4096 if options.quick else 65536, options.threads)
    write(results, options.output)
    wrong = [r for c in results["cases"] for r in c["rows"] if "another result" in (r["error"] or "")]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
