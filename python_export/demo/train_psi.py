"""train_psi.py -- psi, from captions alone with the paper's loss; both towers are frozen.

Each caption's vector, sent through psi, chooses the head of its own picture that is nearest, and InfoNCE (scale
1 / 0.07, constant) makes it nearer to that than to the heads the other captions of the batch chose.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F

from demo.pictures import batch, padded
from demo.stages import Stage
from demo.towers import Psi

BATCH = 256
RATE = 1e-3
SCALE = 1 / 0.07


def loss_of(projected, heads):
    """projected [B, D], heads [B, heads, D]; the mean is not divided by B^2, which only Adam's eps would notice."""
    texts, heads = F.normalize(projected, dim=-1), F.normalize(heads, dim=-1)
    best = torch.einsum("bd,bhd->bh", texts.detach(), heads).argmax(1)
    logits = texts @ heads[torch.arange(len(heads)), best].T * SCALE
    target = torch.arange(len(logits))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


@torch.no_grad()
def encode_all(text, tokenizer, lines):
    """Features of many captions, each encoded once."""
    return torch.cat([text(padded([tokenizer.encode(line) for line in lines[i:i + 512]]))
                      for i in range(0, len(lines), 512)])


def train(text, tokenizer, heads, texts, path, steps, seed, say):
    """psi; goes on from `path` where that stands."""
    torch.manual_seed(seed)
    psi = Psi(text.text_projection.shape[1], heads.shape[-1])
    optimiser = torch.optim.Adam(psi.parameters(), RATE)
    lines = sorted({line for group in texts for line in group})
    place = {line: i for i, line in enumerate(lines)}
    encoded = encode_all(text, tokenizer, lines)
    say(f"encoded {len(lines)} captions")

    def take(step):
        optimiser.param_groups[0]["lr"] = RATE * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        views, chosen = batch(texts, BATCH, np.random.default_rng((seed, 2, step)))
        loss = loss_of(psi(encoded[[place[line] for line in chosen]]), heads[views])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return {"contrast": loss.item()}

    Stage("psi", path, steps, seed, say).run({"psi": psi, "optimiser": optimiser}, take)
    return psi
