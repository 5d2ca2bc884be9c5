#!/usr/bin/env python3
"""evaluate.py -- mIoU of a model on held-out scenes, counted by `t2d eval`; see --help.

Two questions.  Nouns: every class by its plain name.  Phrases: things that come in colours by colour and noun, so that
a red car must be told from a blue one.  Beside them what a psi of random weights finds, and labels drawn at random.
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
    from demo import held_out, random_psi, world
    from refusal import Misuse, Refused
except ImportError as problem:
    sys.exit(f"evaluate.py: {problem}; Debian: apt install python3-numpy python3-opencv python3-pil python3-xxhash")

QUESTIONS = ("nouns", "phrases")


def count(options, model, folder, question):
    """What `t2d eval` says of a preset: its report."""
    with tempfile.TemporaryDirectory() as results:
        command = [options.t2d, "eval", "--preset", os.path.join(folder, question + ".json"), "--data", folder, "-m",
                   model, "-o", os.path.join(results, "pictures.jsonl"), "--bootstrap", "0", "-q", "--json",
                   *options.more.split()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Refused(f"{' '.join(command[:2])}: {done.stderr.strip()[:400]}")
        return json.loads(done.stdout)


def ious(report):
    """By class name, of classes that are in the scenes: one that none shows has no right pixel to find."""
    return {c["name"]: c["both"] / (c["truth"] + c["found"] - c["both"]) for c in report["classes"] if c["truth"]}


def by_chance(report):
    """The same report, expected of labels drawn evenly at random."""
    even = report["pixels"] / len(report["classes"])
    return {**report, "classes": [{**c, "found": even, "both": c["truth"] / len(report["classes"])}
                                  for c in report["classes"]]}


def phrases_of(found):
    return {pair: found[" ".join(reversed(pair))] for pair in held_out.PHRASES if " ".join(reversed(pair)) in found}


def mean(values):
    return float(np.mean(list(values)))


def scores(reports):
    """mIoU of nouns; of phrases (not of the grounds among them); of phrases never drawn for training."""
    nouns, pairs = ious(reports["nouns"]), phrases_of(ious(reports["phrases"]))
    return {"nouns": mean(nouns.values()), "phrases": mean(pairs.values()),
            "unseen_phrases": mean(value for pair, value in pairs.items() if pair in world.HELD_OUT)}


def show_classes(reports):
    for noun, value in ious(reports["nouns"]).items():
        print(f"  {noun:<10} {value:.3f}")
    pairs = phrases_of(ious(reports["phrases"]))
    print(f"\n{'':10}" + "".join(f"{colour:>9}" for colour in world.COLOURS) + "   (* never drawn for training)")
    for noun in world.COLOURED:
        cells = [(f"{pairs[noun, colour]:.2f}" if (noun, colour) in pairs else "-") +
                 ("*" if (noun, colour) in world.HELD_OUT else " ") for colour in world.COLOURS]
        print(f"{noun:<10}" + "".join(f"{cell:>9}" for cell in cells))


def show_scores(trained, untrained, random):
    rows = [("plain names", "nouns"), ("colour and noun", "phrases"), ("of these, never drawn", "unseen_phrases")]
    print(f"\n{'mIoU':<24}{'model':>8}{'random psi':>12}{'chance':>8}")
    for title, key in rows:
        print(f"{title:<24}{trained[key]:>8.3f}{untrained[key]:>12.3f}{random[key]:>8.3f}")


def evaluate_in(folder, options):
    held_out.write(folder, options.first, options.scenes)
    say(f"{options.scenes} held-out scenes, drawn now")
    blank = os.path.join(folder, "random_psi.safetensors")
    random_psi.write(options.model, blank)
    reports = {question: count(options, options.model, folder, question) for question in QUESTIONS}
    show_classes(reports)
    trained = scores(reports)
    untrained = scores({question: count(options, blank, folder, question) for question in QUESTIONS})
    random = scores({question: by_chance(reports[question]) for question in QUESTIONS})
    show_scores(trained, untrained, random)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"scenes": options.scenes, "first": options.first, **trained, "random_psi": untrained,
                       "chance": random}, file, indent=1)


def evaluate(options):
    if options.keep:
        if os.path.exists(options.keep):
            raise Misuse(f"--keep {options.keep}: is there already; want the name of a new folder")
        os.makedirs(options.keep)
        evaluate_in(options.keep, options)
        return
    with tempfile.TemporaryDirectory() as folder:
        evaluate_in(folder, options)


def parse(arguments):
    parser = Parser(prog="evaluate.py", description="mIoU of a model on held-out scenes of the demo's world.")
    parser.add_argument("-m", "--model", metavar="FILE", required=True)
    parser.add_argument("--t2d", metavar="FILE", default="t2d", help="the command (default: the one on PATH)")
    parser.add_argument("--scenes", type=positive, default=200, metavar="N")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first scene")
    parser.add_argument("--keep", metavar="DIR", help="leave scenes and presets here: a data set for t2d eval")
    parser.add_argument("--more", metavar="OPTIONS", default="", help="further options of t2d eval, in one word")
    parser.add_argument("--json", metavar="FILE", help="the scores, for programs")
    options = parser.parse_args(arguments)
    if options.first < 0:
        raise Misuse(f"--first is {options.first}; want a whole number from 0")
    return options


if __name__ == "__main__":
    sys.exit(run("evaluate.py", lambda: evaluate(parse(sys.argv[1:]))))
