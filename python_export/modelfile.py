"""modelfile.py -- writes the one model file: safetensors, metadata and a checksum per tensor, whole or not at all.

Tensors are read, converted and written one at a time, so a ViT-g never stands in memory twice: the header is
written first with checksums of zeros and again, at the same length, when they are known.
"""

import json
import os
import struct
import tempfile
from dataclasses import dataclass
from typing import Callable

import numpy as np
import xxhash

from refusal import Refused, shape_text

ALIGNMENT = 64
NO_CHECKSUM = "0" * 16
DTYPES = {"fp32": ("F32", 4), "fp16": ("F16", 2), "bf16": ("BF16", 2)}
ALWAYS_F32 = {"vision.cls_token", "vision.register_tokens", "vision.pos_embed", "text.positional_embedding"}


@dataclass(frozen=True)
class Tensor:
    name: str
    shape: tuple
    read: Callable  # () -> numpy float32 of that shape, or uint8 for raw bytes
    raw: bool = False


def stored_type(tensor, dtype):
    """The safetensors type and bytes per value: matrices follow --dtype, vectors and tables of tokens stay F32."""
    if tensor.raw:
        return "U8", 1
    if len(tensor.shape) < 2 or tensor.name in ALWAYS_F32:
        return DTYPES["fp32"]
    return DTYPES[dtype]


def to_bf16(values):
    """Bits of bfloat16, rounded to nearest even."""
    bits = values.view(np.uint32)
    return ((bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))) >> np.uint32(16)).astype(np.uint16)


def encode(tensor, kind):
    """The tensor's bytes as they stand in the file; refuses what is not finite, before or after rounding."""
    values = np.ascontiguousarray(tensor.read())
    if tuple(values.shape) != tuple(tensor.shape):
        raise Refused(f"{tensor.name} was read as {shape_text(values.shape)}; want {shape_text(tensor.shape)}")
    if kind == "U8":
        return values.tobytes()
    if kind == "F32":
        return values.astype("<f4", copy=False).tobytes()
    if kind == "F16":
        with np.errstate(over="ignore"):
            small = values.astype("<f2")
        overflow = np.isinf(small)
    else:
        small = to_bf16(values)
        overflow = (small & 0x7FFF) == 0x7F80
    if overflow.any():
        worst = float(np.abs(values).max())
        raise Refused(f"{tensor.name} does not fit {kind}: its largest value is {worst:g}; use --dtype fp32"
                      + (" or bf16" if kind == "F16" else ""))
    return small.astype("<u2", copy=False).tobytes() if kind == "BF16" else small.tobytes()


def metadata_checksum(metadata):
    """XXH3-64 over every other key, sorted, as "key=value\\n"."""
    text = "".join(f"{key}={metadata[key]}\n" for key in sorted(metadata) if key != "checksum.__metadata__")
    return xxhash.xxh3_64_hexdigest(text.encode())


def header_bytes(tensors, metadata, dtype):
    """Length and JSON, padded with spaces so that the data starts at a multiple of 64 bytes."""
    header, offset = {"__metadata__": metadata}, 0
    for tensor in tensors:
        kind, size = stored_type(tensor, dtype)
        end = offset + size * int(np.prod(tensor.shape, dtype=np.int64))
        header[tensor.name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    return struct.pack("<Q", len(text)) + text


def write_stream(file, tensors, metadata, dtype):
    metadata = dict(metadata)
    for tensor in tensors:
        metadata["checksum." + tensor.name] = NO_CHECKSUM
    metadata["checksum.__metadata__"] = NO_CHECKSUM
    first = header_bytes(tensors, metadata, dtype)
    file.write(first)
    for tensor in tensors:
        data = encode(tensor, stored_type(tensor, dtype)[0])
        metadata["checksum." + tensor.name] = xxhash.xxh3_64_hexdigest(data)
        file.write(data)
    metadata["checksum.__metadata__"] = metadata_checksum(metadata)
    final = header_bytes(tensors, metadata, dtype)
    assert len(final) == len(first)
    file.seek(0)
    file.write(final)


def write(path, tensors, metadata, dtype):
    """Writes the tensors (in this order) and metadata to `path`; returns its size in bytes."""
    folder, name = os.path.split(os.path.abspath(path))
    handle, temporary = tempfile.mkstemp(prefix=name + ".", suffix=".part", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            write_stream(file, list(tensors), metadata, dtype)
            file.flush()
            os.fsync(file.fileno())
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return os.path.getsize(path)
