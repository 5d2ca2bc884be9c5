#!/usr/bin/env python3
"""demo_picture.py -- a beach, drawn by formulas, as a PPM: a picture for a demonstration that belongs to nobody else."""

import sys

try:
    import numpy as np
except ImportError as problem:
    sys.exit(f"demo_picture.py: {problem}; pip install numpy")

HEIGHT, WIDTH = 480, 640


def blend(picture, mask, colour):
    """Paints `colour` where `mask` (0..1) says so."""
    picture += mask[..., None] * (np.asarray(colour, np.float32) - picture)


def soft(distance, width=1.5):
    """1 inside (distance < 0), 0 outside, a smooth edge of `width` pixels."""
    return np.clip(0.5 - distance / width, 0, 1)


def beach(seed=0):
    """uint8 [HEIGHT, WIDTH, 3]: sky, sun, sea, sand and a tree."""
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    noise = np.random.RandomState(seed).standard_normal((HEIGHT, WIDTH)).astype(np.float32)
    picture = np.empty((HEIGHT, WIDTH, 3), np.float32)
    picture[:] = (96, 160, 224)
    picture += (220 - y)[..., None] * np.asarray((-0.12, -0.08, -0.02), np.float32)
    blend(picture, soft(np.hypot(x - 500, y - 80) - 42), (255, 224, 96))
    waves = 8 * np.sin(x / 23 + y / 5) + 6 * np.sin(x / 11 - y / 3)
    blend(picture, soft(210 - y), (24, 96, 144))
    picture += (waves * soft(210 - y) * soft(y - 330))[..., None]
    shore = 320 + 14 * np.sin(x / 90) + 5 * np.sin(x / 31)
    blend(picture, soft(shore - y), (220, 196, 140))
    trunk = np.abs(x - (150 + (420 - y) ** 2 / 2600)) - 9
    blend(picture, soft(trunk) * soft(y - 420) * soft(170 - y), (112, 76, 44))
    for angle in np.linspace(-2.8, -0.3, 6):
        u = (x - 174) * np.cos(angle) + (y - 172) * np.sin(angle)
        v = -(x - 174) * np.sin(angle) + (y - 172) * np.cos(angle)
        leaf = np.abs(v - u * u / 420) - 16 * np.sin(np.pi * np.clip(u / 120, 0, 1))
        blend(picture, soft(leaf) * soft(-u) * soft(u - 120), (40, 120, 52))
    picture += (noise * (2 + 4 * soft(shore - y)))[..., None]
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: demo_picture.py FILE.ppm")
    with open(sys.argv[1], "wb") as file:
        file.write(b"P6 %d %d 255\n" % (WIDTH, HEIGHT) + beach().tobytes())


if __name__ == "__main__":
    main()
