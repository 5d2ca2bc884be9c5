"""layouts.py -- how one family of names becomes another: the part all layouts share.

A layout answers, for an official name, which tensors of the checkpoint it is made of.  Everything in the
checkpoint that was neither asked for nor is known to be unused is refused: a tensor nobody understands is a model
nobody understands.
"""

import re
from dataclasses import dataclass
from typing import Callable

import numpy as np

from checkpoints import ACCEPTED
from modelfile import Tensor
from refusal import Refused, shape_text


@dataclass(frozen=True)
class Made:
    """An official tensor is made of these, one below the other, or of one transposed."""

    names: tuple
    transposed: bool = False


@dataclass(frozen=True)
class Layout:
    title: str
    made_of: Callable  # official name -> Made
    block: re.Pattern  # group 1: the block's number
    unused: re.Pattern  # whole names of tensors that are known and not needed


def same_names(name):
    return Made((name,))


def source_of(checkpoint, layout, name):
    source = checkpoint.sources.get(name)
    if source is None:
        raise Refused(f"{checkpoint.path}: tensor {checkpoint.prefix}{name} is missing ({layout.title})")
    if source.shape is None:
        raise Refused(f"{checkpoint.path}: {source.name} is a {source.dtype}; want a tensor")
    if source.dtype not in ACCEPTED:
        raise Refused(f"{checkpoint.path}: {source.name} is {source.dtype}; want one of {', '.join(ACCEPTED)}")
    return source


def has(checkpoint, layout, official):
    return layout.made_of(official).names[0] in checkpoint.sources


def shape_of(checkpoint, layout, official, rank):
    """The shape an official tensor will have, from its parts; its rank is checked."""
    made = layout.made_of(official)
    source = source_of(checkpoint, layout, made.names[0])
    if len(source.shape) != rank or 0 in source.shape:
        raise Refused(f"{checkpoint.path}: {source.name} is {shape_text(source.shape)}; want {rank} dimensions")
    if made.transposed:
        return source.shape[::-1]
    return (source.shape[0] * len(made.names), *source.shape[1:])


def count_blocks(checkpoint, layout):
    return len({match.group(1) for match in map(layout.block.match, checkpoint.sources) if match})


def checked_sources(checkpoint, layout, official, shape):
    """The parts of one official tensor, each of the shape it must have."""
    made = layout.made_of(official)
    want = shape[::-1] if made.transposed else (shape[0] // len(made.names), *shape[1:])
    sources = [source_of(checkpoint, layout, name) for name in made.names]
    for source in sources:
        if source.shape != want:
            raise Refused(f"{checkpoint.path}: {source.name} is {shape_text(source.shape)}; want {shape_text(want)}")
    return made, sources


def read_made(made, sources):
    parts = [source.read() for source in sources]
    if made.transposed:
        return parts[0].T
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def assemble(checkpoint, layout, wanted, prefix):
    """Model file tensors for `wanted` (official name, shape); refuses what is missing, misshapen or unknown."""
    tensors, used = [], set()
    for official, shape in wanted:
        made, sources = checked_sources(checkpoint, layout, official, shape)
        used.update(made.names)
        tensors.append(Tensor(prefix + official, shape,
                              lambda made=made, sources=sources: read_made(made, sources)))
    for name, source in checkpoint.sources.items():
        if name not in used and not layout.unused.fullmatch(name):
            what = f"a {source.dtype}" if source.shape is None else shape_text(source.shape)
            raise Refused(f"{checkpoint.path}: {source.name} ({what}) is not known in this layout ({layout.title})")
    return tensors
