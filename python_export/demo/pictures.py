"""pictures.py -- what text and psi are trained on: views of scenes seen by the frozen vision tower, with captions."""

import numpy as np
import torch

from demo import captions
from demo.towers import CROP, REGISTERS, head_embeddings
from demo.views import cut, random_box

VIEWS, CAPTIONS = 4, 6  # views of each scene, captions of each view
TOGETHER = 128  # views that the tower looks at in one go


def captioned_views(scenes, seed):
    """Yields a picture [CROP, CROP, 3] and its captions, for views in which there is something to name."""
    for k in range(len(scenes)):
        rng = np.random.default_rng((seed, k))
        picture, labels, owners, things = scenes.pictures[k], scenes.labels[k], scenes.owners[k], scenes.things[k]
        whole = np.bincount(owners.ravel(), minlength=len(things) + 1)[1:]
        for _ in range(VIEWS):
            left, top, side = box = random_box(rng, 0.7 * CROP, 1.5 * CROP)
            window = (slice(top, top + side), slice(left, left + side))
            everything = captions.seen_in(labels[window], owners[window], things, whole)
            if everything:
                view = cut(picture, box)
                view = view[:, ::-1] if rng.random() < 0.5 else view
                yield view, [captions.caption(everything, rng) for _ in range(CAPTIONS)]


@torch.no_grad()
def look(tower, pictures):
    """CLS and mean of the patches [B, 2, D], and what the heads see [B, heads, D]."""
    with torch.autocast("cpu", torch.bfloat16):
        tokens, qkv = tower(torch.from_numpy(np.stack(pictures)))
    tokens = tokens.float()
    heads = head_embeddings(tokens, qkv)
    return torch.stack([tokens[:, 0], tokens[:, 1 + REGISTERS:].mean(1)], 1), heads


def collect(tower, scenes, seed, say):
    """Everything at once: features fp32 [N, 2, D], heads [N, heads, D], and N lists of captions."""
    tower.eval()
    features, heads, texts, waiting = [], [], [], []

    def flush():
        whole, each = look(tower, waiting)
        features.append(whole)
        heads.append(each)
        waiting.clear()

    for picture, lines in captioned_views(scenes, seed):
        waiting.append(picture)
        texts.append(lines)
        if len(waiting) == TOGETHER:
            flush()
            if len(texts) % (TOGETHER * 20) == 0:
                say(f"looked at {len(texts)} views")
    if waiting:
        flush()
    return torch.cat(features), torch.cat(heads), texts


def padded(rows):
    """Token ids of many texts as one tensor; zeros after the end token, which causality hides."""
    table = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for i, row in enumerate(rows):
        table[i, :len(row)] = row
    return torch.from_numpy(table)


def batch(texts, size, rng):
    """Views and one caption of each, no caption twice: the same words are no contrast.  Where the captions do not
    reach, fewer than `size`."""
    views, lines, used = [], [], set()
    for view in rng.permutation(len(texts)):
        line = texts[view][rng.integers(len(texts[view]))]
        if line not in used:
            used.add(line)
            views.append(view)
            lines.append(line)
        if len(views) == size:
            break
    return torch.tensor(views), lines
