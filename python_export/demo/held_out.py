"""held_out.py -- scenes that training never saw, as a data set of `t2d eval`: pictures, labels and presets.

    FOLDER/scenes/pictures/00000.png    FOLDER/nouns.json      every class by its plain name
    FOLDER/scenes/labels/00000.png      FOLDER/phrases.json    things by colour and noun: "red car"

A label file's value says noun and colour; the presets map it to their classes.
"""

import json
import os

import numpy as np
from PIL import Image

from demo import scenes, world

COLOURS = list(world.COLOURS)
PHRASES = [(noun, colour) for noun in world.COLOURED for colour in COLOURS]


def value_of(thing):
    """In a label file: a noun's place, or the place of noun and colour after all nouns."""
    if thing.noun not in world.COLOURED:
        return world.NOUNS.index(thing.noun)
    return len(world.NOUNS) + PHRASES.index((thing.noun, thing.colour))


def labels_of(scene):
    """uint8 [HEIGHT, WIDTH]"""
    table = np.array([0] + [value_of(thing) for thing in scene.things], np.uint8)
    return np.where(scene.owners > 0, table[scene.owners], scene.labels)


def preset(name, title, classes, wanted):
    """`wanted`: the class of each value of a label file."""
    return {"name": name, "title": title, "root": "scenes", "pictures": "pictures", "labels": "labels",
            "picture_suffix": ".png", "classes": classes,
            "label_files": [{"suffix": ".png", "map": {str(v): str(c) for v, c in enumerate(wanted)}}]}


def nouns_preset():
    wanted = [*range(len(world.NOUNS)), *(world.NOUNS.index(noun) for noun, _ in PHRASES)]
    return preset("demo_nouns", "the demo's world, plain names", list(world.NOUNS), wanted)


def phrases_preset():
    """No thing that has a colour is asked for without it."""
    plain = [noun for noun in world.NOUNS if noun not in world.COLOURED]
    classes = plain + [f"{colour} {noun}" for noun, colour in PHRASES]
    wanted = [plain.index(noun) if noun in plain else "ignore" for noun in world.NOUNS]
    return preset("demo_phrases", "the demo's world, things by colour and noun", classes,
                  [*wanted, *range(len(plain), len(classes))])


def write(folder, first, count):
    """`count` scenes from the `first` on, drawn now."""
    for name in ("pictures", "labels"):
        os.makedirs(os.path.join(folder, "scenes", name))
    for i in range(count):
        scene = world.scene(scenes.HELD_OUT + first + i, held_out=True)
        Image.fromarray(scene.picture).save(os.path.join(folder, "scenes/pictures", f"{i:05d}.png"))
        Image.fromarray(labels_of(scene)).save(os.path.join(folder, "scenes/labels", f"{i:05d}.png"))
    for name, made in (("nouns", nouns_preset()), ("phrases", phrases_preset())):
        with open(os.path.join(folder, f"{name}.json"), "w", encoding="utf-8") as file:
            json.dump(made, file, indent=1)
