"""warm_up.py -- the vision tower's first minutes: it learns to say which words of form and of colour a patch and its
surroundings have (appearance.py), also where the patch is hidden, and the CLS token which words the whole view has.

Form is read from the first two thirds of a feature, colour from the last.  Half of the views have their channels
changed about, which changes every colour and no form: so a car's direction is the same for all cars, and "red" adds
to it.  Clusters of an untrained teacher mean little, and self-distillation from them is slow to begin; from here it
is not.
"""

import numpy as np
import torch
from torch import nn

from demo.appearance import COLOUR_WORDS, COLUMNS, FORM_WORDS, ROWS, Colour, Form
from demo.stages import Stage, descend
from demo.towers import CROP, GRID, PATCH, REGISTERS, VISION_DIM, Vision
from demo.views import hide, relight

FORM_DIM = VISION_DIM * 2 // 3
SCENES = 1500
BATCH = 48
RATE, RAMP, DECAY = 2e-3, 40, 0.04
CLS_WEIGHT = 0.3


def change_channels(pictures, rng):
    """Half of uint8 [B, CROP, CROP, 3] with red, green and blue in another order."""
    for picture in pictures:
        if rng.random() < 0.5:
            picture[:] = picture[:, :, rng.permutation(3)]
    return pictures


class Words(nn.Module):
    """Says words of form and colour from features [..., VISION_DIM]: six tensors of logits."""

    def __init__(self):
        super().__init__()
        self.form = nn.ModuleList(nn.Linear(FORM_DIM, count) for count in FORM_WORDS)
        self.colour = nn.ModuleList(nn.Linear(VISION_DIM - FORM_DIM, count) for count in COLOUR_WORDS)

    def forward(self, features):
        return [head(features[..., :FORM_DIM]) for head in self.form] + \
            [head(features[..., FORM_DIM:]) for head in self.colour]


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.tower, self.patch_words, self.cls_words = Vision(), Words(), Words()


class Views:
    """Windows on the grid of patches, mirrored or not, with their words."""

    def __init__(self, scenes, seed):
        self.pictures = scenes.pictures[:SCENES]
        book = Form(scenes, seed)
        self.codes = np.stack([book.words(picture) for picture in self.pictures])
        self.colour = Colour(scenes, seed)

    def draw(self, rng):
        """uint8 [BATCH, CROP, CROP, 3], int64 [BATCH, 6, GRID * GRID]"""
        pictures = np.empty((BATCH, CROP, CROP, 3), np.uint8)
        form = np.empty((BATCH, len(FORM_WORDS), GRID * GRID), np.int64)
        for n, k in enumerate(rng.integers(0, len(self.pictures), BATCH)):
            row, column = rng.integers(0, ROWS - GRID + 1), rng.integers(0, COLUMNS - GRID + 1)
            view = self.pictures[k, row * PATCH:row * PATCH + CROP, column * PATCH:column * PATCH + CROP]
            code = self.codes[k, :, row:row + GRID, column:column + GRID]
            if rng.random() < 0.5:
                view, code = view[:, ::-1], code[..., ::-1]
            pictures[n], form[n] = view, code.reshape(len(FORM_WORDS), -1)
        change_channels(pictures, rng)
        return pictures, torch.cat([torch.from_numpy(form), self.colour.words(pictures)], 1)


def word_loss(said, wanted):
    """said: six [B, P, words]; wanted [B, 6, P]."""
    return sum(nn.functional.cross_entropy(logits.flatten(0, 1).float(), wanted[:, i].flatten())
               for i, logits in enumerate(said))


def bag_loss(said, wanted):
    """said: six [B, words]; the parts of each word among wanted [B, 6, P]."""
    total = 0
    for i, logits in enumerate(said):
        ones = torch.full(wanted[:, i].shape, 1 / wanted.shape[2])
        bag = torch.zeros(logits.shape).scatter_add_(1, wanted[:, i], ones)
        total = total - (bag * logits.float().log_softmax(-1)).sum(-1).mean()
    return total


def loss_of(reader, views, rng):
    pictures, wanted = views.draw(rng)
    with torch.autocast("cpu", torch.bfloat16):
        tokens, _ = reader.tower(relight(pictures, rng), torch.from_numpy(hide(rng, BATCH)))
        patches, seen = reader.patch_words(tokens[:, 1 + REGISTERS:]), reader.cls_words(tokens[:, 0])
    return word_loss(patches, wanted) + CLS_WEIGHT * bag_loss(seen, wanted)


def train(scenes, path, steps, seed, say):
    """The tower after `steps` steps; goes on from `path` where that stands."""
    torch.manual_seed(seed)
    reader = Reader()
    views = Views(scenes, seed)
    say(f"{len(views.pictures)} scenes in words")
    optimiser = torch.optim.AdamW(reader.parameters(), weight_decay=DECAY)

    def take(step):
        rate = (step + 1) / RAMP if step < RAMP else 0.5 * (1 + np.cos(np.pi * step / (1.1 * steps)))
        optimiser.param_groups[0]["lr"] = RATE * rate
        loss = loss_of(reader, views, np.random.default_rng((seed, 7, step)))
        descend(loss, optimiser, reader)
        return {"words": loss.item()}

    Stage("warm-up", path, steps, seed, say).run({"reader": reader, "optimiser": optimiser}, take)
    return reader.tower
