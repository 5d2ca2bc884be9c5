#!/usr/bin/env python3
"""report.py [--check] -- bench/results/README.md from the JSON files beside it, and plots where matplotlib is.

Every number of the tables is a median of raw samples that stand in the file, or follows from such; nothing is left out
because it is a loss.  --check: exit code 1 where the README is not what this makes."""

import glob
import json
import math
import os
import statistics
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
RESULTS = os.path.join(HERE, "results")
DEPTH = {"ViT-S/14": 12, "ViT-B/14": 12, "ViT-L/14": 24}
BLOCK = [("layernorm", ""), ("linear", "qkv"), ("attention", ""), ("linear", "out, add"), ("layernorm", ""),
         ("linear", "up, GELU"), ("linear", "down, add")]
NAMES = {("layernorm", ""): "layer norms", ("linear", "qkv"): "qkv", ("attention", ""): "attention", ("linear", "out, add"): "out",
         ("linear", "up, GELU"): "up, GELU", ("linear", "down, add"): "down"}
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_tile")
TASKS = {"features": "a 448 x 448 picture in memory to the patch features of ViT-B/14 with four registers",
         "masks": "features to labels: similarity with 150 classes, sigmoid, bilinear to 683 x 512, argmax",
         "pamr": "score maps of 21 classes in two 448 x 448 windows to labels: bilinear, ten iterations of PAMR, mean, argmax"}


# ---- what the files say ----

def load(path):
    with open(path) as file:
        found = json.load(file)
    found["stem"] = os.path.splitext(os.path.basename(path))[0]
    return found


def files():
    found = [load(path) for path in glob.glob(os.path.join(RESULTS, "*.json"))]
    return sorted(found, key=lambda f: (f["started"], f["stem"]), reverse=True)


def median(row):
    return statistics.median_low(row["samples_seconds"])  # one that was measured


def copy_seconds(roofs, size):
    """As roofs.c: a copy that moves as many bytes, between the two sizes that were measured around it."""
    copies = roofs["copies"]
    at = math.log2(max(size, copies[0]["bytes"]) / copies[0]["bytes"]) / 2
    low = min(int(at), len(copies) - 1)
    high, t = min(low + 1, len(copies) - 1), min(at - low, 1)
    return size / ((1 - t) * copies[low]["bytes_per_second"] + t * copies[high]["bytes_per_second"])


def floor(roofs, row):
    """Seconds, and what they are: the rates are those of the whole run, its best."""
    rate = roofs["product_flop_per_second" if row["product"] else "arithmetic_flop_per_second"]
    by_bytes = copy_seconds(roofs, row["bytes"]) if row["bytes"] else 0
    by_flop = row["flop"] / rate if rate else 0
    kind = "bytes" if by_bytes > by_flop else "product" if row["product"] else "arithmetic"
    return max(by_bytes, by_flop), kind


def runs(f):
    return f["operations"]["runs"] if f["operations"] else []


def find(run, operation, variant, model, size, batch):
    for row in run["rows"]:
        if (row["operation"], row["variant"], row["model"], row["size"], row["batch"]) == (operation, variant, model, size, batch):
            return row
    return None


def tower(run, model, size, batch):
    """(seconds, floor) of embedding and blocks added up, or None where a part was passed over."""
    parts = [find(run, *key, model, size, batch) for key in BLOCK]
    embed = find(run, "embed", "cut out", model, size, batch)
    if embed is None or None in parts:
        return None
    roofs, depth = run["roofs"], DEPTH[model]
    return (median(embed) + depth * sum(median(p) for p in parts),
            floor(roofs, embed)[0] + depth * sum(floor(roofs, p)[0] for p in parts))


# ---- tables ----

def table(head, rows, left=1):
    """A column of text is to the left, one of numbers to the right."""
    if not rows:
        return []
    marks = ["---"] * left + ["---:"] * (len(head) - left)
    return ["| " + " | ".join(map(str, cells)) + " |" for cells in (head, marks, *rows)] + [""]


def ms(seconds):
    value = 1e3 * seconds
    return f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.3f}"


def spread(samples):
    return f"{ms(min(samples))} to {ms(max(samples))}"


def machine_lines(f):
    m, ops = f["machine"], f["operations"]
    flags = [flag for flag in FLAGS if flag in (m["flags"] or "").split()]
    hidden = "not visible" + (" in a virtual machine" if m["hypervisor"] else "")
    facts = [f"{m['cpu']} (family, model, stepping {', '.join(m['family_model_stepping'])}), {m['cpus_allowed']} CPUs, "
             f"{', '.join(flags) or 'neither AVX2 nor AVX-512'}; governor {m['governor'] or hidden}; "
             f"{m['memory_bytes'] / 2**30:.0f} GiB; {m['system']}, Linux {m['kernel']}"]
    if m["gpu"]:
        facts.append(m["gpu"])
    if ops:
        run = runs(f)[0]
        facts.append(f"{run['device_name']}; gcc {ops['compiler']}, `{ops['flags'].strip()}`")
    changed = f", with uncommitted changes in {len(f['uncommitted'])} files" if f["uncommitted"] else ""
    if f.get("note"):
        facts.append(f["note"])
    facts.append(f"commit {f['commit'][:12]}{changed}; `{f['command'].strip()}`; load average before: {f['load_before']}")
    return [f"- {fact}" for fact in facts] + [""]


