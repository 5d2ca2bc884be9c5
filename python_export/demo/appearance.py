"""appearance.py -- what patches look like, as words: the vision tower's first targets.  No label is looked at.

Form: the strengths of a patch's waves (its 10 x 10 slowest cosines, of the logarithm of brightness, so that neither a
thing's colour nor the light matters), of the patch, and as means over 3 x 3 and 5 x 5 patches.  Colour: the mean
colour of the same.  k-means makes words of both, as HuBERT begins with k-means of the sound's spectrum.
"""

import cv2
import numpy as np
import torch

from demo import world
from demo.towers import CROP, GRID, PATCH

ROWS, COLUMNS = world.HEIGHT // PATCH, world.WIDTH // PATCH
AROUND = (1, 3, 5)  # patches
FORM_WORDS, COLOUR_WORDS = (256, 256, 512), (64, 64, 64)  # a codebook for each of AROUND
WAVES, KEPT = 10, 24  # cosines along a side; principal components of their strengths
SCENES_FOR_WORDS = 60

ANGLES = (np.arange(PATCH) + 0.5) * np.pi / PATCH
BASIS = np.cos(np.arange(WAVES)[:, None] * ANGLES)
BASIS = (BASIS / np.linalg.norm(BASIS, axis=1, keepdims=True)).astype(np.float32)


def means(grid, size):
    """Means over size x size patches of [rows, columns, D]."""
    if size == 1:
        return grid
    planes = [cv2.blur(np.ascontiguousarray(grid[..., i]), (size, size)) for i in range(grid.shape[-1])]
    return np.stack(planes, -1)


def form(picture):
    """uint8 [HEIGHT, WIDTH, 3] -> strengths of waves [3, ROWS * COLUMNS, WAVES^2 - 1]."""
    tiles = np.log(picture.astype(np.float32).mean(-1) + 25).reshape(ROWS, PATCH, COLUMNS, PATCH).transpose(0, 2, 1, 3)
    waves = np.einsum("uy,abyx,vx->abuv", BASIS, tiles, BASIS, optimize=True).reshape(ROWS, COLUMNS, -1)[..., 1:]
    strength = np.log(0.02 + np.abs(waves))
    return np.stack([means(strength, size).reshape(ROWS * COLUMNS, -1) for size in AROUND])


def k_means(points, count, rounds=12):
    """Centres [count, D] of points [N, D]; seeded by the caller."""
    centres = points[torch.randperm(len(points))[:count]].clone()
    for _ in range(rounds):
        nearest = torch.cat([torch.cdist(part, centres).argmin(1) for part in points.split(8192)])
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        number = torch.bincount(nearest, minlength=count)
        centres = torch.where(number[:, None] > 0, sums / number[:, None].clamp_min(1), centres)
    return centres


class Form:
    """Codebooks of form; the last one knows all three surroundings."""

    def __init__(self, scenes, seed):
        torch.manual_seed(seed)
        some = torch.from_numpy(np.concatenate([form(p) for p in scenes.pictures[:SCENES_FOR_WORDS]], 1))
        self.mean = some.mean(1, keepdim=True)
        self.axes = torch.stack([torch.linalg.svd((s - m)[:12000], full_matrices=False)[2][:KEPT].T
                                 for s, m in zip(some, self.mean)])
        chosen = torch.randperm(some.shape[1])[:20000]
        self.books = [k_means(looks[chosen], count) for looks, count in zip(self.looks(some), FORM_WORDS)]

    def looks(self, strengths):
        near, around, wide = (strengths - self.mean) @ self.axes
        return near, around, torch.cat([0.5 * near, around, wide], -1)

    def words(self, picture):
        """int16 [3, ROWS, COLUMNS]"""
        looks = self.looks(torch.from_numpy(form(picture)))
        codes = [torch.cdist(look, book).argmin(1) for look, book in zip(looks, self.books)]
        return torch.stack(codes).numpy().astype(np.int16).reshape(-1, ROWS, COLUMNS)


def opponents(colours):
    """Brightness (weak) and two opponent colours of RGB 0..255."""
    red, green, blue = np.moveaxis(colours.astype(np.float32) / 255, -1, 0)
    return np.stack([0.4 * (red + green + blue) / 1.5, red - green, blue - (red + green) / 2], -1)


class Colour:
    """Codebooks of colour; any three channels may stand for red, green and blue."""

    def __init__(self, scenes, seed):
        rng = np.random.default_rng((seed, 9))
        torch.manual_seed(seed)
        views = [picture[:, :, rng.permutation(3)] for picture in scenes.pictures[:SCENES_FOR_WORDS]]
        looks = [self.looks(view[None, :CROP, i:i + CROP]) for view in views for i in (0, CROP, 2 * CROP)]
        self.books = [k_means(torch.cat([look[n] for look in looks]), count, 8)
                      for n, count in enumerate(COLOUR_WORDS)]

    @staticmethod
    def looks(views):
        """uint8 [B, CROP, CROP, 3] -> three of [B * GRID * GRID, 3]"""
        tiles = views.reshape(len(views), GRID, PATCH, GRID, PATCH, 3).mean((2, 4))
        return [torch.from_numpy(np.concatenate([opponents(means(tile, size)).reshape(-1, 3) for tile in tiles]))
                for size in AROUND]

    def words(self, views):
        """int64 [B, 3, GRID * GRID]"""
        codes = [torch.cdist(look.float(), book).argmin(1).view(len(views), -1)
                 for look, book in zip(self.looks(views), self.books)]
        return torch.stack(codes, 1)
