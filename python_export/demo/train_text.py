"""train_text.py -- the text tower, by contrast with pictures as CLIP's: which caption belongs to which view.

The picture's side is the frozen vision tower and a small network above it (as in LiT); only the text tower is kept.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from demo.pictures import batch, padded
from demo.stages import Stage, descend
from demo.towers import EMBED, TEXT_DIM, Text

BATCH = 256
RATE, WARM_UP, DECAY = 1.5e-3, 100, 0.05
START_SCALE, MOST_SCALE = math.log(1 / 0.07), math.log(100)  # CLIP's
WIDE = 384


class Pair(nn.Module):
    def __init__(self, vocabulary, seen):
        super().__init__()
        self.text = Text(vocabulary)
        self.picture = nn.Sequential(nn.Linear(seen, WIDE), nn.GELU(), nn.Linear(WIDE, EMBED))
        self.scale = nn.Parameter(torch.tensor(START_SCALE))

    def forward(self, seen, ids):
        with torch.autocast("cpu", torch.bfloat16):
            texts = self.text(ids)
        texts, pictures = F.normalize(texts.float(), dim=-1), F.normalize(self.picture(seen), dim=-1)
        logits = texts @ pictures.T * self.scale.clamp(max=MOST_SCALE).exp()
        target = torch.arange(len(logits))
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


def train(features, heads, texts, tokenizer, path, steps, seed, say):
    """The trained text tower; goes on from `path` where that stands."""
    torch.manual_seed(seed)
    seen = torch.cat([F.normalize(features, dim=-1), F.normalize(heads, dim=-1)], 1).flatten(1) * TEXT_DIM**0.5
    pair = Pair(tokenizer.size, seen.shape[1])
    optimiser = torch.optim.AdamW(pair.parameters(), RATE, weight_decay=DECAY)

    def take(step):
        rate = (step + 1) / WARM_UP if step < WARM_UP else 0.5 * (1 + math.cos(math.pi * step / steps))
        optimiser.param_groups[0]["lr"] = RATE * rate
        views, lines = batch(texts, BATCH, np.random.default_rng((seed, 1, step)))
        loss = pair(seen[views], padded([tokenizer.encode(line) for line in lines]))
        descend(loss, optimiser, pair)
        return {"contrast": loss.item()}

    Stage("text", path, steps, seed, say).run({"pair": pair, "optimiser": optimiser}, take)
    return pair.text
