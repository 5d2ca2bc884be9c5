"""The demo's training from end to end with a few steps: interrupted, gone on with, exported, and read by the engine,
which computes what the towers here compute."""

import contextlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import setting
import numpy as np
import torch
from safetensors.torch import load_file

try:
    import cv2  # noqa: F401
except ImportError as problem:
    raise unittest.SkipTest(f"{problem}: apt install python3-opencv") from None

from commands import run
from demo import bpe, stages, towers, train, world
from refusal import Refused

SCENES = 8
T2D = os.environ.get("T2D_BIN")


class Resuming(unittest.TestCase):
    def train(self, path, stop=None, steps=7):
        """Weights after steps, or a KeyboardInterrupt in the middle of step `stop`; what was said."""
        torch.manual_seed(0)
        network, told = torch.nn.Linear(4, 3), []
        optimiser = torch.optim.AdamW(network.parameters(), 0.1)

        def take(step):
            draw = torch.from_numpy(np.random.default_rng(step).standard_normal((5, 4), np.float32))
            stages.descend(network(draw).square().mean(), optimiser, network)
            if step == stop:
                raise KeyboardInterrupt
            return {"loss": step}

        with mock.patch.object(stages, "EVERY", 2):
            stages.Stage("toy", path, steps, 0, told.append).run({"network": network, "optimiser": optimiser}, take)
        return network.weight.detach(), told

    def test_interrupted_or_not_the_same_bits(self):
        with tempfile.TemporaryDirectory() as folder:
            whole, told = self.train(os.path.join(folder, "a"))
            means = [line.split(",")[0] for line in told]
            self.assertEqual(means, [f"toy {step}/7: loss {loss}" for step, loss in
                                     ((2, "0.500"), (4, "2.500"), (6, "4.500"), (7, "6.000"))])
            path = os.path.join(folder, "b")
            with self.assertRaises(KeyboardInterrupt):
                self.train(path, stop=5)
            again, told = self.train(path)
            self.assertEqual(told[0], "toy: goes on after step 4")
            self.assertTrue(torch.equal(whole, again))

    def test_another_schedule_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "a")
            self.train(path)
            with self.assertRaisesRegex(Refused, "was begun with steps 7, not 9; give that again"):
                self.train(path, steps=9)


