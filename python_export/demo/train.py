#!/usr/bin/env python3
"""train.py -- the demo model from nothing: scenes, vision tower, text tower, psi, export; see --help and README.md.

Every stage leaves a file in the working folder and is skipped where that stands; a stage that was interrupted goes on.
To make a stage again delete its file and those of the stages after it: vision.pth, views.pt, merges.pt, text.pth,
psi.pth.
"""

import os
import sys

EXPORT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, EXPORT)

try:
    import cv2
    import torch
    import export
    from commands import Parser, check_output, positive, run, say
    from demo import bpe, pictures, probe, scenes, train_psi, train_text, train_vision, world
    from demo.stages import Work
    from demo.towers import CROP, Text, Vision
    from refusal import Misuse, Refused
except ImportError as problem:
    sys.exit(f"train.py: {problem}; Debian: apt install python3-torch python3-opencv, pip install safetensors xxhash")

CHECK_SCENES = 100
# What the model file says of its windows: those of training, overlapping about as the published ones do, over pictures
# of the scenes' size.
SEGMENT = ("--crop", CROP, "--stride", 49, "--short-side", world.HEIGHT, "--templates", "simple", "--license",
           "Apache-2.0")


class Interrupted(Refused):
    exit_code = 130


def vision_tower(work, options):
    drawn = scenes.load(work.folder, options.scenes)
    unseen = scenes.load(work.folder, min(CHECK_SCENES, options.scenes), held_out=True)

    def check(trained, step):
        _, mean, right = probe.probe(trained, drawn, unseen)
        say(f"vision {step}: a linear probe of the patches reads nouns with mIoU {mean:.3f}, "
            f"colours with accuracy {right:.3f}")

    def trained(path):
        return train_vision.train(drawn, path, options.vision_steps, options.seed, say, check).state_dict()

    tower = Vision()
    tower.load_state_dict(work.made("vision.pth", trained))
    return tower.eval()


def text_tower(work, options, views):
    def trained(path):
        return train_text.train(*views, tokenizer, path, options.text_steps, options.seed, say).state_dict()

    learned = work.made("merges.pt", lambda _: bpe.learn(line for lines in views[2] for line in lines))
    tokenizer = bpe.Tokenizer(learned)
    bpe.write(work.path("merges.txt"), learned)
    tower = Text(tokenizer.size)
    tower.load_state_dict(work.made("text.pth", trained))
    return tower.eval(), tokenizer


def train_all(options):
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)
    check_output(options.output)
    work = Work(options.work)
    tower = vision_tower(work, options)
    views = work.made("views.pt", lambda _: pictures.collect(tower, scenes.load(work.folder, options.scenes),
                                                             options.seed, say))
    text, tokenizer = text_tower(work, options, views)
    work.made("psi.pth", lambda path: train_psi.train(text, tokenizer, views[1], views[2], path, options.psi_steps,
                                                      options.seed, say).state_dict())
    export.export(export.parse([
        "--dinov2", work.path("vision.pth"), "--clip", work.path("text.pth"), "--psi", work.path("psi.pth"),
        "--merges", work.path("merges.txt"), "--dtype", "fp16", "-o", options.output, *map(str, SEGMENT)]))


def train(options):
    try:
        train_all(options)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; the same command goes on from what {options.work} holds") from None


def parse(arguments):
    parser = Parser(prog="train.py", description="Trains the demo model and exports it.  The same command goes on "
                    "after an interruption.")
    parser.add_argument("--work", metavar="DIR", required=True, help="for scenes (3 GB of 4000) and what stages leave")
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="the model file")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(%(default)s)")
    parser.add_argument("--threads", type=positive, default=os.cpu_count(), metavar="N")
    parser.add_argument("--scenes", type=positive, default=4000, metavar="N", help="drawn for training (%(default)s)")
    for name, steps in (("vision", 3000), ("text", 2000), ("psi", 1000)):
        parser.add_argument(f"--{name}-steps", type=positive, default=steps, metavar="N", help="(%(default)s)")
    options = parser.parse_args(arguments)
    if options.seed < 0:
        raise Misuse(f"--seed is {options.seed}; want a whole number from 0")
    return options


if __name__ == "__main__":
    sys.exit(run("train.py", lambda: train(parse(sys.argv[1:]))))
