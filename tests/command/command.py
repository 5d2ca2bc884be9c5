"""command.py -- running t2d from tests, and reading what it writes."""

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

try:
    import numpy as np
    from PIL import Image
except ImportError as problem:
    print(f"skipped: {problem}")
    sys.exit(77)

T2D = os.environ["T2D_BIN"]
MODEL = os.environ.get("T2D_TINY_MODEL", "")
PICTURE = os.environ.get("T2D_TEST_PICTURE", "")

def need_tiny_model():
    """Ends the program as skipped where prepare.py could not make the model."""
    if not os.path.exists(MODEL):
        print(f"skipped: no {MODEL} (python3 with numpy and xxhash makes it)")
        sys.exit(77)


def read(path):
    """The bytes of a file."""
    with open(path, "rb") as file:
        return file.read()


def safetensors(path):
    """The tensors of a safetensors file as arrays, and its metadata."""
    kinds = {"F32": np.float32, "I32": np.int32, "U8": np.uint8}
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    metadata = header.pop("__metadata__", {})
    return {name: np.frombuffer(data[slice(*t["data_offsets"])], kinds[t["dtype"]]).reshape(t["shape"])
            for name, t in header.items()}, metadata


def mask(path):
    """The ids of a mask file."""
    with Image.open(path) as image:
        return np.asarray(image).astype(np.int64)


class CommandTest(unittest.TestCase):
    """A folder of its own for every test, which is the current folder of the commands."""

    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return self.path(name)

    def files(self):
        return sorted(os.listdir(self.folder))

    def t2d(self, *arguments, code=0, stdin=None, environment=None):
        """Runs t2d; (stdout, stderr) as text.  Any other exit code than `code` fails the test."""
        done = subprocess.run([T2D, *arguments], cwd=self.folder, capture_output=True, input=stdin,
                              env={**os.environ, **(environment or {})}, timeout=300, check=False)
        message = done.stderr.decode()
        self.assertEqual(done.returncode, code, f"t2d {' '.join(arguments)}: {message}")
        self.stdout_bytes = done.stdout
        return done.stdout.decode(errors="replace"), message

    def refuses(self, code, words, *arguments, **more):
        """t2d must fail with this code and one sentence that has these words in it."""
        before = self.files()
        _, message = self.t2d(*arguments, code=code, **more)
        lines = [line for line in message.splitlines() if line != "t2d: device cpu"]
        self.assertEqual(len(lines), 1, message)
        self.assertTrue(lines[0].startswith("t2d: "), message)
        for word in words.split("|"):
            self.assertIn(word, message)
        self.assertEqual(self.files(), before, "a file was left behind")


def main():
    unittest.main(verbosity=2)
