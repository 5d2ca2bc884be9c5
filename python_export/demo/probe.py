"""probe.py -- how much a linear map reads from the patches: a measurement while training, never a part of it."""

import numpy as np
import torch
import torch.nn.functional as F

from demo import world
from demo.towers import CROP, GRID, PATCH, REGISTERS

LISTED = list(world.COLOURS)


def patch_labels(plane):
    """The commonest value of each patch of a uint8 plane [CROP, CROP]."""
    tiles = plane.reshape(GRID, PATCH, GRID, PATCH).transpose(0, 2, 1, 3).reshape(GRID * GRID, -1)
    counts = np.stack([np.bincount(t, minlength=256) for t in tiles])
    return counts.argmax(1)


def samples(scenes, count, seed):
    """Views of natural size, their patches' nouns, and colours (-1 where there is none)."""
    rng = np.random.default_rng(seed)
    pictures, nouns, colours = [], [], []
    for k in rng.integers(0, len(scenes), count):
        left, top = rng.integers(0, world.WIDTH - CROP), rng.integers(0, world.HEIGHT - CROP)
        window = (slice(top, top + CROP), slice(left, left + CROP))
        pictures.append(scenes.pictures[k][window])
        nouns.append(patch_labels(scenes.labels[k][window]))
        owner = patch_labels(scenes.owners[k][window])
        names = [""] + [t.colour if t.noun in world.COLOURED else "" for t in scenes.things[k]]
        colours.append(np.array([LISTED.index(names[o]) if names[o] else -1 for o in owner]))
    return np.stack(pictures), torch.from_numpy(np.stack(nouns).ravel()), torch.from_numpy(np.stack(colours).ravel())


@torch.no_grad()
def patch_features(tower, pictures):
    tower.eval()
    with torch.autocast("cpu", torch.bfloat16):
        tokens = torch.cat([tower(torch.from_numpy(part))[0].float() for part in np.array_split(pictures, 8)])
    return F.normalize(tokens[:, 1 + REGISTERS:].flatten(0, 1), dim=-1)


def fit(features, targets, classes):
    """The unit vectors whose cosines, sharpened, say the targets best."""
    torch.manual_seed(0)
    weight = (0.1 * torch.randn(classes, features.shape[1])).requires_grad_()
    optimiser = torch.optim.Adam([weight], 0.05)
    for _ in range(250):
        loss = F.cross_entropy(40 * features @ F.normalize(weight, dim=-1).T, targets)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return F.normalize(weight.detach(), dim=-1)


def mean_iou(found, wanted, classes):
    table = torch.bincount(wanted * classes + found, minlength=classes * classes).view(classes, classes).float()
    iou = table.diag() / (table.sum(0) + table.sum(1) - table.diag())
    return iou, float(np.nanmean(iou.numpy()))


def probe(tower, train, held_out):
    """mIoU over patches of the best unit vector per noun, and the accuracy of the best one per colour."""
    (p0, n0, c0), (p1, n1, c1) = samples(train, min(128, len(train)), 1), samples(held_out, min(96, len(held_out)), 2)
    f0, f1 = patch_features(tower, p0), patch_features(tower, p1)
    weight = fit(f0, n0, len(world.NOUNS))
    iou, mean = mean_iou((f1 @ weight.T).argmax(1), n1, len(world.NOUNS))
    hue = fit(f0[c0 >= 0], c0[c0 >= 0], len(LISTED))
    right = ((f1[c1 >= 0] @ hue.T).argmax(1) == c1[c1 >= 0]).float().mean().item()
    return iou, mean, right
