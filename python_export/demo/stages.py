"""stages.py -- what a stage of training leaves, and steps that survive an interruption.

A stage is a number of steps on a schedule.  What it holds is kept every EVERY steps, and each step draws from a
generator of its own, (seed, stage, step): an interrupted stage ends with the weights of one that was not.
"""

import os
import time
from collections import Counter

import torch

from refusal import Refused

EVERY = 50


def save(path, value):
    """Whole or not at all."""
    torch.save(value, path + ".part")
    os.replace(path + ".part", path)


class Work:
    """The working folder: a file for each stage that is done, and NAME.steps for the one under way."""

    def __init__(self, folder):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def made(self, name, make):
        """What stands in a stage's file; where there is none, what `make(path of its steps)` gives is kept there."""
        path = self.path(name)
        if not os.path.exists(path):
            save(path, make(path + ".steps"))
            if os.path.exists(path + ".steps"):
                os.unlink(path + ".steps")
        return torch.load(path)


class Stage:
    """Steps `0 .. steps - 1` of the things `held` (by name, each with a state_dict), kept in `path`."""

    def __init__(self, name, path, steps, seed, say):
        self.name, self.path, self.steps, self.seed, self.say = name, path, steps, seed, say

    def resume(self, held):
        """The first step to do; `held` are as they were before it."""
        if not os.path.exists(self.path):
            return 0
        state = torch.load(self.path)
        for name in ("steps", "seed"):
            if state[name] != getattr(self, name):
                raise Refused(f"{self.path}: was begun with {name} {state[name]}, not {getattr(self, name)}; give that "
                              "again, or delete the file to begin anew")
        for name, thing in held.items():
            thing.load_state_dict(state[name])
        self.say(f"{self.name}: goes on after step {state['step']}")
        return state["step"]

    def keep(self, held, step):
        save(self.path, {**{name: thing.state_dict() for name, thing in held.items()}, "step": step,
                         "steps": self.steps, "seed": self.seed})

    def run(self, held, take):
        """Calls take(step), which makes one step and returns its losses by name, for each step not yet done."""
        first = begun = self.resume(held)
        start, sums = time.monotonic(), Counter()
        for step in range(first, self.steps):
            sums.update(take(step))
            if (step + 1) % EVERY == 0 or step + 1 == self.steps:
                self.keep(held, step + 1)
                told = ", ".join(f"{name} {total / (step + 1 - begun):.3f}" for name, total in sums.items())
                self.say(f"{self.name} {step + 1}/{self.steps}: {told}, {time.monotonic() - start:.0f} s")
                sums.clear()
                begun = step + 1


def descend(loss, optimiser, network):
    """One step of the optimiser, the gradient clipped to length 1."""
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()
