"""sprites.py -- the things of the demo's world, each drawn on a small canvas of its own.

A sprite is drawn in unit coordinates, so that one function serves every size; textures are counted in pixels, so that
a patch of 14 pixels shows some of them wherever it lies.  `paint` is the thing's colour where it has one to choose.
"""

import cv2
import numpy as np

SHIFT = 4  # binary places below a pixel, for cv2
DARK, GLASS, SKIN, WOOD = (38, 38, 42), (150, 200, 225), (232, 190, 160), (112, 76, 44)


class Sprite:
    """Colours [h, w, 3] and what they cover [h, w]; `x`, `y` are its pixels' coordinates, for textures."""

    def __init__(self, width, height, rng):
        self.width, self.height, self.rng = width, height, rng
        self.colours = np.zeros((height, width, 3), np.float32)
        self.cover = np.zeros((height, width), np.uint8)
        self.y, self.x = np.mgrid[:height, :width].astype(np.float32)

    def put(self, mask, colour):
        """Paints where the mask is set; `colour` is one colour, or one for each pixel."""
        on = mask > 0
        colour = np.asarray(colour, np.float32)
        self.colours[on] = colour[on] if colour.ndim == 3 else colour
        self.cover[on] = 1

    def polygon(self, points, colour):
        mask = np.zeros_like(self.cover)
        scaled = np.asarray(points, np.float64) * (self.width - 1, self.height - 1) * (1 << SHIFT)
        cv2.fillPoly(mask, [np.rint(scaled).astype(np.int32)], 1, shift=SHIFT)
        self.put(mask, colour)

    def box(self, left, top, right, bottom, colour):
        self.polygon([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def ellipse(self, x, y, half_width, half_height, colour):
        u = (self.x / (self.width - 1) - x) / half_width
        v = (self.y / (self.height - 1) - y) / half_height
        self.put(u * u + v * v <= 1, colour)

    def wheel(self, x, radius):
        """A wheel on the ground; `radius` is a part of the height."""
        wide = radius * self.height / self.width
        self.ellipse(x, 1 - radius, wide, radius, DARK)
        self.ellipse(x, 1 - radius, wide * 0.45, radius * 0.45, (170, 170, 175))

    def lit(self, colour, strength=1.0):
        """A colour, lighter towards the top."""
        light = 1 + 0.12 * strength * (1 - 2 * self.y / self.height)
        return np.asarray(colour, np.float32) * light[..., None]

    def shaded(self, colour, pattern, strength):
        """A colour, darker by `strength` where `pattern` (0..1) is 1."""
        return self.lit(colour) * (1 - strength * np.asarray(pattern, np.float32))[..., None]

    def noise(self, size):
        """Smooth noise in 0..1 with spots of about `size` pixels."""
        small = self.rng.random((int(self.height / size) + 3, int(self.width / size) + 3)).astype(np.float32)
        return cv2.resize(small, (self.width, self.height), interpolation=cv2.INTER_CUBIC).clip(0, 1)


def lines(position, period, width):
    """1 on lines of `width` every `period` pixels."""
    return (position % period) < width


def bricks(sprite):
    row = np.floor(sprite.y / 7)
    return lines(sprite.y, 7, 1.5) | lines(sprite.x + 6 * (row % 2), 12, 1.5)


# ---- things with a colour of their own choice ----


def car(s, paint):
    s.polygon([(0.2, 0.45), (0.32, 0.05), (0.7, 0.05), (0.86, 0.45)], s.lit(paint))
    s.polygon([(0.27, 0.42), (0.36, 0.13), (0.49, 0.13), (0.49, 0.42)], GLASS)
    s.polygon([(0.54, 0.42), (0.54, 0.13), (0.67, 0.13), (0.78, 0.42)], GLASS)
    body = s.shaded(paint, lines(s.y, 9, 2), 0.22)
    s.polygon([(0, 0.5), (0.1, 0.42), (0.9, 0.42), (1, 0.52), (1, 0.84), (0, 0.84)], body)
    s.box(0.505, 0.42, 0.525, 0.82, DARK)
    s.ellipse(0.96, 0.56, 0.035, 0.07, (255, 244, 170))
    s.wheel(0.22, 0.2)
    s.wheel(0.78, 0.2)


def bus(s, paint):
    s.box(0, 0.02, 1, 0.88, s.shaded(paint, lines(s.x, 8, 1.6), 0.25))
    for i in range(5):
        s.box(0.05 + 0.19 * i, 0.12, 0.19 + 0.19 * i, 0.42, GLASS)
    s.box(0, 0.56, 1, 0.63, (235, 235, 225))
    s.wheel(0.2, 0.13)
    s.wheel(0.8, 0.13)


def boat(s, paint):
    hull = s.shaded(paint, lines(s.y, 8, 1.8), 0.3)
    s.polygon([(0, 0.66), (1, 0.66), (0.84, 1), (0.14, 1)], hull)
    s.box(0.47, 0.02, 0.5, 0.66, WOOD)
    sail = s.shaded(np.asarray(paint, np.float32) * 0.7 + 76, lines(s.x + s.y, 11, 2), 0.2)
    s.polygon([(0.52, 0.02), (0.95, 0.6), (0.52, 0.6)], sail)
    s.polygon([(0.45, 0.1), (0.45, 0.6), (0.1, 0.6)], sail)


def house(s, paint):
    s.box(0.06, 0.4, 0.94, 1, s.shaded(paint, bricks(s), 0.25))
    roof = s.shaded((120, 84, 78), lines(s.y, 6, 1.5) | lines(s.x + s.y, 8, 1.5), 0.3)
    s.polygon([(0, 0.42), (0.5, 0.02), (1, 0.42)], roof)
    s.box(0.42, 0.68, 0.58, 1, WOOD)
    for left in (0.15, 0.68):
        s.box(left, 0.52, left + 0.17, 0.7, (245, 245, 240))
        s.box(left + 0.02, 0.54, left + 0.15, 0.68, (120, 160, 190))


def ball(s, paint):
    angle = np.arctan2(s.y / s.height - 0.42, s.x / s.width - 0.42) * 4 / np.pi
    s.ellipse(0.5, 0.5, 0.5, 0.5, s.shaded(paint, np.floor(angle) % 2, 0.3))
    s.ellipse(0.42, 0.42, 0.1, 0.1, (250, 250, 245))


def tent(s, paint):
    angle = (s.x / s.width - 0.5) / (s.y / s.height + 0.06)
    cloth = s.shaded(paint, lines(angle + 2, 0.12, 0.03), 0.35)
    s.polygon([(0.5, 0.02), (1, 1), (0, 1)], cloth)
    s.polygon([(0.5, 0.42), (0.64, 1), (0.36, 1)], (60, 54, 50))


def umbrella(s, paint):
    s.box(0.47, 0.4, 0.53, 1, (200, 196, 190))
    turns = np.linspace(0, np.pi, 25)
    angle = np.floor((np.arctan2(0.52 - s.y / s.height, s.x / s.width - 0.5) + 4) * 2.6)
    s.polygon(np.stack([0.5 + 0.5 * np.cos(turns), 0.52 - 0.52 * np.sin(turns)], 1), s.shaded(paint, angle % 2, 0.28))


def balloon(s, paint):
    s.polygon([(0.22, 0.62), (0.78, 0.62), (0.58, 0.86), (0.42, 0.86)], s.lit(paint))
    bulge = np.sqrt(np.clip(1 - ((s.y / s.height - 0.38) / 0.4) ** 2, 0.02, 1))
    gore = np.floor(4 + 3 * (s.x / s.width - 0.5) / (0.5 * bulge))
    s.ellipse(0.5, 0.38, 0.5, 0.38, s.shaded(paint, gore % 2, 0.33))
    s.box(0.4, 0.86, 0.6, 1, WOOD)


def person(s, paint):
    for left in (0.26, 0.53):
        s.box(left, 0.62, left + 0.2, 1, (58, 66, 104))
    s.polygon([(0.1, 0.3), (0.9, 0.3), (1, 0.62), (0.8, 0.66), (0.78, 0.72), (0.2, 0.72), (0.2, 0.66), (0, 0.62)],
              s.shaded(paint, lines(s.x, 7, 1.5) & lines(s.y, 7, 4), 0.25))
    s.ellipse(0.5, 0.15, 0.3, 0.15, SKIN)
    s.ellipse(0.5, 0.09, 0.32, 0.09, (70, 46, 32))


# ---- things that look as they do ----


def legs(s, colour, top):
    for left in (0.16, 0.3, 0.6, 0.74):
        s.box(left, top, left + 0.09, 1, colour)


def cow(s, _):
    legs(s, (200, 190, 180), 0.6)
    hide = np.where((s.noise(max(9, s.width / 7)) > 0.52)[..., None], (48, 40, 38), (236, 230, 222))
    s.ellipse(0.44, 0.46, 0.4, 0.3, hide)
    s.ellipse(0.86, 0.3, 0.13, 0.2, hide)
    s.ellipse(0.93, 0.4, 0.07, 0.1, (228, 160, 160))


def sheep(s, _):
    legs(s, (60, 52, 48), 0.65)
    curls = np.sin(s.x * 0.9 + 2 * np.sin(s.y * 0.35)) * np.sin(s.y * 0.9 + 2 * np.sin(s.x * 0.35))
    wool = s.shaded((232, 222, 196), curls > 0.25, 0.2)
    for x, y in ((0.25, 0.45), (0.42, 0.36), (0.6, 0.42), (0.34, 0.58), (0.55, 0.58)):
        s.ellipse(x, y, 0.22, 0.25, wool)
    s.ellipse(0.84, 0.36, 0.13, 0.2, (60, 52, 48))


def dog(s, _):
    coat = s.shaded((176, 118, 62), s.noise(4) > 0.55, 0.22)
    legs(s, coat, 0.55)
    s.polygon([(0.02, 0.16), (0.1, 0.14), (0.2, 0.48), (0.1, 0.5)], coat)
    s.ellipse(0.44, 0.52, 0.36, 0.22, coat)
    s.ellipse(0.82, 0.28, 0.17, 0.24, coat)
    s.ellipse(0.72, 0.3, 0.06, 0.2, (104, 66, 36))
    s.ellipse(0.96, 0.34, 0.04, 0.06, DARK)


def tree(s, _):
    s.box(0.41, 0.55, 0.59, 1, s.shaded(WOOD, lines(s.x, 5, 1.5), 0.3))
    leaves = s.shaded((44, 120, 52), s.noise(4), 0.6)
    if s.rng.random() < 0.35:
        for top, half in ((0.0, 0.3), (0.2, 0.4), (0.4, 0.5)):
            s.polygon([(0.5, top), (0.5 + half, top + 0.36), (0.5 - half, top + 0.36)], leaves)
        return
    for x, y, r in ((0.5, 0.26, 0.3), (0.26, 0.42, 0.26), (0.74, 0.42, 0.26), (0.5, 0.5, 0.3)):
        s.ellipse(x, y, r, r * 0.86, leaves)


def rock(s, _):
    turns = np.sort(s.rng.random(9)) * 2 * np.pi
    far = 0.78 + 0.22 * s.rng.random(9)
    points = np.stack([0.5 + 0.5 * far * np.cos(turns), np.minimum(0.62 + 0.6 * far * np.sin(turns), 1)], 1)
    stone = s.shaded((150, 142, 136), s.noise(3) * 0.8 + 0.5 * (s.noise(20) > 0.5), 0.4)
    s.polygon([(0.06, 1), (0.94, 1), (0.86, 0.45), (0.5, 0.2), (0.14, 0.45)], stone)
    s.polygon(points, stone)


def cloud(s, _):
    fluff = s.lit((244, 246, 250)) * (0.94 + 0.06 * s.noise(14))[..., None]
    for x, y, r in ((0.22, 0.62, 0.22), (0.42, 0.4, 0.26), (0.66, 0.46, 0.24), (0.82, 0.66, 0.18), (0.5, 0.7, 0.3)):
        s.ellipse(x, y, r, min(r * 1.4, 1 - y), fluff)


def sun(s, _):
    angle = np.arctan2(s.y / s.height - 0.5, s.x / s.width - 0.5)
    reach = np.hypot(s.y / s.height - 0.5, s.x / s.width - 0.5)
    s.put(reach <= 0.42 + 0.08 * np.sign(np.sin(8 * angle)), (255, 196, 40))
    s.ellipse(0.5, 0.5, 0.36, 0.36, (255, 232, 96))


def moon(s, _):
    s.ellipse(0.5, 0.5, 0.5, 0.5, s.lit((226, 226, 206)))
    for x, y, r in ((0.34, 0.36, 0.13), (0.64, 0.5, 0.16), (0.42, 0.72, 0.11), (0.7, 0.25, 0.08)):
        s.ellipse(x, y, r, r, (184, 184, 170))


DRAWN = {f.__name__: f for f in (car, bus, boat, house, ball, tent, umbrella, balloon, person, cow, sheep, dog, tree,
                                 rock, cloud, sun, moon)}
