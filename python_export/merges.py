"""merges.py -- CLIP's byte-pair merges from wherever they come, as the lines "left right\\n" a model file stores.

The vocabulary follows from them: 256 bytes, 256 bytes with </w>, one entry per merge, start and end.
"""

import json
import os
import zlib

import numpy as np

from modelfile import Tensor
from refusal import Refused

SPECIALS = 514  # what the vocabulary holds besides the merges
PUBLISHED = 48894  # OpenAI's file holds 262145 merges; its tokenizer uses lines 1..48894
END = "</w>"
MAX_BYTES = 64 << 20


def byte_alphabet():
    """The 256 characters that stand for bytes, in order of their ids (the printable ones first)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(256 - len(plain))]


def read_bytes(path):
    with open(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    if data[:2] == b"\x1f\x8b":
        unpack = zlib.decompressobj(wbits=31)
        try:
            data = unpack.decompress(data, MAX_BYTES + 1)
        except zlib.error as problem:
            raise Refused(f"{path}: the gzip data is damaged ({problem})") from None
        if not unpack.eof and len(data) <= MAX_BYTES:
            raise Refused(f"{path}: the gzip data ends too early")
    if len(data) > MAX_BYTES:
        raise Refused(f"{path}: larger than {MAX_BYTES >> 20} MiB; a merges file has about 3")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise Refused(f"{path}: not UTF-8 text ({problem})") from None


def pairs_of_text(path, text):
    """merges.txt and bpe_simple_vocab_16e6.txt: a #version line, then one merge per line."""
    lines = text.replace("\r\n", "\n").split("\n")
    if "#version" not in lines[0]:
        raise Refused(f"{path}: not a merges file: its first line should hold #version, it is {lines[0][:40]!r}")
    lines = lines[1:]
    if "bpe_simple_vocab_16e6" in text[:64]:
        lines = lines[:PUBLISHED]
    while lines and not lines[-1]:
        lines.pop()
    return [tuple(line.split(" ")) for line in lines]


def pairs_of_json(path, text):
    """tokenizer.json: model.merges as "left right" or [left, right], and a vocabulary that must agree."""
    try:
        model = json.loads(text)["model"]
        merges, kind = model["merges"], model.get("type", "BPE")
        vocabulary, suffix = model.get("vocab"), model.get("end_of_word_suffix")
        pairs = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in merges]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Refused(f"{path}: not a tokenizer.json with model.merges") from None
    if kind != "BPE" or suffix != END:
        raise Refused(f"{path}: not CLIP's tokenizer: want type BPE with end_of_word_suffix {END}, "
                      f"found {kind} with {suffix}")
    if isinstance(vocabulary, dict):
        for rank, pair in enumerate(pairs):
            if vocabulary.get("".join(map(str, pair))) != 512 + rank:
                raise Refused(f"{path}: not CLIP's tokenizer: merge {rank} should have id {512 + rank} in model.vocab")
    return pairs


def check(path, pairs):
    """Every merge joins two known symbols into a new one."""
    letters = byte_alphabet()
    known = set(letters) | {letter + END for letter in letters}
    for rank, pair in enumerate(pairs):
        if len(pair) != 2 or not all(isinstance(side, str) and side for side in pair):
            raise Refused(f"{path}: merge {rank + 1} is {' '.join(map(str, pair))[:60]!r}; "
                          "want two symbols separated by a space")
        for side in pair:
            if side not in known:
                raise Refused(f"{path}: merge {rank + 1} ({' '.join(pair)[:60]!r}) uses {side[:40]!r} "
                              "before it exists")
        if pair[0] + pair[1] in known:
            raise Refused(f"{path}: merge {rank + 1} ({' '.join(pair)[:60]!r}) makes a symbol that exists already")
        known.add(pair[0] + pair[1])


def load(path):
    """The merges of a file as the bytes to store; .txt, .txt.gz or tokenizer.json."""
    text = read_bytes(path)
    pairs = pairs_of_json(path, text) if text.lstrip()[:1] == "{" else pairs_of_text(path, text)
    if not pairs:
        raise Refused(f"{path}: holds no merges")
    check(path, pairs)
    return "".join(f"{left} {right}\n" for left, right in pairs).encode()


def count(table):
    return table.count(b"\n")


def tensor(table):
    return Tensor("tokenizer.merges", (len(table),), lambda: np.frombuffer(table, np.uint8), raw=True)


def find(folder):
    """The tokenizer file of a Hugging Face directory, or None."""
    for name in ("merges.txt", "tokenizer.json"):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            return path
    return None


def synthetic(words):
    """A small valid table that spells each word as one token; other text falls back to bytes."""
    letters = byte_alphabet()
    known, lines = set(letters) | {letter + END for letter in letters}, []
    for word in words:
        symbols = [*word[:-1], word[-1] + END]
        left = symbols[0]
        for right in symbols[1:]:
            if left + right not in known:
                lines.append(f"{left} {right}\n")
                known.add(left + right)
            left += right
    return "".join(lines).encode()
