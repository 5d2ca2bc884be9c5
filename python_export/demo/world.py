"""world.py -- the demo's world: cartoon scenes from a seed, with a label for every pixel.

One seed, one scene, the same bits on any machine with the same NumPy and OpenCV.  Some pairs of a colour and a noun
are never drawn for training (HELD_OUT): scenes made with `held_out=True` are for measuring and prefer them.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from demo.sprites import DRAWN, Sprite

WIDTH, HEIGHT = 448, 336

GROUNDS = ("sea", "grass", "sand", "road")
STUFF = ("sky", *GROUNDS, "mountain")
COLOURED = ("car", "bus", "boat", "house", "ball", "tent", "umbrella", "balloon")
PLAIN = ("person", "cow", "sheep", "dog", "tree", "rock", "cloud", "sun", "moon")
NOUNS = (*STUFF, *COLOURED, *PLAIN)  # a class id is the place in this list

COLOURS = {"red": (212, 40, 44), "orange": (244, 132, 32), "yellow": (246, 218, 52), "green": (36, 150, 74),
           "blue": (42, 88, 208), "purple": (140, 62, 182), "white": (238, 238, 236), "black": (52, 52, 58)}
HELD_OUT = {(noun, list(COLOURS)[(3 * i + 1) % len(COLOURS)]) for i, noun in enumerate(COLOURED)}

# Height in pixels, from and to; width as a multiple of it.
SIZES = {"car": (52, 92, 2.0), "bus": (72, 118, 1.9), "boat": (84, 150, 1.0), "house": (92, 164, 1.1),
         "ball": (44, 90, 1.0), "tent": (70, 124, 1.25), "umbrella": (88, 140, 1.05), "balloon": (92, 156, 0.78),
         "person": (84, 150, 0.42), "cow": (64, 108, 1.5), "sheep": (56, 92, 1.3), "dog": (56, 90, 1.3),
         "tree": (104, 184, 0.75), "rock": (42, 84, 1.5), "cloud": (42, 80, 2.0), "sun": (56, 92, 1.0),
         "moon": (56, 84, 1.0)}
LANDS = ("grass", "sand", "road")
PLACES = {"car": ("road", "grass", "sand"), "bus": ("road", "grass"), "boat": ("sea",), "house": ("grass", "sand"),
          "ball": LANDS, "tent": ("grass", "sand"), "umbrella": ("sand", "grass"), "person": LANDS, "cow": LANDS,
          "sheep": ("grass", "sand"), "dog": LANDS, "tree": ("grass", "sand"), "rock": ("sand", "sea", "grass")}
STRAY = 0.12  # of the things stand where they do not belong: what a thing is must not follow from its place


@dataclass(frozen=True)
class Thing:
    noun: str
    colour: str  # of a person, the coat's; "" where the noun has none to choose
    ground: str  # what it stands on; "sky" for what hangs there
    base: float  # its foot's row
    height: float


@dataclass(frozen=True)
class Scene:
    picture: np.ndarray  # uint8 [HEIGHT, WIDTH, 3]
    labels: np.ndarray  # uint8 [HEIGHT, WIDTH]: places in NOUNS
    owners: np.ndarray  # uint8 [HEIGHT, WIDTH]: 1 + place in things, 0 where there is none
    things: tuple


# ---- what lies behind everything ----


def speckle(rng, size, strength):
    """Noise of spots about `size` (x, y) pixels large, around 1."""
    small = rng.standard_normal((HEIGHT // size[1] + 2, WIDTH // size[0] + 2)).astype(np.float32)
    return 1 + strength * cv2.resize(small, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)


def sky_colours(rng, night):
    mood = rng.random()
    if night:
        top, low = (18, 24, 64), (52, 60, 112)
    elif mood < 0.75:
        top, low = (88, 156, 230), (170, 212, 244)
    else:
        top, low = (128, 120, 190), (246, 190, 150)
    blend = np.linspace(0, 1, HEIGHT, dtype=np.float32)[:, None, None]
    return np.asarray(top, np.float32) * (1 - blend) + np.asarray(low, np.float32) * blend


def ground_colours(noun, rng, x, y):
    if noun == "sea":
        waves = np.sin(y * 0.75 + 1.2 * np.sin(x / 17 + rng.random() * 6)) * np.sin(x / 23 + y / 9)
        return np.asarray((30, 112, 158), np.float32) * (1 + 0.16 * waves)[..., None]
    if noun == "grass":
        return np.asarray((112, 182, 72), np.float32) * speckle(rng, (2, 6), 0.13)[..., None]
    if noun == "sand":
        return np.asarray((226, 200, 142), np.float32) * speckle(rng, (2, 2), 0.07)[..., None]
    return np.asarray((116, 116, 122), np.float32) * speckle(rng, (3, 3), 0.08)[..., None]


class Canvas:
    def __init__(self, rng):
        self.rng, self.things = rng, []
        self.y, self.x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
        self.picture = np.empty((HEIGHT, WIDTH, 3), np.float32)
        self.labels = np.zeros((HEIGHT, WIDTH), np.uint8)
        self.owners = np.zeros((HEIGHT, WIDTH), np.uint8)

    def cover(self, mask, noun, colours):
        self.picture[mask] = np.broadcast_to(colours, self.picture.shape)[mask]
        self.labels[mask] = NOUNS.index(noun)

    def wavy(self, level, swing):
        """A border from left to right around row `level`."""
        a, b = self.rng.uniform(0, 6.3, 2)
        across = self.x[0]
        return level + swing * (np.sin(across / 61 + a) + 0.5 * np.sin(across / 19 + b))

    def mountains(self, horizon):
        knots = np.linspace(0, WIDTH, self.rng.integers(4, 8))
        heights = self.rng.uniform(8, 0.8 * horizon, len(knots))
        ridge = horizon - np.interp(self.x[0], knots, heights)
        hatch = 1 - 0.16 * (((self.x + self.y) % 15) < 5) - 0.1 * (((self.x - self.y) % 22) < 6)
        colours = np.asarray((122, 108, 132), np.float32) * hatch[..., None]
        colours[self.y < ridge + 16] += 70
        self.cover((self.y >= ridge) & (self.y < horizon + 30), "mountain", colours)

    def paste(self, sprite, left, top, thing):
        """A sprite over what is there, where it lies in the picture."""
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + sprite.width, WIDTH), min(top + sprite.height, HEIGHT)
        if x0 >= x1 or y0 >= y1:
            return
        on = sprite.cover[y0 - top:y1 - top, x0 - left:x1 - left] > 0
        self.things.append(thing)
        self.picture[y0:y1, x0:x1][on] = sprite.colours[y0 - top:y1 - top, x0 - left:x1 - left][on]
        self.labels[y0:y1, x0:x1][on] = NOUNS.index(thing.noun)
        self.owners[y0:y1, x0:x1][on] = len(self.things)


def lay_ground(canvas):
    """Sky, mountains and one to three kinds of ground below the horizon: (noun, first row, last row)."""
    rng = canvas.rng
    night = rng.random() < 0.2
    horizon = HEIGHT * rng.uniform(0.22, 0.5)
    canvas.cover(np.ones((HEIGHT, WIDTH), bool), "sky", sky_colours(rng, night))
    if rng.random() < 0.4:
        canvas.mountains(horizon)
    kinds = list(rng.permutation(GROUNDS)[:rng.choice((1, 2, 3), p=(0.25, 0.5, 0.25))])
    edges = np.cumsum([0, *rng.uniform(0.6, 1.4, len(kinds))])
    edges = horizon + (HEIGHT - horizon) * edges / edges[-1]
    for i, noun in enumerate(kinds):
        border = canvas.wavy(edges[i], 0 if i == 0 and noun == "sea" else 4)
        canvas.cover(canvas.y >= border, noun, ground_colours(noun, rng, canvas.x, canvas.y))
        if noun == "road":
            middle = (edges[i] + edges[i + 1]) / 2
            dashes = (np.abs(canvas.y - middle) < 4) & (canvas.x % 60 < 34)
            canvas.cover(dashes, "road", np.asarray((236, 236, 226), np.float32))
    return night, horizon, [(noun, edges[i], edges[i + 1]) for i, noun in enumerate(kinds)]


# ---- what stands and hangs there ----


def choose_colour(noun, rng, held_out):
    if noun not in COLOURED and noun != "person":
        return ""
    rare = [colour for colour in COLOURS if (noun, colour) in HELD_OUT]
    if held_out and rare and rng.random() < 0.3:
        return rare[rng.integers(len(rare))]
    usual = [colour for colour in COLOURS if colour not in rare]
    return usual[rng.integers(len(usual))]


def draw(canvas, noun, colour, ground, base):
    rng = canvas.rng
    low, high, aspect = SIZES[noun]
    height = rng.uniform(low, high)
    width = height * aspect * rng.uniform(0.88, 1.12)
    sprite = Sprite(int(width), int(height), rng)
    paint = np.asarray(COLOURS[colour], np.float32) + rng.uniform(-10, 10, 3) if colour else None
    DRAWN[noun](sprite, paint)
    if rng.random() < 0.5:
        sprite.colours, sprite.cover = sprite.colours[:, ::-1], sprite.cover[:, ::-1]
    left = int(rng.uniform(-0.25 * width, WIDTH - 0.75 * width))
    canvas.paste(sprite, left, int(base - height), Thing(noun, colour, ground, float(base), float(height)))


def hang(canvas, night, horizon, held_out):
    rng = canvas.rng
    nouns = ["moon" if night else "sun"] * (rng.random() < 0.5) + ["cloud"] * rng.integers(0, 4)
    nouns += ["balloon"] * rng.choice((0, 1, 2), p=(0.6, 0.25, 0.15))
    for noun in nouns:
        base = rng.uniform(0.5 * SIZES[noun][0], max(horizon, 90)) + 0.3 * SIZES[noun][0]
        draw(canvas, noun, choose_colour(noun, rng, held_out), "sky", base)


def stand(canvas, bands, held_out):
    """Three to seven things, the far ones first; a noun may come twice or thrice in other colours."""
    rng = canvas.rng
    here = [noun for noun in PLACES if any(band[0] in PLACES[noun] for band in bands)]
    chosen, count = [], rng.integers(3, 8)
    while len(chosen) < count:
        stray = rng.random() < STRAY or not here
        noun = rng.choice(list(PLACES) if stray else here)
        fit = [band for band in bands if stray or band[0] in PLACES[noun]]
        for _ in range(rng.choice((1, 2, 3), p=(0.7, 0.22, 0.08))):
            ground, top, bottom = fit[rng.integers(len(fit))]
            base = rng.uniform(top + 0.3 * (bottom - top), min(bottom + 12, HEIGHT + 14))
            chosen.append((base, noun, choose_colour(noun, rng, held_out), ground))
    for base, noun, colour, ground in sorted(chosen):
        draw(canvas, noun, colour, ground, base)


def light(picture, rng):
    """Brightness, a tint, a slope across the picture, softness and noise."""
    slope = 1 + np.linspace(-1, 1, WIDTH, dtype=np.float32)[None, :, None] * rng.uniform(-0.1, 0.1)
    picture = picture * (rng.uniform(0.82, 1.1) * rng.uniform(0.95, 1.05, 3).astype(np.float32)) * slope
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 0.9))
    noise = rng.standard_normal(picture.shape, dtype=np.float32) * rng.uniform(1, 6)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


def scene(seed, held_out=False):
    """The scene of a seed."""
    rng = np.random.default_rng((seed, int(held_out)))
    canvas = Canvas(rng)
    night, horizon, bands = lay_ground(canvas)
    hang(canvas, night, horizon, held_out)
    stand(canvas, bands, held_out)
    return Scene(light(canvas.picture, rng), canvas.labels, canvas.owners, tuple(canvas.things))
