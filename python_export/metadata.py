"""metadata.py -- what a model file says about itself, as strings; the C reader knows exactly these keys.

The numbers are the published ones: preprocessing and thresholds from the released configurations of Talk2DINO,
the position rules from the DINOv2 hub entry points.
"""

import hashlib
import os

from architecture import HEAD

EXPORTER = "talk2dino python_export 0.1.0"

# The sets of prompts that the engine knows (host/model/templates.c).
TEMPLATES = ("sub_imagenet_template", "simple", "simple_imagenet_template", "identity", "plural", "maskclip", "full",
             "subset", "full+maskclip", "subset+maskclip", "custom")


def position_rule(registers, rule):
    """antialias, offset.  Hub models with registers resize to a size with antialiasing; those without use a scale
    factor of (n + 0.1) / grid.  `size` is what Hugging Face's Dinov2 does today: a size, without the 0.1."""
    if registers:
        return "true", "0.0"
    return "false", "0.1" if rule == "hub" else "0.0"


def describe(vision, text, dtype, position="hub"):
    antialias, offset = position_rule(vision.registers, position)
    return {
        "format": "talk2dino",
        "format_version": "1",
        "vision.dim": str(vision.dim),
        "vision.depth": str(vision.depth),
        "vision.heads": str(vision.dim // HEAD),
        "vision.hidden": str(vision.hidden),
        "vision.patch": str(vision.patch),
        "vision.registers": str(vision.registers),
        "vision.grid": str(vision.grid),
        "vision.ffn": "swiglu" if vision.swiglu else "mlp",
        "vision.eps": "1e-06",
        "vision.activation": "gelu",
        "vision.position.antialias": antialias,
        "vision.position.offset": offset,
        "text.dim": str(text.dim),
        "text.depth": str(text.depth),
        "text.heads": str(text.dim // HEAD),
        "text.hidden": str(text.hidden),
        "text.context": str(text.context),
        "text.vocabulary": str(text.vocabulary),
        "text.embed": str(text.embed),
        "text.eps": "1e-05",
        "text.activation": "quick_gelu",
        "psi.activation": "tanh",
        "preprocess.mean": "0.485 0.456 0.406",
        "preprocess.std": "0.229 0.224 0.225",
        "preprocess.size": "448",
        "segment.crop": "448",
        "segment.stride": "224",
        "segment.short_side": "448",
        "segment.long_side": "2048",
        "segment.templates": "sub_imagenet_template",
        "segment.background": "0.54" if vision.dim == 1024 else "0.55",
        "segment.clean_lambda": "0.2",
        "dtype": dtype,
        "exporter": EXPORTER,
    }


def base_name(path):
    """The file's name, where it is not UTF-8 with question marks."""
    return os.path.basename(path).encode("utf-8", "replace").decode()


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def describe_sources(names, digests, licenses):
    """source.* and license.*; `names` and `digests` by dinov2, clip, psi, merges."""
    lines = {}
    for part in ("dinov2", "clip", "psi", "merges"):
        lines[f"source.{part}"] = names[part]
        lines[f"source.{part}.sha256"] = digests[part]
    for part in ("dinov2", "clip", "psi"):
        lines[f"license.{part}"] = licenses[part]
    return lines
