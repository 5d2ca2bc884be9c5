"""What --crop, --stride, --short-side, --templates and --license leave in the model file, and nothing else of it."""

import contextlib
import io
import os
import re
import tempfile
import unittest

import samples
import setting
from safetensors import safe_open

import export
import metadata

ENGINE_TEMPLATES = os.path.join(os.path.dirname(setting.EXPORT), "host", "model", "templates.c")


class Windows(unittest.TestCase):
    def export(self, *more):
        """Metadata of a model."""
        with tempfile.TemporaryDirectory() as folder:
            def path(name):
                return os.path.join(folder, name)
            given = ["--dinov2", samples.save(samples.dinov2(), path("dinov2.pth")),
                     "--clip", samples.save(samples.clip(), path("clip.pt")),
                     "--psi", samples.save(samples.psi(), path("psi.pth")),
                     "--merges", samples.merges_file(path("merges.txt")), "-o", path("model.safetensors")]
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                export.export(export.parse([*given, *more]))
            with safe_open(path("model.safetensors"), framework="pt") as file:
                return {key: value for key, value in file.metadata().items() if key != "checksum.__metadata__"}

    def test_what_is_given_is_written(self):
        published = self.export()
        lines = self.export("--crop", "140", "--stride", "140", "--short-side", "336", "--templates", "simple",
                            "--license", "CC0-1.0")
        changed = {key: value for key, value in lines.items() if published[key] != value}
        self.assertEqual(changed, {"segment.crop": "140", "preprocess.size": "140", "segment.stride": "140",
                                   "segment.short_side": "336", "segment.templates": "simple",
                                   "license.dinov2": "CC0-1.0", "license.clip": "CC0-1.0", "license.psi": "CC0-1.0"})
        self.assertEqual(published.keys(), lines.keys())

    def test_templates_are_the_engines(self):
        with open(ENGINE_TEMPLATES, encoding="utf-8") as file:
            table = re.search(r"\bsets\[\] = \{(.*?)\n\};", file.read(), re.DOTALL)[1]
        self.assertEqual(tuple(re.findall(r'\{"([^"]+)",', table)), metadata.TEMPLATES)


if __name__ == "__main__":
    unittest.main()