class FromNothing(unittest.TestCase):
    """One training for all of these; it is interrupted after the vision tower's first step."""

    @classmethod
    def setUpClass(cls):
        keep = tempfile.TemporaryDirectory()
        cls.addClassCleanup(keep.cleanup)
        cls.folder, cls.model = os.path.join(keep.name, "work"), os.path.join(keep.name, "model.safetensors")
        cls.interrupted = cls.train(stop="vision 1/2")
        cls.halfway = os.listdir(cls.folder)
        cls.finished = cls.train()

    @classmethod
    def train(cls, stop=None):
        """Exit code and lines; a line that begins with `stop` interrupts."""
        told = []

        def say(line):
            told.append(line)
            if stop and line.startswith(stop):
                raise KeyboardInterrupt

        arguments = ["--work", cls.folder, "-o", cls.model, "--scenes", str(SCENES), "--threads", "2"]
        for stage in ("vision", "text", "psi"):
            arguments += [f"--{stage}-steps", "2"]
        with mock.patch.object(train, "say", say), mock.patch.object(stages, "EVERY", 1), \
                contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as errors:
            code = run("train.py", lambda: train.train(train.parse(arguments)))
        return code, told + errors.getvalue().splitlines()

    def t2d(self, *arguments):
        if not T2D:
            self.skipTest("T2D_BIN is not set: it is the path of t2d, which reads the model here")
        done = subprocess.run([T2D, *arguments], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def state(self, name):
        return torch.load(os.path.join(self.folder, name))

    def load(self, network, name):
        network.load_state_dict(self.state(name))
        return network

    def cosines(self, found, wanted):
        return torch.nn.functional.cosine_similarity(torch.as_tensor(found), wanted.float(), dim=-1)

    def picture(self):
        """A view of the towers' size: its pixels, and a file of them."""
        pixels = np.ascontiguousarray(world.scene(3).picture[180:180 + towers.CROP, 100:100 + towers.CROP])
        path = os.path.join(self.folder, "view.png")
        cv2.imwrite(path, pixels[..., ::-1])
        return pixels, path

    def test_interrupted_and_gone_on_with(self):
        code, told = self.interrupted
        self.assertEqual(code, 130, told)
        self.assertIn("the same command goes on", told[-1])
        self.assertIn("vision.pth.steps", self.halfway)
        self.assertNotIn("vision.pth", self.halfway)
        code, told = self.finished
        self.assertEqual(code, 0, told)
        self.assertIn("vision: goes on after step 1", told)
        self.assertFalse([line for line in told if line.startswith("vision 1/2")], told)
        self.assertFalse([name for name in os.listdir(self.folder) if name.endswith((".steps", ".part"))])

    def test_a_stage_made_again(self):
        """The same bits; the stages before it are not run."""
        psi = self.state("psi.pth")
        os.unlink(os.path.join(self.folder, "psi.pth"))
        code, told = self.train()
        self.assertEqual(code, 0, told)
        self.assertFalse([line for line in told if line.startswith(("vision", "text"))], told)
        for name, value in self.state("psi.pth").items():
            self.assertTrue(torch.equal(value, psi[name]), name)

    def test_size(self):
        self.assertLess(os.path.getsize(self.model), 8_000_000)

    def test_engine_accepts_it(self):
        self.assertIn("windows of 140 every 49", self.t2d("info", self.model))
        self.assertIn("sound", self.t2d("verify", self.model))
        mask = os.path.join(self.folder, "mask.png")
        self.t2d("segment", self.picture()[1], "-m", self.model, "-c", "sky,grass,red car", "-o", mask)
        self.assertEqual(cv2.imread(mask).shape[:2], (towers.CROP, towers.CROP))

    @torch.no_grad()
    def test_engine_sees_what_the_tower_sees(self):
        pixels, path = self.picture()
        out = os.path.join(self.folder, "features.safetensors")
        self.t2d("features", path, "-m", self.model, "-o", out)
        found = load_file(out)
        tokens, qkv = self.load(towers.Vision(), "vision.pth")(torch.from_numpy(pixels[None]))
        heads = towers.head_embeddings(tokens, qkv)[0]
        # The file's matrices are fp16; the towers' are not.
        self.assertGreater(float(self.cosines(found["patch_tokens"], tokens[0, 1 + towers.REGISTERS:]).min()), 0.9999)
        self.assertGreater(float(self.cosines(found["head_embeddings"], heads).min()), 0.9999)

    @torch.no_grad()
    def test_engine_reads_words_as_the_tower_does(self):
        tokenizer = bpe.Tokenizer(self.state("merges.pt"))
        text, psi = self.load(towers.Text(tokenizer.size), "text.pth"), self.load(towers.Psi(), "psi.pth")
        out = os.path.join(self.folder, "words.npy")
        self.t2d("text", "-m", self.model, "-c", "red car,beach umbrella", "-o", out)
        for found, name in zip(np.load(out), ("red car", "beach umbrella")):
            ids = torch.tensor([tokenizer.encode(f"a photo of a {name}.")])
            self.assertGreater(float(self.cosines(found, psi(text(ids))[0])), 0.9999)

    def test_evaluation(self):
        """Scenes are drawn, segmented and counted; two steps teach nothing, so only the form is looked at."""
        if not T2D:
            self.skipTest("T2D_BIN is not set: it is the path of t2d, which evaluate.py runs")
        if not importlib.util.find_spec("PIL"):
            self.skipTest("evaluate.py reads masks with Pillow: apt install python3-pil")
        result = os.path.join(self.folder, "result.json")
        done = subprocess.run([sys.executable, os.path.join(setting.EXPORT, "demo", "evaluate.py"), "-m", self.model,
                               "--t2d", T2D, "--scenes", "1", "--json", result], capture_output=True, text=True,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"plain names +0\.\d+ +0\.\d+ +0\.\d+")
        with open(result, encoding="utf-8") as file:
            told = json.load(file)
        self.assertEqual(told["scenes"], 1)
        self.assertTrue(0 < told["chance"]["phrases"] < told["chance"]["nouns"] < 0.1, told)


if __name__ == "__main__":
    unittest.main()