def pictures(f):
    rows = []
    for p in f["pictures"]:
        s, samples = p["settings"], p["samples_seconds"]
        middle, least = statistics.median_low(samples), p["tower_floor_seconds"]
        rows.append([f"{s['picture']}, {s['windows']}, {p['windows_per_picture']} windows, {s['classes']} classes", s["dtype"],
                     ms(middle), spread(samples), len(samples), ms(least), f"{middle / least:.2f}"])
    if not rows:
        return []
    return ["### From a picture in memory to its mask", "",
            "`t2d bench`, ViT-B/14 with four registers and random weights, one picture at a time.  The floor is the vision tower's "
            "operations by count at the rate of a large product of the same run; all that is not the tower has no floor.", ""] + \
        table(["picture", "type", "median ms", "least to most", "samples", "floor ms", "times floor"], rows, 2)


def feature_floors(f, ours):
    """The tower's operations at the best rate of a large product, where both were measured in this run."""
    flop = next((p["tower_flop_per_window"] for p in f["pictures"] if p["settings"]["windows"] == "whole"), None)
    rates = {run["dtype"]: run["roofs"]["product_flop_per_second"] for run in runs(f)}
    return [["*floor: the rate of a large product*", "", dtype, ms(flop / rate), "", "", f"{flop / rate / ours[dtype]:.2f}"]
            for dtype, rate in rates.items() if flop and dtype in ours]


def peers(f):
    lines = []
    if not f["peers"]:
        return lines
    lines += ["### Beside others", "",
              "In turns in one run, each in a process of its own that sleeps while another works, results compared with ours in fp32 "
              f"before any time is taken; {f['peers']['threads']} threads each.  Below 1.00 in the last column, the other was faster.", ""]
    for task in f["peers"]["tasks"]:
        ours = {r["dtype"]: median(r) for r in task["rows"] if r["contender"] == "ours"}
        turns = {len(r["samples_seconds"]) for r in task["rows"]}
        lines += [f"**{task['task']}**: {TASKS[task['task']]}; {'/'.join(map(str, sorted(turns)))} turns.", ""]
        rows = []
        if task["task"] == "features":
            rows += feature_floors(f, ours)
        for r in sorted(task["rows"], key=lambda r: (r["dtype"] != "fp32", r["dtype"], r["contender"] != "ours", median(r))):
            base = ours.get(r["dtype"])
            rows.append([r["contender"], r["version"].split("-")[0], r["dtype"], ms(median(r)), spread(r["samples_seconds"]),
                         f"{r['distance']:.1e}", f"{median(r) / base:.2f}" if base else "-"])
        lines += table(["", "version", "type", "median ms", "least to most", "from ours", "times ours"], rows, 3)
        lines += [f"- {a['contender']}, {a['dtype']}: {a['why']}" for a in task["absent"]]
        lines += [""] if task["absent"] else []
    lines += ["`from ours`: relative L2 of features, or the share of pixels with another label.", ""]
    return lines


def operation_rows(run, keep):
    rows = []
    for row in run["rows"]:
        if not keep(row):
            continue
        seconds, (least, kind) = median(row), floor(run["roofs"], row)
        name = row["operation"] + (f", {row['variant']}" if row["variant"] else "")
        rows.append([name, row["dims"], run["dtype"], ms(seconds), spread(row["samples_seconds"]), f"{row['bytes'] / seconds / 1e9:.1f}",
                     f"{row['flop'] / seconds / 1e9:.1f}", ms(least), kind, f"{seconds / least:.2f}" if least else "-"])
    return rows


