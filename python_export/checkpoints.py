"""checkpoints.py -- opens published checkpoints, offline and without running code from them.

A checkpoint is a list of named sources whose values are read one at a time, and each only once: a .pth is let go
of tensor by tensor.  Pickles are opened with weights_only, TorchScript archives through torch.jit.
"""

import json
import os
import zipfile

import numpy as np
import safetensors
import torch

from refusal import Refused, shape_text

TORCH_NAMES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}  # as safetensors calls them
ACCEPTED = ("F32", "F16", "BF16")
WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin",
                "pytorch_model.bin.index.json")


class Source:
    """One tensor of a checkpoint; `shape` is None for a value that is not a tensor."""

    def __init__(self, path, name, shape, dtype, load):
        self.path, self.name, self.shape, self.dtype, self.load = path, name, shape, dtype, load

    def read(self):
        """Its values as fp32; NaN or Inf is refused."""
        values = self.load().detach().to(torch.float32).contiguous().numpy()
        bad = ~np.isfinite(values)
        if bad.any():
            index = [int(i) for i in np.unravel_index(int(bad.argmax()), values.shape)]
            raise Refused(f"{self.path}: {self.name} holds {values[tuple(index)]} at {shape_text(index)}")
        return values


class Checkpoint:
    """Sources by name, and the files they came from; `prefix` was cut off their names, for messages."""

    def __init__(self, path, files, sources, prefix=""):
        self.path, self.files, self.sources, self.prefix = path, files, sources, prefix

    def under(self, prefix):
        """Only the sources with that prefix, without it."""
        sources = {name[len(prefix):]: source for name, source in self.sources.items() if name.startswith(prefix)}
        return Checkpoint(self.path, self.files, sources, prefix)

    def without(self, prefix):
        """All sources, the prefix cut off where it stands."""
        shortened = {}
        for name, source in self.sources.items():
            short = name[len(prefix):] if name.startswith(prefix) else name
            if short in shortened:
                raise Refused(f"{self.path}: both {short} and {prefix}{short} are there; want one of them")
            shortened[short] = source
        return Checkpoint(self.path, self.files, shortened, prefix)


# ---- single files ----


def is_torchscript(path):
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.split("/", 1)[-1] == "constants.pkl" for name in archive.namelist())


def reason_of(problem):
    """The first line of what a reader said, without torch's advice to load the file unsafely."""
    text = str(problem).split("WeightsUnpickler error:")[-1].strip() or type(problem).__name__
    return text.splitlines()[0][:200]


def load_state(path):
    """A dictionary of tensors from a .pth, .pt or .bin of any age."""
    try:
        if is_torchscript(path):
            return dict(torch.jit.load(path, map_location="cpu").state_dict())
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # the unpicklers raise anything at all on a damaged or foreign file
        raise Refused(f"{path}: not a PyTorch checkpoint of plain tensors ({reason_of(problem)})") from None
    if not isinstance(state, dict):
        raise Refused(f"{path}: holds a {type(state).__name__}; want a dictionary of tensors")
    return dict(state)


def open_pickle(path):
    state, sources = load_state(path), {}
    for name, value in state.items():
        if not isinstance(name, str):
            raise Refused(f"{path}: holds an entry named {name!r}; want a dictionary of named tensors")
        if isinstance(value, torch.Tensor):
            kind = str(value.dtype if value.layout is torch.strided else value.layout).replace("torch.", "")
            kind = TORCH_NAMES.get(kind, kind)
            sources[name] = Source(path, name, tuple(value.shape), kind, lambda name=name: state.pop(name))
        else:
            sources[name] = Source(path, name, None, type(value).__name__, None)
    return sources


def open_safetensors(path):
    try:
        file = safetensors.safe_open(path, framework="pt")
        slices = {name: file.get_slice(name) for name in file.keys()}
        return {name: Source(path, name, tuple(s.get_shape()), s.get_dtype(), lambda name=name: file.get_tensor(name))
                for name, s in slices.items()}
    except Exception as problem:  # safetensors' own errors share no base class across versions
        raise Refused(f"{path}: not a safetensors file ({reason_of(problem)})") from None


def open_file(path):
    with open(path, "rb"):
        pass  # a file that cannot be read says so as such, not as a damaged checkpoint
    return open_safetensors(path) if path.endswith(".safetensors") else open_pickle(path)


# ---- directories ----


def read_json(path):
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except (ValueError, RecursionError) as problem:
        raise Refused(f"{path}: not JSON ({problem})") from None
    if not isinstance(content, dict):
        raise Refused(f"{path}: want a JSON object, found a {type(content).__name__}")
    return content


def open_shards(index_path):
    """The files an index names, each tensor from the file it is promised in."""
    folder, promised = os.path.dirname(index_path), read_json(index_path).get("weight_map")
    if not isinstance(promised, dict) or not all(isinstance(shard, str) for shard in promised.values()):
        raise Refused(f"{index_path}: has no weight_map from tensors to files")
    shards = sorted(set(promised.values()))
    for shard in shards:
        if os.path.basename(shard) != shard or shard in ("", ".", "..") or not shard.isprintable():
            raise Refused(f"{index_path}: names the file {shard!r}; want a file beside the index")
    opened = {shard: open_file(os.path.join(folder, shard)) for shard in shards}
    for name, shard in promised.items():
        if name not in opened[shard]:
            raise Refused(f"{index_path}: promises {name} in {shard}; it is not there")
    sources = {}
    for shard in shards:
        for name, source in opened[shard].items():
            if name in sources:
                raise Refused(f"{os.path.join(folder, shard)}: {name} is also in {sources[name].path}")
            sources[name] = source
    return [os.path.join(folder, shard) for shard in shards], sources


def open_checkpoint(path):
    """A file, or a Hugging Face directory with its weights in one file or several."""
    if not os.path.isdir(path):
        return Checkpoint(path, [path], open_file(path))
    for name in WEIGHT_FILES:
        weights = os.path.join(path, name)
        if os.path.isfile(weights):
            files, sources = open_shards(weights) if name.endswith(".json") else ([weights], open_file(weights))
            return Checkpoint(path, files, sources)
    raise Refused(f"{path}: a directory without weights; want one of {', '.join(WEIGHT_FILES)}")
