"""The random model: sizes, the same bytes twice, nothing but the seed decides, and a table that reads back."""

import contextlib
import hashlib
import io
import os
import subprocess
import sys
import tempfile
import unittest

import setting
import numpy as np
from safetensors import safe_open

import merges
import random_model
from architecture import Vision, vision_tensors


class RandomModel(unittest.TestCase):
    def setUp(self):
        keep = tempfile.TemporaryDirectory()
        self.addCleanup(keep.cleanup)
        self.root = keep.name

    def make(self, *arguments):
        path = os.path.join(self.root, "m.safetensors")
        with contextlib.redirect_stdout(io.StringIO()):
            random_model.make(random_model.parse(["--size", "tiny", *arguments, "-o", path]))
        return path

    def digest(self, *arguments):
        with open(self.make(*arguments), "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()

    def test_same_bytes_twice(self):
        first = self.digest("--seed", "3")
        self.assertEqual(self.digest("--seed", "3"), first)
        self.assertNotEqual(self.digest("--seed", "4"), first)

    def test_values(self):
        """A value does not depend on NumPy's distributions: it is the top 24 bits of Philox's words."""
        found = random_model.uniform(0, "vision.norm.bias", (3,), -1.0, 1.0)
        self.assertEqual(found.dtype, np.float32)
        self.assertEqual([float(value) for value in found],
                         [0.9675322771072388, 0.8537330627441406, 0.4269232749938965])

    def test_contents(self):
        with safe_open(self.make("--registers", "0", "--dtype", "bf16"), framework="pt") as file:
            lines, table = file.metadata(), bytes(file.get_tensor("tokenizer.merges").numpy())
            self.assertNotIn("vision.register_tokens", file.keys())
            self.assertEqual(file.get_slice("vision.blocks.3.attn.qkv.weight").get_dtype(), "BF16")
            for name in file.keys():
                self.assertTrue(bool(file.get_tensor(name).float().isfinite().all()), name)
        self.assertEqual(lines["license.psi"], "none (seeded random weights)")
        self.assertEqual(int(lines["text.vocabulary"]), merges.count(table) + merges.SPECIALS)

    def test_published_sizes(self):
        """Parameters, as the official classes count them (mask_token included)."""
        counts = {"s": 22058112, "b": 86583552, "l": 304372736, "g": 1136486912}
        for size, want in counts.items():
            vision = Vision(patch=14, registers=4, grid=37, **random_model.SIZES[size])
            found = sum(int(np.prod(shape)) for _, shape in vision_tensors(vision))
            self.assertEqual(found + vision.dim, want)

    def test_command(self):
        command = [sys.executable, os.path.join(setting.EXPORT, "random_model.py"), "--size", "tiny"]
        for more, code in ((["-o", os.path.join(self.root, "x")], 0), ([], 2), (["--registers", "3", "-o", "x"], 2),
                           (["--merges", "/nowhere", "-o", os.path.join(self.root, "y")], 3)):
            done = subprocess.run([*command, *more], capture_output=True, text=True)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertEqual(len(done.stderr.splitlines()), 0 if code == 0 else 1, done.stderr)
        self.assertEqual(os.listdir(self.root), ["x"])


if __name__ == "__main__":
    unittest.main()
