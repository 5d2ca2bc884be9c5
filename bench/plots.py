"""plots.py -- pictures of one results file, for bench/results/.  Axes begin at zero or are logarithmic and say so; floors are
drawn wherever they are known; least and most are drawn where there are samples."""

import os

import matplotlib
import matplotlib.ticker
import report

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  (after its backend)

COLOURS = {"fp32": "#1f5fa8", "bf16": "#c8541b", "fp16": "#3a8a3a"}
STYLE = {"figure.figsize": (9, 5.4), "figure.dpi": 110, "font.size": 10, "axes.grid": True, "grid.alpha": 0.3,
         "axes.spines.top": False, "axes.spines.right": False}


def short(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def plain_ticks(axis, ticks):
    axis.set_major_locator(matplotlib.ticker.FixedLocator(ticks))
    axis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    axis.set_minor_locator(matplotlib.ticker.NullLocator())


TICKS = [m * 10.0**e for e in range(-3, 6) for m in (1, 2, 5)]


def title(f, what):
    name = f["machine"]["gpu"] or f"{f['machine']['cpu']}, {report.runs(f)[0]['threads']} threads"
    plt.title(f"{what}\n{name}, {f['started'][:10]}", fontsize=10, loc="left")


def save(f, name):
    plt.tight_layout()
    plt.savefig(os.path.join(report.RESULTS, f"{f['stem']}_{name}.png"), metadata={"Software": None})
    plt.close()


def latency(f):
    labels = [(model, size) for model in report.DEPTH for size in (448, 518)]
    for run in report.runs(f):
        found = [(i, report.tower(run, *label, 1)) for i, label in enumerate(labels)]
        found = [(i, t) for i, t in found if t]
        colour = COLOURS[run["dtype"]]
        plt.plot([i for i, _ in found], [1e3 * t[0] for _, t in found], "o-", color=colour, label=run["dtype"])
        plt.plot([i for i, _ in found], [1e3 * t[1] for _, t in found], "_--", color=colour, alpha=0.6, label=f"{run['dtype']}, floor")
        for i, t in found:
            plt.annotate(short(1e3 * t[0]), (i, 1e3 * t[0]), textcoords="offset points", xytext=(0, 7), ha="center", fontsize=8, color=colour)
    plt.xticks(range(len(labels)), [f"{model}\n{size} x {size}" for model, size in labels])
    plt.yscale("log")
    plain_ticks(plt.gca().yaxis, TICKS)
    plt.ylabel("ms a window (log), operations added up")
    plt.legend()
    title(f, "One window through the vision tower")
    save(f, "latency")


def batch(f):
    styles = {"ViT-S/14": "o-", "ViT-B/14": "s-", "ViT-L/14": "^-"}
    batches = (1, 2, 4, 8, 16, 32, 64)
    for run in report.runs(f):
        for model, style in styles.items():
            found = [(n, report.tower(run, model, 448, n)) for n in batches]
            found = [(n, t) for n, t in found if t]
            if not found:
                continue
            plt.plot([n for n, _ in found], [n / t[0] for n, t in found], style, color=COLOURS[run["dtype"]], label=f"{model}, {run['dtype']}")
            plt.plot([n for n, _ in found], [n / t[1] for n, t in found], ":", color=COLOURS[run["dtype"]], alpha=0.6)
    plt.xscale("log", base=2)
    plt.xticks(batches, batches)
    plt.yscale("log")
    plain_ticks(plt.gca().yaxis, TICKS)
    plt.xlabel("windows of 448 x 448 in a batch (log)")
    plt.ylabel("windows a second (log); dotted: by the floor")
    plt.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    title(f, "The vision tower over the batch, operations added up")
    save(f, "batch")


def roofline(f):
    import numpy as np
    plt.figure(figsize=(9.5, 6.4))
    x = np.logspace(-2, 3.6, 200)
    marks = {"fp32": "o", "bf16": "s", "fp16": "^"}
    names = {}
    for run in report.runs(f):
        r, colour = run["roofs"], COLOURS[run["dtype"]]
        copies = [c["bytes_per_second"] for c in r["copies"]]
        product, arithmetic = r["product_flop_per_second"], r["arithmetic_flop_per_second"]
        plt.plot(x, np.minimum(x * copies[-1], product) / 1e9, color=colour, label=f"{run['dtype']}: copy of 512 MiB, large product")
        if run["dtype"] == "fp32":
            plt.plot(x, np.minimum(x * max(copies), arithmetic) / 1e9, "--", color="grey", label="best copy in cache, fp32 multiply-adds")
        for row in run["rows"]:
            wanted = (row["model"], row["size"], row["batch"]) == ("ViT-B/14", 448, 1) and row["classes"] in (0, 150)
            readout = row["operation"] == "readout" and row["classes"] == 150
            if not (wanted or readout) or not row["flop"]:
                continue
            name = row["operation"] + (f", {row['variant']}" if row["variant"] else "")
            if readout:
                name += " " + row["dims"].split("-> ")[1].split(",")[0]
            number = names.setdefault(name, len(names) + 1)
            at = row["flop"] / row["bytes"], row["flop"] / report.median(row) / 1e9
            plt.plot(*at, marks[run["dtype"]], color=colour, markersize=5)
            plt.annotate(str(number), at, textcoords="offset points",
                         xytext=((5, -3), (-4, 6), (-4, -12), (-14, -3))[number % 4], fontsize=8, color=colour)
    plt.xscale("log")
    plt.yscale("log")
    plt.ylim(0.3, None)
    plt.xlabel("operations a byte that must move (log)")
    plt.ylabel("GFLOP/s (log)")
    plt.legend(fontsize=8, loc="upper left")
    plt.figtext(0.735, 0.5, "\n".join(f"{n:2d}  {name}" for name, n in names.items()), fontsize=7.5, va="center")
    title(f, "ViT-B/14, one window of 448 x 448, 150 classes")
    plt.tight_layout(rect=(0, 0, 0.74, 1))
    plt.savefig(os.path.join(report.RESULTS, f"{f['stem']}_roofline.png"), metadata={"Software": None})
    plt.close()


def share(f):
    """A window of ViT-B, whole, to its mask: operations times how often they run."""
    bars = {}
    for run in report.runs(f):
        parts = [("embed", 1, report.find(run, "embed", "cut out", "ViT-B/14", 448, 1))]
        parts += [(report.NAMES[key], report.DEPTH["ViT-B/14"] * report.BLOCK.count(key), report.find(run, *key, "ViT-B/14", 448, 1))
                  for key in dict.fromkeys(report.BLOCK)]
        masks = report.runs(f)[0]  # fp32 in every type
        for operation, variant in (("unit_rows", ""), ("similarity", "sigmoid")):
            rows = [r for r in masks["rows"] if (r["operation"], r["variant"], r["model"], r["size"], r["batch"]) ==
                    (operation, variant, "ViT-B/14", 448, 1) and r["classes"] in (0, 150)]
            parts.append((operation.replace("_", " "), 1, rows[0] if rows else None))
        rows = [r for r in masks["rows"] if r["operation"] == "readout" and r["variant"] == "whole" and r["classes"] == 150
                and "448 x 448" in r["dims"]]
        parts.append(("read out", 1, rows[0] if rows else None))
        bars[run["dtype"]] = [(name, 1e3 * times * report.median(row), 1e3 * times * report.floor((run if name in
                               [*report.NAMES.values(), "embed"] else masks)["roofs"], row)[0]) for name, times, row in parts if row]
    height = 0.8 / max(len(bars), 1)
    for k, (dtype, parts) in enumerate(bars.items()):
        at = [i + k * height for i in range(len(parts))]
        plt.barh(at, [p[1] for p in parts], height, color=COLOURS[dtype], label=f"{dtype}: {sum(p[1] for p in parts):.0f} ms in all")
        plt.barh(at, [p[2] for p in parts], height, color="none", edgecolor="black", linewidth=0.9, label="floor" if k == 0 else None)
        for y, p in zip(at, parts):
            plt.text(max(p[1], p[2]), y, f" {p[1]:.3g}", va="center", fontsize=8)
        names = [p[0] for p in parts]
    plt.yticks([i + height * (len(bars) - 1) / 2 for i in range(len(names))], names)
    plt.gca().invert_yaxis()
    plt.xlabel("ms a window; all twelve blocks together")
    plt.legend()
    title(f, "ViT-B/14, one window of 448 x 448, 150 classes: time by operation, added up")
    save(f, "share")


def peers(f):
    tasks = [t for t in f["peers"]["tasks"] if t["rows"]]
    figure, axes = plt.subplots(len(tasks), 1, figsize=(9, 1.2 + 0.27 * sum(len(t["rows"]) + 2 for t in tasks)),
                                gridspec_kw={"height_ratios": [len(t["rows"]) + 1 for t in tasks]}, squeeze=False)
    for ax, task in zip(axes[:, 0], tasks):
        rows = sorted(task["rows"], key=lambda r: (r["dtype"] != "fp32", report.median(r)))
        middle = [1e3 * report.median(r) for r in rows]
        low = [m - 1e3 * min(r["samples_seconds"]) for m, r in zip(middle, rows)]
        high = [1e3 * max(r["samples_seconds"]) - m for m, r in zip(middle, rows)]
        ours = [r["contender"] == "ours" for r in rows]
        bars = ax.barh(range(len(rows)), middle, xerr=[low, high], color=[COLOURS[r["dtype"]] for r in rows], error_kw={"elinewidth": 0.8})
        for bar, mine in zip(bars, ours):
            bar.set_alpha(1 if mine else 0.45)
        for i, (m, h) in enumerate(zip(middle, high)):
            ax.text(m + h, i, " " + short(m), va="center", fontsize=8)
        ax.set_yticks(range(len(rows)), [f"{r['contender']}, {r['dtype']}" for r in rows], fontsize=8)
        ax.invert_yaxis()
        ax.set_xlim(0, 1.12 * max(m + h for m, h in zip(middle, high)))
        ax.set_title(f"{task['task']}: ms; bars median, lines least to most", fontsize=9, loc="left")
    name = f["machine"]["gpu"] or f"{f['machine']['cpu']}, {f['peers']['threads']} threads"
    figure.suptitle(f"Beside others, in turns: {name}, {f['started'][:10]}", fontsize=10, x=0.01, ha="left")
    save(f, "peers")


def draw(f):
    with plt.rc_context(STYLE):
        if report.runs(f):
            for plot in (latency, batch, roofline, share):
                plot(f)
        if f["peers"]:
            peers(f)
