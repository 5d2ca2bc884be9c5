#!/usr/bin/env python3
"""collect.py FOLDER -- what the programs of bench/run have left in FOLDER, and the machine, as one JSON file in
bench/results/.  Nothing is computed here: report.py does that from the file."""

import datetime
import json
import os
import platform
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
FORMAT = 1


def text(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return None


def said(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def cpu_line(key):
    found = re.search(rf"^{key}\s*:\s*(.*)$", text("/proc/cpuinfo") or "", re.M)
    return found.group(1) if found else None


def machine():
    """What is hidden (in virtual machines, much) is null."""
    memory = re.search(r"MemTotal:\s*(\d+) kB", text("/proc/meminfo") or "")
    release = re.search(r'PRETTY_NAME="(.*)"', text("/etc/os-release") or "")
    caches = {}
    for i in range(8):
        at = f"/sys/devices/system/cpu/cpu0/cache/index{i}/"
        if text(at + "size"):
            caches[f"L{text(at + 'level')} {text(at + 'type').lower()}"] = text(at + "size")
    return {"cpu": cpu_line("model name"), "family_model_stepping": [cpu_line(k) for k in ("cpu family", "model", "stepping")],
            "cpus": os.cpu_count(), "cpus_allowed": len(os.sched_getaffinity(0)), "flags": cpu_line("flags"), "caches": caches,
            "governor": text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"), "mhz": cpu_line("cpu MHz"),
            "boost": text("/sys/devices/system/cpu/cpufreq/boost"), "hypervisor": "hypervisor" in (cpu_line("flags") or "").split(),
            "memory_bytes": int(memory.group(1)) * 1024 if memory else None, "kernel": platform.release(),
            "system": release.group(1) if release else None,
            "gpu": said("nvidia-smi", "--query-gpu=name,driver_version,clocks.max.sm,power.limit,ecc.mode.current", "--format=csv,noheader")}


def part(folder, name):
    path = os.path.join(folder, name)
    if not os.path.exists(path):
        return None
    with open(path) as file:
        return json.load(file)


def lines(folder, name):
    return [json.loads(line) for line in (text(os.path.join(folder, name)) or "").splitlines()]


def compact(value):
    """JSON with a row a line: what has no objects inside is not broken."""
    def flat(v):
        return not any(isinstance(x, (dict, list)) for x in (v.values() if isinstance(v, dict) else v)) or \
            isinstance(v, dict) and all(not isinstance(x, dict) and not (isinstance(x, list) and any(isinstance(y, (dict, list)) for y in x))
                                        for x in v.values())

    def write(v, depth):
        if not isinstance(v, (dict, list)) or not v or flat(v):
            return json.dumps(v)
        inside, pad = "\n" + " " * (depth + 1), "\n" + " " * depth
        if isinstance(v, dict):
            return "{" + ",".join(f"{inside}{json.dumps(k)}: {write(x, depth + 1)}" for k, x in v.items()) + pad + "}"
        return "[" + ",".join(inside + write(x, depth + 1) for x in v) + pad + "]"
    return write(value, 0) + "\n"


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: collect.py FOLDER OUTPUT.json")
    folder = sys.argv[1]
    root = os.path.dirname(HERE)
    dirty = said("git", "-C", root, "status", "--porcelain", "--untracked-files=no", "--", "kernels", "host", "bench", "include",
                 "CMakeLists.txt")
    started = text(os.path.join(folder, "started"))
    everything = {
        "format": FORMAT, "started": started, "finished": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": text(os.path.join(folder, "commit")) or said("git", "-C", root, "rev-parse", "HEAD"),
        "uncommitted": [line[3:] for line in dirty.splitlines()] if dirty else [], "command": text(os.path.join(folder, "command")),
        "note": text(os.path.join(folder, "note")), "load_before": text(os.path.join(folder, "load")), "machine": machine(), "operations": part(folder, "ops.json"),
        "pictures": lines(folder, "pictures.jsonl"), "peers": part(folder, "peers.json"),
        "evaluation": [e for e in (part(folder, f"eval_{dtype}.json") for dtype in ("fp32", "bf16")) if e]}
    with open(sys.argv[2] + ".part", "w") as file:
        file.write(compact(everything))
    os.replace(sys.argv[2] + ".part", sys.argv[2])
    print(sys.argv[2])


if __name__ == "__main__":
    main()
