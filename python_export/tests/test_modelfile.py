"""The file itself: dtypes, rounding, checksums, alignment, order; the same bytes twice; whole or not at all."""

import json
import os
import struct
import tempfile
import unittest

import setting  # noqa: F401
import numpy as np
import torch
import xxhash

import architecture
import metadata
import modelfile
from refusal import Refused

VISION = architecture.Vision(dim=64, depth=1, hidden=96, patch=14, registers=4, grid=2, swiglu=False)
TEXT = architecture.Text(dim=64, depth=1, hidden=96, context=8, vocabulary=515, embed=32)
TABLE = b"i n\n"


def values(shape, seed=5):
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float32)


def model():
    tensors = [modelfile.Tensor(name, shape, lambda shape=shape: values(shape))
               for name, shape in architecture.model_tensors(VISION, TEXT)]
    return [*tensors, modelfile.Tensor("tokenizer.merges", (len(TABLE),), lambda: np.frombuffer(TABLE, np.uint8), True)]


class File(unittest.TestCase):
    def setUp(self):
        keep = tempfile.TemporaryDirectory()
        self.addCleanup(keep.cleanup)
        self.root = keep.name
        self.path = os.path.join(self.root, "model.safetensors")

    def write(self, dtype="fp32", tensors=None):
        """Header, data and metadata of the file that was written."""
        size = modelfile.write(self.path, tensors or model(), metadata.describe(VISION, TEXT, dtype), dtype)
        with open(self.path, "rb") as file:
            raw = file.read()
        self.assertEqual(len(raw), size)
        length = struct.unpack("<Q", raw[:8])[0]
        self.assertEqual((8 + length) % 64, 0)
        header = json.loads(raw[8 : 8 + length])
        return header, raw[8 + length :], header.pop("__metadata__")

    def test_order_and_no_holes(self):
        header, data, _ = self.write()
        self.assertEqual(list(header), [tensor.name for tensor in model()])
        end = 0
        for entry in header.values():
            self.assertEqual(entry["data_offsets"][0], end)
            end = entry["data_offsets"][1]
        self.assertEqual(end, len(data))

    def test_dtypes(self):
        kept = {"vision.cls_token", "vision.register_tokens", "vision.pos_embed", "text.positional_embedding"}
        for dtype, kind in (("fp32", "F32"), ("fp16", "F16"), ("bf16", "BF16")):
            header, _, lines = self.write(dtype)
            self.assertEqual(lines["dtype"], dtype)
            for name, entry in header.items():
                want = "F32" if len(entry["shape"]) < 2 or name in kept else kind
                self.assertEqual(entry["dtype"], "U8" if name == "tokenizer.merges" else want, name)

    def test_rounding_is_torchs(self):
        edge = torch.tensor([0.0, -0.0, 1.0, 1 + 2**-8, 1 + 2**-9, 1 + 3 * 2**-9, 65504.0, 65519.0, 3e-8, 1e-40, -3.25],
                            dtype=torch.float32)
        random = torch.from_numpy(values((4096,)))
        array = torch.cat([edge, random]).numpy()
        for kind, dtype in (("F16", torch.float16), ("BF16", torch.bfloat16)):
            tensor = modelfile.Tensor("x", array.shape, lambda: array)
            want = torch.from_numpy(array).to(dtype).view(torch.int16).numpy().tobytes()
            self.assertEqual(modelfile.encode(tensor, kind), want)

    def test_overflow(self):
        for kind, value, words in (("F16", 65520.0, "use --dtype fp32 or bf16"), ("BF16", 3.4e38, "use --dtype fp32")):
            tensor = modelfile.Tensor("x", (1,), lambda value=value: np.array([value], np.float32))
            with self.assertRaisesRegex(Refused, f"x does not fit {kind}.*{words}"):
                modelfile.encode(tensor, kind)

    def test_checksums(self):
        for dtype in ("fp32", "fp16"):
            header, data, lines = self.write(dtype)
            for name, entry in header.items():
                start, end = entry["data_offsets"]
                self.assertEqual(lines["checksum." + name], xxhash.xxh3_64(data[start:end]).hexdigest(), name)
            own = lines.pop("checksum.__metadata__")
            text = "".join(f"{key}={value}\n" for key, value in sorted(lines.items()))
            self.assertEqual(own, xxhash.xxh3_64(text.encode()).hexdigest())
            self.assertEqual(len(own), 16)

    def test_checksum_is_xxh3_64_in_hex(self):
        self.assertEqual(xxhash.xxh3_64_hexdigest(b""), "2d06800538d394c2")  # xxHash's own test vector, seed 0

    def test_same_bytes_twice(self):
        self.write()
        with open(self.path, "rb") as file:
            first = file.read()
        self.write()
        with open(self.path, "rb") as file:
            self.assertEqual(file.read(), first)

    def test_whole_or_not_at_all(self):
        def broken():
            raise Refused("in the middle")

        tensors = model()
        tensors[20] = modelfile.Tensor(tensors[20].name, tensors[20].shape, broken)
        with open(self.path, "wb") as file:
            file.write(b"before")
        with self.assertRaisesRegex(Refused, "in the middle"):
            self.write(tensors=tensors)
        self.assertEqual(os.listdir(self.root), ["model.safetensors"])
        with open(self.path, "rb") as file:
            self.assertEqual(file.read(), b"before")

    def test_published_numbers(self):
        lines = metadata.describe(VISION, TEXT, "fp32")
        self.assertEqual(lines["segment.background"], "0.55")
        large = architecture.Vision(dim=1024, depth=24, hidden=4096, patch=14, registers=4, grid=37, swiglu=False)
        self.assertEqual(metadata.describe(large, TEXT, "fp32")["segment.background"], "0.54")


if __name__ == "__main__":
    unittest.main()
