"""test_demo.py -- the model that ships: what `t2d demo` shows, and how well the model answers."""

import json
import os
import re
import subprocess
import sys

import numpy as np
from command import T2D, CommandTest, main, mask, read
from PIL import Image

DEMO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../python_export/demo")
MODEL = os.path.join(DEMO, "model.safetensors")
ACCURACY = os.path.join(DEMO, "accuracy.json")
FALL = 0.005  # of an mIoU, at most
SAMPLES = ("beach", "meadow", "town", "balloons")


class Demo(CommandTest):
    def test_every_sample(self):
        for name in SAMPLES:
            out, _ = self.t2d("demo", name)
            ids = mask(self.path(f"{name}_mask.png"))
            with Image.open(os.path.join(DEMO, "samples", f"{name}.png")) as picture:
                self.assertEqual(ids.shape, picture.size[::-1])
            told = {int(row[0]): (row[1], float(row[2])) for row in re.findall(r"^ +(\d+)  (\S.*?) +([\d.]+) %$", out, re.M)}
            words = re.search("^words +(.*)$", out, re.M).group(1).split(",")
            for label, part in zip(*np.unique(ids, return_counts=True)):
                self.assertEqual(told.pop(int(label)), (words[label], round(100 * part / ids.size, 1)))
            self.assertFalse(told)
            self.assertGreaterEqual(len(np.unique(ids)), 4, f"{name}: words that are not found")
            self.assertIn(f"./{name}_overlay.png", out)
            self.assertNotIn("\033", out, "colours belong to a terminal")
            self.assertRegex(out, r"t2d segment PICTURE -m \S+model\.safetensors")
        self.assertEqual(len(self.files()), 2 * len(SAMPLES))

    def test_words_of_ones_own(self):
        self.t2d("demo", "town", "-c", "sky,cottage;home", "-o", ".", "-q")
        self.assertLessEqual(set(np.unique(mask(self.path("town_mask.png")))), {0, 1})

    def test_json(self):
        out, _ = self.t2d("demo", "--json")
        told = json.loads(out)
        self.assertEqual(mask(self.path(told["mask"])).max() < len(told["classes"]), True)
        self.assertTrue(os.path.exists(self.path(told["overlay"])))

    def test_the_same_as_segment(self):
        told = json.loads(self.t2d("demo", "--json")[0])
        self.t2d("segment", told["picture"], "-m", told["model"], "-c", ",".join(told["classes"]), "-o", "again.png",
                 "--overlay", "look.png")
        self.assertEqual(read(self.path("again.png")), read(self.path(told["mask"])))
        self.assertEqual(read(self.path("look.png")), read(self.path(told["overlay"])))

    def test_bf16_sees_the_same(self):
        for name in SAMPLES:
            self.t2d("demo", name, "-q", "-o", self.folder)
            exact = mask(self.path(f"{name}_mask.png"))
            self.t2d("demo", name, "-q", "-o", self.folder, "--dtype", "bf16")
            self.assertGreaterEqual((mask(self.path(f"{name}_mask.png")) == exact).mean(), 0.99, name)

    def test_refusals(self):
        self.refuses(2, "no sample 'harbour'|beach, meadow, town, balloons", "demo", "harbour")
        self.refuses(2, "one sample", "demo", "beach", "town")
        for more in (("beach",), ("-c", "sky"), ("-o", "."), ("--json",)):
            self.refuses(2, "--eval has scenes and words of its own", "demo", "--eval", *more)
        self.refuses(1, "/nonexistent/beach_overlay.png", "demo", "-q", "-o", "/nonexistent")
        self.refuses(4, "cuda", "demo", "-q", "--device", "cuda:63")


class Accuracy(CommandTest):
    def test_it_has_not_fallen(self):
        """The scores on the scenes that accuracy.json tells of, by the command that made it."""
        with open(ACCURACY, encoding="utf-8") as file:
            wanted = json.load(file)["gate"]
        done = subprocess.run([sys.executable, os.path.join(DEMO, "evaluate.py"), "-m", MODEL, "--t2d", T2D, "--scenes",
                               str(wanted["scenes"]), "--json", self.path("scores.json")],
                              capture_output=True, text=True, check=False)
        if "apt install" in done.stderr:
            self.skipTest(done.stderr.strip())
        self.assertEqual(done.returncode, 0, done.stderr)
        found = json.loads(read(self.path("scores.json")))
        for key in ("nouns", "phrases"):
            self.assertGreaterEqual(found[key], wanted[key] - FALL, f"{key}: {found}")
            self.assertGreater(found[key], 5 * max(found["random_psi"][key], found["chance"][key]), key)


if __name__ == "__main__":
    main()
