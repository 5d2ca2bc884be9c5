"""captions.py -- what a person might write under a view of a scene, in varied English.

A caption names some of what is seen, never what is not.  It is made of the things and grounds whose pixels show:
their colours where they have one, their number, what they stand on; nouns have synonyms.
"""

from dataclasses import dataclass

import numpy as np

from demo import world

SYNONYMS = {
    "sky": ("sky",), "sea": ("sea", "ocean", "water"), "grass": ("grass", "lawn", "meadow"), "sand": ("sand", "beach"),
    "road": ("road", "street"), "mountain": ("mountain", "hill"), "car": ("car", "automobile"), "bus": ("bus", "coach"),
    "boat": ("boat", "ship", "sailboat"), "house": ("house", "home", "cottage"), "ball": ("ball", "beach ball"),
    "tent": ("tent",), "umbrella": ("umbrella", "parasol"), "balloon": ("balloon", "hot air balloon"),
    "person": ("person", "man", "woman", "child"), "cow": ("cow", "cattle"), "sheep": ("sheep", "lamb"),
    "dog": ("dog", "puppy"), "tree": ("tree",), "rock": ("rock", "stone", "boulder"), "cloud": ("cloud",),
    "sun": ("sun",), "moon": ("moon",)}
PLURALS = {"bus": "buses", "coach": "coaches", "person": "people", "man": "men", "woman": "women", "child": "children",
           "puppy": "puppies", "sheep": "sheep", "cattle": "cattle"}
NUMBERS = {2: ("two", "two", "several"), 3: ("three", "three", "several"), 4: ("four", "many", "several")}
FRAMES = ("a photo of {}", "a photo of {}", "a photo of {}.", "{}", "{}", "{}.", "a picture of {}", "a drawing of {}",
          "there is {}", "this is {}", "we see {}", "a scene with {}", "here is {}", "look at {}", "an image of {}")
ALWAYS_THE = ("sky", "sea", "grass", "sand", "road", "sun", "moon")
THING_AREA, STUFF_AREA = 0.025, 0.07  # parts of the view below which nothing is named
WHOLE = 0.35  # of a thing's pixels must be in the view


@dataclass(frozen=True)
class Seen:
    """Things of one noun and colour, or a kind of ground."""

    noun: str
    colour: str
    ground: str
    count: int
    area: float  # part of the view


def seen_in(labels, owners, things, whole_areas):
    """What a view shows; `whole_areas` are the pixels of each thing in the whole scene."""
    areas = np.bincount(owners.ravel(), minlength=len(things) + 1)[1:]
    found = {}
    for thing, area, whole in zip(things, areas, whole_areas):
        if area >= THING_AREA * owners.size and area >= WHOLE * whole:
            key = (thing.noun, thing.colour)
            old = found.get(key)
            found[key] = Seen(*key, thing.ground, 1 + (old.count if old else 0),
                              area / owners.size + (old.area if old else 0))
    stuff = np.bincount(labels.ravel(), minlength=len(world.NOUNS))
    for noun in world.STUFF:
        part = stuff[world.NOUNS.index(noun)] / labels.size
        if part >= STUFF_AREA:
            found[noun, ""] = Seen(noun, "", "", 1, part)
    return list(found.values())


def article(words):
    return ("an " if words[0] in "aeiou" else "a ") + words


def name_of(seen, rng):
    """A noun phrase: "the sea", "two white clouds", "an orange bus", "a woman in red"."""
    options = SYNONYMS[seen.noun]
    noun = options[0] if rng.random() < 0.6 else options[rng.integers(len(options))]
    if seen.noun in ALWAYS_THE:
        return rng.choice(("the ", "the ", "")) + noun
    coat = seen.noun == "person"
    colour = seen.colour if rng.random() < (0.4 if coat else 0.75) else ""
    after = f" in {rng.choice(('', 'a '))}{colour}" if coat and colour else ""
    if after.startswith(" in a "):
        after = f" in {article(colour)} " + rng.choice(("coat", "shirt", "jacket"))
    before = f"{colour} " if colour and not coat else ""
    if seen.count > 1:
        many = NUMBERS[min(seen.count, 4)]
        return f"{many[rng.integers(len(many))]} {before}{PLURALS.get(noun, noun + 's')}{after}"
    if noun == "cattle":
        return f"{before}cattle{after}"
    large = rng.choice(("large", "big")) if seen.area > 0.3 else rng.choice(("small", "little"))
    size = f"{large} " if (seen.area > 0.3 or seen.area < 0.06) and rng.random() < 0.12 else ""
    return (article(size + before + noun) if rng.random() < 0.8 else f"the {size}{before}{noun}") + after


def placed(seen, everything, rng):
    """With what it stands on, or hangs under, where that shows."""
    words = name_of(seen, rng)
    grounds = [other for other in everything if other.noun == seen.ground]
    if grounds and rng.random() < 0.45:
        ground = name_of(grounds[0], rng)
        return f"{words} {'in' if seen.ground == 'sky' else 'on'} {ground}"
    above = [other for other in everything if other.ground == "sky" and other is not seen]
    if above and seen.ground not in ("", "sky") and rng.random() < 0.3:
        return f"{words} under {name_of(above[rng.integers(len(above))], rng)}"
    return words


def caption(everything, rng):
    """One caption for what is seen (not nothing); the larger a thing, the likelier it is named."""
    weight = np.array([seen.area * (1 if seen.noun in world.STUFF else 4) for seen in everything]) ** 0.7
    count = min(len(everything), rng.choice((1, 2, 3), p=(0.5, 0.35, 0.15)))
    order = rng.choice(len(everything), count, replace=False, p=weight / weight.sum())
    parts = [placed(everything[i], everything, rng) for i in order]
    joined = parts[0] if count == 1 else ", ".join(parts[:-1]) + rng.choice((" and ", " with ", " beside ", " near ")) \
        + parts[-1]
    return FRAMES[rng.integers(len(FRAMES))].format(joined)
