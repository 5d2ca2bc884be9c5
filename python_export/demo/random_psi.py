"""random_psi.py -- a model with psi's weights drawn anew, all else the same: what words find without training."""

import json
import struct

import modelfile
import numpy as np

STORED = {"F32": "<f4", "F16": "<f2", "U8": "u1"}


def tensors_of(path):
    """A model file's tensors, as modelfile writes them, and its metadata without checksums."""
    with open(path, "rb") as file:
        content = file.read()
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:8 + length])
    metadata = {key: value for key, value in header.pop("__metadata__").items() if not key.startswith("checksum.")}

    def reader(entry):
        start, end = (8 + length + offset for offset in entry["data_offsets"])
        values = np.frombuffer(content[start:end], STORED[entry["dtype"]]).reshape(entry["shape"])
        return lambda: values if entry["dtype"] == "U8" else values.astype(np.float32)

    return [modelfile.Tensor(name, tuple(entry["shape"]), reader(entry), entry["dtype"] == "U8")
            for name, entry in header.items()], metadata


def drawn_anew(tensor, rng):
    """Normal numbers of the same spread."""
    values = (rng.standard_normal(tensor.shape) * tensor.read().std()).astype(np.float32)
    return modelfile.Tensor(tensor.name, tensor.shape, lambda: values)


def write(model, path, seed=0):
    tensors, metadata = tensors_of(model)
    rng = np.random.default_rng(seed)
    modelfile.write(path, [drawn_anew(t, rng) if t.name.startswith("psi.") else t for t in tensors], metadata,
                    metadata["dtype"])
