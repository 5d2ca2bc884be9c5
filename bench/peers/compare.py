#!/usr/bin/env python3
"""compare.py -- ours and its peers at the same work, in turns: A B C A B C ..., each in a process of its own that sleeps
while another works.  A contender whose results differ from ours gets no time.  Needs NumPy; peers that are not here are
named, with the command that installs them.

    compare.py --ours build/bench/contender --model M.safetensors [--python build/peers/bin/python3] --json FILE
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import model
import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
PAUSE = 0.1  # seconds between two turns: threads that still spin for work go to sleep
LEAST, MOST = 5, 30  # turns
SLOW = 60  # seconds after which three turns are enough
SEED = 7

# (script, way, compute types) by task; ours in fp32 is what the others' results are compared with.
TOWERS = [("peer_torch.py", "eager", ("fp32", "bf16")), ("peer_torch.py", "published", ("fp32",)),
          ("peer_torch.py", "compile", ("fp32", "bf16")), ("peer_onnxruntime.py", "plain", ("fp32", "bf16")),
          ("peer_onnxruntime.py", "fused", ("fp32",)), ("peer_openvino.py", "", ("fp32", "bf16"))]
MASKS = [("peer_torch.py", "eager", ("fp32",)), ("peer_torch.py", "compile", ("fp32",)),
         ("peer_onnxruntime.py", "plain", ("fp32",)), ("peer_openvino.py", "", ("fp32",))]
PAMR = MASKS[:1] + [("peer_torch.py", "published", ("fp32",))] + MASKS[1:]
GPU = [("peer_torch.py", way, ("fp32", "bf16", "fp16")) for way in ("eager", "compile", "cudnn")]

# How far a result may be from ours in fp32: relative L2 of features, share of pixels with another label.
FEATURES = {"fp32": 1e-4, "bf16": 3e-2, "fp16": 4e-3}
LABELS = 1e-3


class Contender:
    def __init__(self, command, dtype):
        self.dtype, self.samples = dtype, []
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about = self.answer()

    def answer(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        return {"failed": f"it ended with exit code {self.process.wait()}"}

    def ask(self, line):
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        return self.answer()

    def result(self, folder):
        path = os.path.join(folder, "result.npy")
        answer = self.ask("save " + path)
        return np.load(path) if "saved" in answer else None

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def write_inputs(folder):
    rng = np.random.default_rng(SEED)
    side = np.arange(model.SIZE)

    def picture(width):
        """Smooth shapes with noise: PAMR has edges to follow."""
        base = (side[:, None, None] // 23 * 40 + np.arange(width)[None, :, None] // 17 * 60) * np.array([1, 2, 3])
        return ((base + rng.integers(0, 9, (model.SIZE, width, 3))) % 256).astype(np.uint8)

    text = rng.standard_normal((model.MASK_CLASSES, 768)).astype(np.float32)
    arrays = {"picture": picture(model.SIZE), "canvas": picture(model.PAMR_WIDTH),
              "features": rng.standard_normal((model.GRID**2, 768)).astype(np.float32),  # until a model's are there
              "text": text / np.linalg.norm(text, axis=1, keepdims=True),
              "scores": rng.uniform(0.4, 0.6, (2, model.GRID**2, model.PAMR_CLASSES)).astype(np.float32)}
    for name, value in arrays.items():
        np.save(os.path.join(folder, name + ".npy"), value)


def distance(task, result, ours):
    """(how far, how far it may be): NaN is far."""
    if result is None or result.shape != ours.shape:
        return float("inf")
    if task == "features":
        return float(np.linalg.norm(result.astype(np.float64) - ours) / np.linalg.norm(ours))
    return float(np.mean(result.astype(np.int64) != ours.astype(np.int64)))


def start(o, folder, task):
    """Contenders that are there and whose results agree; what is said of the others."""
    common = ["--folder", folder, "--model", o.model, "--task", task, "--device", o.device, "--threads", str(o.threads)]
    halves = ("bf16",) if o.device == "cpu" else ("bf16", "fp16")
    kept, absent, ours = [], [], None
    plan = [(None, "", ("fp32", *(halves if task == "features" else ())))]
    plan += ({"features": TOWERS, "masks": MASKS, "pamr": PAMR}[task] if o.device == "cpu" else GPU)
    for script, way, dtypes in plan:
        for dtype in dtypes if task == "features" else dtypes[:1]:
            head = [o.python, os.path.join(HERE, script)] + (["--way", way] if way else []) if script else [o.ours]
            label = f"{script[5:-3]} {way}".strip() if script else "ours"
            print(f"{task}, {dtype}: {label} ...", end=" ", file=sys.stderr, flush=True)
            c = Contender(head + common + ["--dtype", dtype], dtype)
            if "name" not in c.about:
                why = next(iter(c.about.values()))
                print(why, file=sys.stderr)
                absent.append({"contender": label, "dtype": dtype, "why": why})
                c.close()
                continue
            result = c.result(folder)
            if ours is None:
                ours = result
                if task == "features":
                    np.save(os.path.join(folder, "features.npy"), ours.astype(np.float32))
            c.far, c.allowed = distance(task, result, ours), FEATURES[dtype] if task == "features" else LABELS
            if not c.far <= c.allowed or not np.isfinite(result).all():
                why = f"its results are {c.far:.3g} from ours, allowed {c.allowed:.3g}: no speed for another answer"
                print(why, file=sys.stderr)
                absent.append({"contender": label, "dtype": dtype, "why": why})
                c.close()
                continue
            print(f"{c.far:.2g} from ours", file=sys.stderr)
            kept.append(c)
    return kept, absent


def take_turns(kept, seconds):
    begin, turn = time.monotonic(), 0
    while turn < (3 if time.monotonic() > begin + SLOW else LEAST) or (turn < MOST and time.monotonic() < begin + seconds):
        for c in kept:
            c.samples.append(c.ask("go")["seconds"])
            time.sleep(PAUSE)
        turn += 1


def compare(o, folder, task):
    kept, absent = start(o, folder, task)
    take_turns(kept, o.seconds)
    ours = {c.dtype: float(np.median(c.samples)) for c in kept if c.about["name"] == "ours"}
    rows = []
    print(f"\n{task}: median of {len(kept[0].samples) if kept else 0} turns")
    for c in kept:
        median = float(np.median(c.samples))
        rows.append({"contender": c.about["name"], "dtype": c.dtype, "version": c.about["version"], "settings": c.about["settings"],
                     "distance": c.far, "allowed": c.allowed, "median_seconds": median, "samples_seconds": c.samples})
        print(f"  {c.about['name']:<22} {c.dtype}  {1e3 * median:10.2f} ms  ({1e3 * min(c.samples):.2f} to "
              f"{1e3 * max(c.samples):.2f})  {median / ours.get(c.dtype, float('nan')):6.2f} times ours")
        c.close()
    return {"task": task, "rows": rows, "absent": absent}


def main():
    parser = argparse.ArgumentParser(prog="compare.py", description=__doc__.splitlines()[0])
    parser.add_argument("--ours", required=True, help="the program bench/contender")
    parser.add_argument("--model", required=True)
    parser.add_argument("--python", default=sys.executable, help="that has the peers (bench/peers/prepare)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--tasks", default="features,masks,pamr")
    parser.add_argument("--seconds", type=float, default=30, help="of turns per task; five turns at least")
    parser.add_argument("--json", help="everything, raw samples too")
    o = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_inputs(folder)
        tasks = [compare(o, folder, task) for task in o.tasks.split(",")]
    if o.json:
        with open(o.json + ".part", "w") as file:
            json.dump({"device": o.device, "threads": o.threads, "pause_seconds": PAUSE, "seed": SEED, "tasks": tasks}, file, indent=1)
        os.replace(o.json + ".part", o.json)


if __name__ == "__main__":
    main()
