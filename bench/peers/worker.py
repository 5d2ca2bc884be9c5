"""worker.py -- how a contender is asked: one process each, which waits on its standard input between two turns, so that
nobody's threads are in anybody's way.  The clock is the contender's own, around the work alone: from a picture or features
in the memory of the host to results there.

    ready   {"name", "version", "settings"}, after loading and two runs that warm up; or {"missing"}, {"unsupported"}: why not
    go      {"seconds"}: one run
    save F  the last result into F (.npy)
"""

import argparse
import json
import os
import sys
import time

TASKS = ("features", "masks", "pamr")
WARM_UP = 2


class Unsupported(Exception):
    """The peer cannot do this, and why."""


def say(**line):
    print(json.dumps(line), flush=True)


def arguments(name, ways=("",)):
    parser = argparse.ArgumentParser(prog=name)
    parser.add_argument("--folder", required=True, help="where compare.py has put the inputs")
    parser.add_argument("--model", required=True)
    parser.add_argument("--task", choices=TASKS, required=True)
    parser.add_argument("--dtype", choices=("fp32", "bf16", "fp16"), default="fp32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--way", choices=ways, default=ways[0])
    return parser.parse_args()


def load(folder, name):
    import numpy as np
    return np.load(os.path.join(folder, name + ".npy"))


def serve(options, package, pip, build):
    """build(options) -> (name, version, settings, run); run() -> a NumPy array."""
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    try:
        name, version, settings, run = build(options)
    except ImportError as problem:
        return say(missing=f"{package} is not here ({problem}): pip install {pip}")
    except Unsupported as problem:
        return say(unsupported=str(problem))
    for _ in range(WARM_UP):
        result = run()
    say(name=name, version=version, settings=settings)
    for line in sys.stdin:
        word, _, path = line.strip().partition(" ")
        if word == "go":
            start = time.perf_counter()
            result = run()
            say(seconds=time.perf_counter() - start)
        elif word == "save":
            import numpy as np
            np.save(path, result)
            say(saved=path)
        else:
            break
