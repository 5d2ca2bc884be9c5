"""layouts_dino.py -- DINOv2's weights: the official .pth and Hugging Face directories.

Hugging Face keeps query, key and value apart, in that order from top to bottom of the official matrix.
"""

import math
import os
import re

from architecture import HEAD, Vision, check_sizes, vision_tensors
from checkpoints import read_json
from layouts import Layout, Made, assemble, count_blocks, has, same_names, shape_of
from refusal import Refused, shape_text

CROP = 448  # the published window; the patch must divide it

OFFICIAL = Layout("official DINOv2", same_names, re.compile(r"blocks\.(\d+)\."), re.compile(r"mask_token"))

HF_PREFIXES = ("", "dinov2.", "dinov2_with_registers.")
HF_NAMES = {
    "cls_token": "embeddings.cls_token",
    "pos_embed": "embeddings.position_embeddings",
    "register_tokens": "embeddings.register_tokens",
    "patch_embed.proj": "embeddings.patch_embeddings.projection",
    "attn.proj": "attention.output.dense",
    "ls1.gamma": "layer_scale1.lambda1",
    "ls2.gamma": "layer_scale2.lambda1",
    "mlp.w12": "mlp.weights_in",
    "mlp.w3": "mlp.weights_out",
    "norm": "layernorm",
}
DINOV3 = re.compile(r"(storage_tokens|rope_embed\.periods|embeddings\.patch_embeddings\.weight"
                    r"|(.*\.)?layer\.\d+\.attention\.[qkvo]_proj\..*"
                    r"|blocks\.\d+\.(gamma_[12]|weight_[12]|attn\.qkv\.bias_mask))")


def hf_name(official):
    """Names without a kind (weight, bias) are whole in the table, the others by their stem."""
    if official in HF_NAMES:
        return HF_NAMES[official]
    stem, kind = official.rsplit(".", 1)
    return f"{HF_NAMES.get(stem, stem)}.{kind}"


def hf_made_of(official):
    match = re.fullmatch(r"blocks\.(\d+)\.(.+)", official)
    if not match:
        return Made((hf_name(official),))
    layer, inner = f"encoder.layer.{match.group(1)}.", match.group(2)
    if inner.startswith("attn.qkv."):
        kind = inner.rsplit(".", 1)[1]
        return Made(tuple(f"{layer}attention.attention.{part}.{kind}" for part in ("query", "key", "value")))
    return Made((layer + hf_name(inner),))


HUGGING_FACE = Layout("Hugging Face DINOv2", hf_made_of, re.compile(r"encoder\.layer\.(\d+)\."),
                      re.compile(r"embeddings\.mask_token|classifier\.(weight|bias)"))


def refuse_dinov3(checkpoint):
    if any(DINOV3.fullmatch(name) for name in checkpoint.sources):
        raise Refused(f"{checkpoint.path}: this is a DINOv3 checkpoint, which is not supported yet; want DINOv2")


def recognise(checkpoint):
    """The layout of a checkpoint, and the checkpoint with any class prefix cut off."""
    refuse_dinov3(checkpoint)
    if "cls_token" in checkpoint.sources:
        return checkpoint, OFFICIAL
    for prefix in HF_PREFIXES:
        if prefix + "embeddings.cls_token" in checkpoint.sources:
            checkpoint = checkpoint.without(prefix) if prefix else checkpoint
            refuse_dinov3(checkpoint)
            return checkpoint, HUGGING_FACE
    raise Refused(f"{checkpoint.path}: not a DINOv2 checkpoint: neither cls_token nor embeddings.cls_token is there")


def check_config(folder, vision):
    """A directory's config.json must describe the network that will be computed."""
    path = os.path.join(folder, "config.json")
    if not os.path.isfile(path):
        raise Refused(f"{folder}: config.json is missing; without it the weights cannot be trusted to be DINOv2")
    config = read_json(path)
    kind = str(config.get("model_type"))
    if kind.startswith("dinov3"):
        raise Refused(f"{path}: this is a DINOv3 checkpoint, which is not supported yet; want DINOv2")
    want = {"model_type": ("dinov2", "dinov2_with_registers"), "hidden_act": ("gelu",), "layer_norm_eps": (1e-6,),
            "qkv_bias": (True,), "use_swiglu_ffn": (vision.swiglu,), "num_attention_heads": (vision.dim // HEAD,)}
    absent = {"hidden_act": "gelu", "layer_norm_eps": 1e-6, "qkv_bias": True, "use_swiglu_ffn": False,
              "num_attention_heads": 12}
    for key, allowed in want.items():
        found = config.get(key, absent.get(key))
        if found not in allowed:
            raise Refused(f"{path}: {key} is {found}; want {' or '.join(map(str, allowed))}")


def sizes(checkpoint, layout):
    """The tower's sizes, from the shapes of a few tensors; the others must then agree."""
    dim = shape_of(checkpoint, layout, "cls_token", 3)[2]
    if dim % HEAD:
        raise Refused(f"{checkpoint.path}: cls_token is {dim} wide; want a multiple of {HEAD}, the width of a head")
    positions = shape_of(checkpoint, layout, "pos_embed", 3)[1]
    grid = math.isqrt(positions - 1)
    if positions < 2 or grid * grid != positions - 1:
        raise Refused(f"{checkpoint.path}: pos_embed has {positions} rows; want one and a square number")
    patch_shape = shape_of(checkpoint, layout, "patch_embed.proj.weight", 4)
    patch = patch_shape[3]
    if CROP % patch:
        raise Refused(f"{checkpoint.path}: patch_embed.proj.weight is {shape_text(patch_shape)}; "
                      f"want patches that divide {CROP}")
    registers = 0
    if has(checkpoint, layout, "register_tokens"):
        registers = shape_of(checkpoint, layout, "register_tokens", 3)[1]
    depth = count_blocks(checkpoint, layout)
    if not depth:
        raise Refused(f"{checkpoint.path}: there are no blocks ({layout.title})")
    swiglu = has(checkpoint, layout, "blocks.0.mlp.w12.weight")
    down = "blocks.0.mlp.w3.weight" if swiglu else "blocks.0.mlp.fc2.weight"
    return Vision(dim=dim, depth=depth, hidden=shape_of(checkpoint, layout, down, 2)[1], patch=patch,
                  registers=registers, grid=grid, swiglu=swiglu)


def read_dino(checkpoint):
    """The vision tower's sizes and its tensors, in model order."""
    path = checkpoint.path
    checkpoint, layout = recognise(checkpoint)
    vision = sizes(checkpoint, layout)
    check_sizes(path, vision)
    if layout is HUGGING_FACE and os.path.isdir(path):
        check_config(path, vision)
    return vision, assemble(checkpoint, layout, vision_tensors(vision), "vision.")
