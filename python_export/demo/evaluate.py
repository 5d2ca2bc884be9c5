#!/usr/bin/env python3
"""evaluate.py -- mIoU of a model on held-out scenes, through `t2d segment` itself; see --help.

Two questions.  Nouns: every class by its plain name.  Phrases: for each noun that comes in colours, the eight phrases
"red car", "blue car" ... take the place of "car" among the plain names, in the scenes that show one.  Beside them what
labels drawn at random would give.
"""

import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

try:
    import numpy as np
    from commands import Parser, positive, run, say
    from demo import scenes, world
    from PIL import Image
    from refusal import Misuse, Refused
except ImportError as problem:
    sys.exit(f"evaluate.py: {problem}; Debian: apt install python3-numpy python3-opencv python3-pil python3-xxhash")


def owners_phrases(scene, noun):
    """Labels with the place of noun taken by its colours: len(NOUNS) + colour, where the noun is."""
    colours = list(world.COLOURS)
    table = np.array([0] + [len(world.NOUNS) + colours.index(t.colour) if t.noun == noun else 0 for t in scene.things])
    phrase = table[scene.owners]
    return np.where(phrase > 0, phrase, scene.labels)


def segment(options, pictures, words, folder):
    """Masks by picture, from the command."""
    out = tempfile.mkdtemp(dir=folder)
    command = [options.t2d, "segment", *pictures, "-m", options.model, "-c", ",".join(words), "-o", out, "-q",
               *options.more.split()]
    if len(pictures) == 1:
        command[command.index(out)] = os.path.join(out, os.path.basename(pictures[0])[:-4] + "_mask.png")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(f"{options.t2d}: {done.stderr.strip()[:400]}")
    names = sorted(os.listdir(out))
    return [np.asarray(Image.open(os.path.join(out, name))) for name in names]


def counted(found, wanted, classes):
    return np.bincount(wanted.astype(np.int64).ravel() * classes + found.ravel(), minlength=classes * classes) \
        .reshape(classes, classes)


def mean(values):
    """NaN of none: few scenes may show no thing in a colour."""
    return float(np.mean(list(values))) if values else float("nan")


def iou_of(table):
    """Per class; NaN for one that is neither there nor found."""
    union = table.sum(0) + table.sum(1) - np.diag(table)
    return np.where(union > 0, np.diag(table) / np.maximum(union, 1), np.nan)


def chance(labels, classes):
    """Expected IoU of labels drawn evenly at random."""
    part = np.bincount(labels.ravel(), minlength=classes)[:classes] / labels.size
    part = part[part > 0]
    return float(np.mean(part / classes / (part + 1 / classes - part / classes)))


def nouns(options, drawn, pictures, folder):
    found = segment(options, pictures, world.NOUNS, folder)
    table = sum(counted(f, s.labels, len(world.NOUNS)) for f, s in zip(found, drawn))
    return iou_of(table), float(np.trace(table) / table.sum())


def phrases(options, drawn, pictures, folder):
    """IoU by (colour, noun), of those that are in the scenes."""
    result, by_chance = {}, []
    for noun in world.COLOURED:
        chosen = [i for i, s in enumerate(drawn) if (s.labels == world.NOUNS.index(noun)).any()]
        if not chosen:
            continue
        others = [n for n in world.NOUNS if n != noun]
        words = [*others, *(f"{colour} {noun}" for colour in world.COLOURS)]
        size = len(world.NOUNS) + len(world.COLOURS)
        ids = np.array([world.NOUNS.index(n) for n in others] + list(range(len(world.NOUNS), size)))
        found = segment(options, [pictures[i] for i in chosen], words, folder)
        wanted = [owners_phrases(drawn[i], noun) for i in chosen]
        table = sum(counted(ids[f], w, size) for f, w in zip(found, wanted))
        iou = iou_of(table)[len(world.NOUNS):]
        by_chance.append(chance(np.stack(wanted), size))
        for colour, value, pixels in zip(world.COLOURS, iou, table.sum(1)[len(world.NOUNS):]):
            if pixels:
                result[colour, noun] = value
    return result, mean(by_chance)


def report(iou, right, coloured):
    for noun, value in zip(world.NOUNS, iou):
        print(f"  {noun:<10} {value:.3f}")
    print(f"nouns: mIoU {np.nanmean(iou):.4f}, pixels right {right:.4f}")
    for noun in world.COLOURED:
        print(f"  {noun:<10} " + " ".join(f"{c}{'*' if (noun, c) in world.HELD_OUT else ''} {coloured[c, noun]:.2f}"
                                          for c in world.COLOURS if (c, noun) in coloured))
    rare = [v for (c, n), v in coloured.items() if (n, c) in world.HELD_OUT]
    print(f"phrases: mIoU {mean(coloured.values()):.4f}; of the pairs never drawn for training (*) {mean(rare):.4f}")


def evaluate(options):
    drawn = [world.scene(scenes.HELD_OUT + options.first + i, held_out=True) for i in range(options.scenes)]
    with tempfile.TemporaryDirectory() as folder:
        pictures = []
        for i, scene in enumerate(drawn):
            pictures.append(os.path.join(folder, f"{i:05d}.png"))
            Image.fromarray(scene.picture).save(pictures[-1])
        say(f"{len(drawn)} held-out scenes, drawn now")
        iou, right = nouns(options, drawn, pictures, folder)
        coloured, by_chance = phrases(options, drawn, pictures, folder)
        report(iou, right, coloured)
        print(f"chance: nouns {chance(np.stack([s.labels for s in drawn]), len(world.NOUNS)):.4f}, "
              f"phrases {by_chance:.4f}")
        if options.json:
            with open(options.json, "w", encoding="utf-8") as file:
                json.dump({"nouns": float(np.nanmean(iou)), "phrases": mean(coloured.values()),
                           "scenes": len(drawn)}, file)


def parse(arguments):
    parser = Parser(prog="evaluate.py", description="mIoU of a model on held-out scenes of the demo's world.")
    parser.add_argument("-m", "--model", metavar="FILE", required=True)
    parser.add_argument("--t2d", metavar="FILE", default="t2d", help="the command (default: the one on PATH)")
    parser.add_argument("--scenes", type=positive, default=200, metavar="N")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first scene")
    parser.add_argument("--more", metavar="OPTIONS", default="", help="further options of t2d segment, in one word")
    parser.add_argument("--json", metavar="FILE", help="the two mIoU, for programs")
    options = parser.parse_args(arguments)
    if options.first < 0:
        raise Misuse(f"--first is {options.first}; want a whole number from 0")
    return options


if __name__ == "__main__":
    sys.exit(run("evaluate.py", lambda: evaluate(parse(sys.argv[1:]))))