def operations(f):
    if not runs(f):
        return []
    lines = ["### Operations", "",
             "`bench_ops`: every result was held against plain C before it was timed.  The floor is the greater of the bytes that must "
             "move at the rate of a copy of as many bytes (caches included), and the operations at the rate of a large oneDNN or "
             "cuBLASLt product (*product*) or of a loop of fp32 multiply-adds (*arithmetic*), all measured in the same run.", ""]
    roofs = []
    for run in runs(f):
        r = run["roofs"]
        copies = {c["bytes"]: c["bytes_per_second"] for c in r["copies"]}
        roofs.append([run["dtype"], f"{r['product_flop_per_second'] / 1e9:.0f}", f"{min(r['product_samples']) / 1e9:.0f}",
                      f"{r['arithmetic_flop_per_second'] / 1e9:.0f}", f"{max(copies.values()) / 1e9:.0f}",
                      f"{copies[max(copies)] / 1e9:.1f}", len(run["rows"]), len(run["passed_over"])])
    lines += table(["type", "large product GFLOP/s", "the worst look", "multiply-adds GFLOP/s", "copy in cache GB/s", "copy of 512 MiB GB/s",
                    "shapes timed", "passed over"], roofs)
    head = ["operation", "shape", "type", "median ms", "least to most", "GB/s", "GFLOP/s", "floor ms", "by", "times floor"]
    for title, keep in (
            ("One window of 448 x 448, ViT-B/14: a block, embedding, heads", lambda r: (r["model"], r["size"], r["batch"]) == ("ViT-B/14", 448, 1) and not r["classes"]),
            ("The same window's masks", lambda r: (r["model"], r["size"], r["batch"]) == ("ViT-B/14", 448, 1) and r["classes"]),
            ("Read out, and memory to and fro", lambda r: r["operation"] in ("readout", "upload", "download")),
            ("Text: the prompts of 21 classes", lambda r: r["model"] in ("CLIP text", "psi") and r["batch"] in (147, 21))):
        rows = [row for run in runs(f) for row in operation_rows(run, keep)]
        if rows:
            lines += [f"**{title}**", ""] + table(head, rows, 3)
    return lines + towers(f)


def towers(f):
    rows = []
    for run in runs(f):
        for model in DEPTH:
            for size in (448, 518):
                found = {n: tower(run, model, size, n) for n in (1, 2, 4, 8, 16, 32, 64)}
                if any(found.values()):
                    rows.append([f"{model} at {size}", run["dtype"]] + [
                        f"{n / t[0]:.2f} ({t[0] / t[1]:.2f})" if t else "-" for n, t in found.items()])
    if not rows:
        return []
    return ["**The tower over the batch**: windows a second, and in brackets how many times the floor; embedding and blocks added up "
            "from the operations above at each shape, not run as one.  `-`: a part was passed over, because one call's floor is above "
            f"{f['operations']['most_seconds_per_call']:g} s or memory was short.", ""] + \
        table(["", "type", "1", "2", "4", "8", "16", "32", "64"], rows, 2)


def evaluation(f):
    rows = []
    for e in f["evaluation"]:
        forward = e["stages"][0]
        for s in e["stages"]:
            rows.append([s["stage"], e["dtype"], ms(s["seconds"]), f"{100 * s['seconds'] / forward['seconds']:.2f}",
                         ms(s["cpu_seconds"]), f"{100 * s['cpu_seconds'] / forward['cpu_seconds']:.2f}"])
    if not rows:
        return []
    e = f["evaluation"][0]
    return ["### Evaluation", "", f"`{e['preset']}` on {e['pictures']} made pictures of 683 x 512, {e['classes']} classes; means.", ""] + \
        table(["stage", "type", "ms", "% of forward", "CPU ms", "% of forward"], rows, 2)


PLOTS = [("latency", "time of the vision tower over its size"), ("batch", "throughput over the batch"), ("roofline", "operations under their roofs"),
         ("share", "where a window's time goes"), ("peers", "beside others")]


def older():
    lines = ["## Older measurements", "", "As they were written down, without raw samples:", ""]
    for path in sorted(glob.glob(os.path.join(RESULTS, "*.txt"))):
        with open(path) as file:
            first = file.readline().strip()
        lines.append(f"- [{os.path.basename(path)}]({os.path.basename(path)}): {first}")
    return lines + [""]


def readme():
    lines = ["# Measurements", "", "Made by `bench/report.py` from the JSON files in this folder, which hold every raw sample and what is needed "
             "to repeat a run; `./dev bench` makes them on the machine at hand.  Times are medians.  Weights are random: they change "
             "no time.  A machine is shared with whatever its owner runs beside it: see the spreads.", ""]
    for f in files():
        day = f["started"][:10]
        lines += [f"## {day}, {f['machine']['gpu'] or f['machine']['cpu']}", ""] + machine_lines(f)
        lines += [f"Raw: [{f['stem']}.json]({f['stem']}.json).", ""]
        lines += pictures(f) + peers(f) + operations(f) + evaluation(f)
        shown = [(name, title) for name, title in PLOTS if os.path.exists(os.path.join(RESULTS, f"{f['stem']}_{name}.png"))]
        lines += [x for name, title in shown for x in (f"![{title}]({f['stem']}_{name}.png)", "")]
    return "\n".join(lines + older())


def main():
    path = os.path.join(RESULTS, "README.md")
    if "--check" in sys.argv[1:]:
        with open(path) as file:
            if file.read() != readme():
                sys.exit("bench/results/README.md is not what bench/report.py makes of the JSON files: run it")
        return
    try:
        import plots
        for f in files():
            plots.draw(f)
    except ImportError as problem:
        print(f"report.py: no plots ({problem}): pip install matplotlib", file=sys.stderr)
    with open(path + ".part", "w") as file:
        file.write(readme())
    os.replace(path + ".part", path)
    print(path)


if __name__ == "__main__":
    main()
