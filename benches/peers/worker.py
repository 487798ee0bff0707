"""Worker processes: started once per number of threads, asked by lines, watched while idle."""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK")


class Failure(Exception):
    """What a worker reports, or that it ended."""


def environment(threads, retain=True):
    """The same for every engine. With `retain`, freed memory stays with the process, so that no engine
    pays for fresh pages in every run."""
    names = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "MATMUL_NUM_THREADS"]
    names += ["GEMMKIT_NUM_THREADS", "OPENBLAS_NUM_THREADS"]
    values = {**os.environ, **dict.fromkeys(names, str(threads))}
    if retain:
        values |= {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
    return values


class Worker:
    """One process of an engine."""

    def __init__(self, engine, threads, retain=True):
        self.name = f"{engine}, {threads} threads"
        scripts = {"torch": "torch_worker.py", "onnxruntime": "onnx_worker.py", "openvino": "openvino_worker.py"}
        if engine in scripts:
            command = [sys.executable, str(HERE / scripts[engine])]
        else:
            command = [str(HERE / "target/release" / engine)]
        if not Path(command[0]).exists():
            raise Failure("its worker was not built")
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if not os.environ.get("PEERS_VERBOSE") else None,
            env=environment(threads, retain),
            text=True,
        )

    def ask(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            reply = self.process.stdout.readline()
        except BrokenPipeError:
            reply = ""
        if not reply:
            raise Failure(f"the worker ended with {self.process.wait()}")
        reply = json.loads(reply)
        if "error" in reply:
            raise Failure(reply["error"])
        return reply

    def alive(self):
        return self.process.poll() is None

    def cpu(self):
        """Seconds of processor time used so far."""
        try:
            stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        except OSError:
            return 0.0
        fields = stat.rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def peak_memory(self):
        """Greatest resident set in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        line = next(line for line in status if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Pool:
    """The workers of a comparison, started when they are first asked."""

    def __init__(self):
        self.workers = {}

    def get(self, engine, threads):
        worker = self.workers.get((engine, threads))
        if worker is None or not worker.alive():
            worker = self.workers[engine, threads] = Worker(engine, threads)
        return worker

    def others_cpu(self, one):
        return sum(w.cpu() for w in self.workers.values() if w is not one)

    def stop(self):
        for worker in self.workers.values():
            worker.stop()


def machine_busy():
    """Seconds that all cores of the machine were busy so far."""
    user, nice, system, _, _, irq, softirq, *_ = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) / TICK
