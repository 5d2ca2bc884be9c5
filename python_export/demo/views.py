"""views.py -- square views of scenes: pairs with their matching patches for the vision tower, single ones for captions.

A view is a box (left, top, side) of a scene, resized to the tower's CROP.
"""

import cv2
import numpy as np
import torch

from demo import world
from demo.towers import CROP, GRID


def cut(plane, box, resize=cv2.INTER_AREA):
    left, top, side = box
    return cv2.resize(plane[top:top + side, left:left + side], (CROP, CROP), interpolation=resize)


def random_box(rng, smallest, largest, near=None):
    """A box inside the scene; `near` keeps its centre within a third of that box's side."""
    side = int(rng.uniform(smallest, largest))
    left, top = rng.uniform(0, world.WIDTH - side), rng.uniform(0, world.HEIGHT - side)
    if near is not None:
        away = rng.uniform(-0.33, 0.33, 2) * near[2]
        left = np.clip(near[0] + near[2] / 2 + away[0] - side / 2, 0, world.WIDTH - side)
        top = np.clip(near[1] + near[2] / 2 + away[1] - side / 2, 0, world.HEIGHT - side)
    return int(left), int(top), side


def busy_box(rng, picture, smallest, largest):
    """The more varied one of two boxes: flat sky is seen often enough."""
    boxes = [random_box(rng, smallest, largest) for _ in range(2)]
    return max(boxes, key=lambda b: picture[b[1]:b[1] + b[2]:8, b[0]:b[0] + b[2]:8].std(axis=(0, 1)).sum())


def matches(box, flip, other, other_flip):
    """For each patch of a view, the patch of the other view that shows its centre, or -1: [GRID * GRID]."""
    middle = (np.arange(GRID) + 0.5) / GRID
    columns = box[0] + (1 - middle if flip else middle) * box[2]
    rows = box[1] + middle * box[2]
    u, v = (columns - other[0]) / other[2], (rows - other[1]) / other[2]
    u = 1 - u if other_flip else u
    i, j = np.floor(u * GRID).astype(int), np.floor(v * GRID).astype(int)
    inside = ((i >= 0) & (i < GRID))[None, :] & ((j >= 0) & (j < GRID))[:, None]
    return np.where(inside, j[:, None] * GRID + i[None, :], -1).ravel()


def pairs(scenes, rng, count):
    """Two views each of `count` scenes, uint8 [2, count, CROP, CROP, 3], and the second's matches in the first."""
    pictures, matching = np.empty((2, count, CROP, CROP, 3), np.uint8), np.empty((count, GRID * GRID), np.int64)
    for n, k in enumerate(rng.integers(0, len(scenes), count)):
        picture = scenes.pictures[k]
        first = busy_box(rng, picture, 0.75 * CROP, 1.35 * CROP)
        second = random_box(rng, 0.75 * CROP, 1.35 * CROP, near=first)
        flips = rng.random(2) < 0.5
        for side, box, flip in ((0, first, flips[0]), (1, second, flips[1])):
            view = cut(picture, box)
            pictures[side, n] = view[:, ::-1] if flip else view
        matching[n] = matches(second, flips[1], first, flips[0])
    return pictures, matching


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


def hide(rng, count):
    """Masks for half of the views: one to three rectangles of patches, bool [count, GRID * GRID]."""
    masks = np.zeros((count, GRID, GRID), bool)
    for n in range(count):
        for _ in range(rng.integers(1, 4) * (rng.random() < 0.5)):
            height, width = rng.integers(2, 6, 2)
            top, left = rng.integers(0, GRID - height + 1), rng.integers(0, GRID - width + 1)
            masks[n, top:top + height, left:left + width] = True
    return masks.reshape(count, -1)
