"""views.py -- square views of scenes, for the vision tower with the labels of their patches.

A view is a box (left, top, side) of a scene, resized to the tower's CROP.
"""

import cv2
import numpy as np
import torch

from demo import world
from demo.towers import CROP, GRID, PATCH

COLOUR_IDS = {name: i for i, name in enumerate(world.COLOURS)}
NO_COLOUR = len(COLOUR_IDS)


def cut(plane, box, resize=cv2.INTER_AREA):
    left, top, side = box
    return cv2.resize(plane[top:top + side, left:left + side], (CROP, CROP), interpolation=resize)


def random_box(rng, smallest, largest):
    side = int(rng.uniform(smallest, largest))
    return int(rng.uniform(0, world.WIDTH - side)), int(rng.uniform(0, world.HEIGHT - side)), side


def busy_box(rng, picture, smallest, largest):
    """The more varied one of two boxes: flat sky is seen often enough."""
    boxes = [random_box(rng, smallest, largest) for _ in range(2)]
    return max(boxes, key=lambda b: picture[b[1]:b[1] + b[2]:8, b[0]:b[0] + b[2]:8].std(axis=(0, 1)).sum())


def parts(plane, count):
    """The part that each of the values 0..count-1 has of each patch of a plane [CROP, CROP]: [P, count]."""
    tiles = plane.reshape(GRID, PATCH, GRID, PATCH).transpose(0, 2, 1, 3).reshape(GRID * GRID, -1).astype(np.int64)
    cells = (np.arange(len(tiles))[:, None] * count + tiles).ravel()
    return np.bincount(cells, minlength=len(tiles) * count).reshape(-1, count) / np.float32(tiles.shape[1])


def colours_of(things):
    """By owner: a colour's id, or NO_COLOUR."""
    return np.array([NO_COLOUR] + [COLOUR_IDS.get(thing.colour, NO_COLOUR) for thing in things], np.uint8)


def labelled(scenes, rng, count):
    """Views of random scenes, mirrored or not: pictures uint8 [count, CROP, CROP, 3], and the part that each noun and
    each colour has of each patch, fp32 [count, P, nouns] and [count, P, colours]."""
    pictures = np.empty((count, CROP, CROP, 3), np.uint8)
    nouns = np.empty((count, GRID * GRID, len(world.NOUNS)), np.float32)
    colours = np.empty((count, GRID * GRID, NO_COLOUR), np.float32)
    for n, k in enumerate(rng.integers(0, len(scenes), count)):
        box = busy_box(rng, scenes.pictures[k], 0.75 * CROP, 1.35 * CROP)
        view = cut(scenes.pictures[k], box)
        labels, owners = (cut(plane[k], box, cv2.INTER_NEAREST) for plane in (scenes.labels, scenes.owners))
        if rng.random() < 0.5:
            view, labels, owners = view[:, ::-1], labels[:, ::-1], owners[:, ::-1]
        pictures[n], nouns[n] = view, parts(labels, len(world.NOUNS))
        colours[n] = parts(colours_of(scenes.things[k])[owners], NO_COLOUR + 1)[:, :NO_COLOUR]
    return pictures, torch.from_numpy(nouns), torch.from_numpy(colours)


def relight(pictures, rng):
    """Other brightness, contrast, tint and noise for each; what is red stays red.  uint8 -> float 0..255."""
    count = len(pictures)
    gain = rng.uniform(0.85, 1.15, (count, 1, 1, 1)) * rng.uniform(0.96, 1.04, (count, 1, 1, 3))
    contrast = rng.uniform(0.85, 1.15, (count, 1, 1, 1))
    grain = rng.standard_normal((CROP, CROP, 3), dtype=np.float32)
    out = torch.from_numpy(pictures).float()
    out = ((out - 128) * torch.from_numpy(contrast).float() + 128) * torch.from_numpy(gain).float()
    for n, (shift, strength) in enumerate(zip(rng.integers(0, CROP, count), rng.uniform(0, 6, count))):
        out[n] += torch.from_numpy(np.roll(grain, shift, 0) * np.float32(strength))
    return out.clamp_(0, 255)
