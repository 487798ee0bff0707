"""The lines a Python worker speaks (see src/serve.rs)."""

import json
import os
import sys
import time

import numpy as np


def best(run, reps, seconds, long):
    start, fastest, done = time.perf_counter(), float("inf"), 0
    while done < reps or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        result = run()
        after = time.perf_counter()
        del result
        fastest, done = min(fastest, after - before), done + 1
        if after - before > long:
            break
    return {"seconds": fastest, "reps": done}


def serve(prepare):
    """Answers requests. `prepare(spec)` gives a function that computes once, and one that turns its
    result into an array in the layout of the problem."""
    # What libraries print goes to standard error.
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    works = {}

    def answer(line):
        verb, name, *rest = line.rstrip("\n").split(" ", 2)
        if verb == "prepare":
            run, array = prepare(json.loads(rest[0]))
            before = time.perf_counter()
            run()
            works[name] = run, array
            return {"seconds": time.perf_counter() - before}
        if verb == "run":
            reps, seconds, long = rest[0].split(" ")
            return best(works[name][0], int(reps), float(seconds), float(long))
        if verb == "output":
            run, array = works[name]
            np.ascontiguousarray(array(run()), dtype=np.float32).tofile(rest[0])
            return {"facts": {}}
        if verb == "drop":
            works.pop(name, None)
            return {}
        raise ValueError(f"unknown request: {verb}")

    for line in sys.stdin:
        try:
            reply = answer(line)
        except Exception as error:  # the driver reports it
            reply = {"error": f"{type(error).__name__}: {error}".split("\n")[0]}
        print(json.dumps(reply), file=replies, flush=True)
