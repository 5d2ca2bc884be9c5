"""scenes.py -- scenes drawn once and kept in a folder, since training looks at each of them many times."""

import os
import pickle
from multiprocessing import get_context

import numpy as np

from demo import world

TRAIN, HELD_OUT = 0, 1_000_000  # first seeds; training never reaches the second


def draw_one(job):
    seed, held_out = job
    return world.scene(seed, held_out)


class Scenes:
    """Pictures, labels and owners [count, HEIGHT, WIDTH, ...], which stay on the disk, and the things of each scene."""

    def __init__(self, folder):
        def read(name):
            return np.load(os.path.join(folder, name + ".npy"), mmap_mode="r")

        self.pictures, self.labels, self.owners = read("pictures"), read("labels"), read("owners")
        with open(os.path.join(folder, "things.pickle"), "rb") as file:
            self.things = pickle.load(file)

    def __len__(self):
        return len(self.things)


def write(folder, count, first, held_out):
    size = (count, world.HEIGHT, world.WIDTH)
    arrays = {name: np.lib.format.open_memmap(os.path.join(folder, name + ".npy"), "w+", np.uint8, shape)
              for name, shape in (("pictures", (*size, 3)), ("labels", size), ("owners", size))}
    things = []
    with get_context("spawn").Pool(os.cpu_count()) as pool:
        for i, scene in enumerate(pool.imap(draw_one, ((first + i, held_out) for i in range(count)), 16)):
            arrays["pictures"][i], arrays["labels"][i], arrays["owners"][i] = scene.picture, scene.labels, scene.owners
            things.append(scene.things)
    path = os.path.join(folder, "things.pickle")
    with open(path + ".part", "wb") as file:
        pickle.dump(things, file)
    os.replace(path + ".part", path)  # last: where it stands, the scenes are whole


def load(work, count, held_out=False):
    """`count` scenes from their cache below `work`, drawn now if they are not there."""
    folder = os.path.join(work, f"{'held_out' if held_out else 'train'}-{count}")
    if not os.path.exists(os.path.join(folder, "things.pickle")):
        os.makedirs(folder, exist_ok=True)
        write(folder, count, HELD_OUT if held_out else TRAIN, held_out)
    return Scenes(folder)
