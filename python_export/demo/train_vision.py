"""train_vision.py -- the vision tower, from the world's own labels: what each patch shows, never a caption.

DINOv2 has this knowledge from 142 million photographs without labels.  At this size and with some hours of a small CPU
self-supervision did not reach it (README.md tells what was tried), so here labels stand in for those photographs.  A
patch's feature says its noun by the nearest of one set of unit vectors and its colour by another, so that a car has
one direction whatever its colour and "red" adds to it; the CLS token says what is there, however small, so that its
heads look at everything.  Words come later, and see only captions.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from demo import world
from demo.stages import Stage, descend
from demo.towers import REGISTERS, VISION_DIM, Vision
from demo.views import labelled, relight

BATCH = 64
RATE, WARM_UP, DECAY = 1.5e-3, 100, 0.05
SHARP = 20  # what cosines are multiplied with before the softmax
COLOUR_WEIGHT, CLS_WEIGHT = 0.3, 0.5
THERE = 0.02  # part of a view from which on the CLS token is to say it
CHECK_EVERY = 500


class Reader(nn.Module):
    """The tower, a unit vector for each noun and colour, and what reads the CLS token."""

    def __init__(self):
        super().__init__()
        self.tower = Vision()
        self.nouns = nn.Parameter(torch.randn(len(world.NOUNS), VISION_DIM))
        self.colours = nn.Parameter(torch.randn(len(world.COLOURS), VISION_DIM))
        self.seen = nn.Linear(VISION_DIM, len(world.NOUNS) + len(world.COLOURS))

    def forward(self, pictures):
        """Logits of each patch's noun and colour [B, P, ...], and of what the view holds [B, nouns + colours]."""
        with torch.autocast("cpu", torch.bfloat16):
            tokens, _ = self.tower(pictures)
            seen = self.seen(tokens[:, 0])
        patches = F.normalize(tokens[:, 1 + REGISTERS:].float(), dim=-1)
        return (SHARP * patches @ F.normalize(self.nouns, dim=-1).T,
                SHARP * patches @ F.normalize(self.colours, dim=-1).T, seen.float())


def losses(reader, pictures, nouns, colours):
    """nouns, colours: the part each has of each patch [B, P, ...]; a patch without coloured things has no colour."""
    said_nouns, said_colours, seen = reader(pictures)
    noun_loss = -(nouns * said_nouns.log_softmax(-1)).sum(-1).mean()
    colour_loss = -(colours * said_colours.log_softmax(-1)).sum() / colours.sum().clamp_min(1)
    there = torch.cat([nouns.mean(1), colours.mean(1)], 1) > THERE
    return noun_loss, colour_loss, F.binary_cross_entropy_with_logits(seen, there.float())


def rate_at(step, steps):
    return RATE * min(1, (step + 1) / WARM_UP) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def train(scenes, path, steps, seed, say, check):
    """The tower after `steps` steps; goes on from `path` where that stands.  `check(tower, step)` is called now and
    then, and at the end."""
    torch.manual_seed(seed)
    reader = Reader()
    optimiser = torch.optim.AdamW(reader.parameters(), RATE, weight_decay=DECAY)

    def take(step):
        optimiser.param_groups[0]["lr"] = rate_at(step, steps)
        rng = np.random.default_rng((seed, step))
        pictures, nouns, colours = labelled(scenes, rng, BATCH)
        forms, hues, whole = losses(reader, relight(pictures, rng), nouns, colours)
        descend(forms + COLOUR_WEIGHT * hues + CLS_WEIGHT * whole, optimiser, reader)
        if (step + 1) % CHECK_EVERY == 0 or step + 1 == steps:
            check(reader.tower, step + 1)
            reader.train()
        return {"nouns": forms.item(), "colours": hues.item(), "views": whole.item()}

    Stage("vision", path, steps, seed, say).run({"reader": reader, "optimiser": optimiser}, take)
    return reader.tower
