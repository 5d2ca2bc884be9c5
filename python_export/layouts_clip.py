"""layouts_clip.py -- the text tower of CLIP: OpenAI's file and Hugging Face directories.

The image tower is in the same files and not needed.  text_projection is [width, embed] in OpenAI's file and
[embed, width] in Hugging Face's.
"""

import os
import re

from architecture import HEAD, Text, check_sizes, text_tensors
from checkpoints import read_json
from layouts import Layout, Made, assemble, count_blocks, same_names, shape_of
from refusal import Refused

OPENAI = Layout("OpenAI CLIP", same_names, re.compile(r"transformer\.resblocks\.(\d+)\."),
                re.compile(r"visual\..+|logit_scale|input_resolution|context_length|vocab_size"))

HF_NAMES = {
    "token_embedding": "text_model.embeddings.token_embedding",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final": "text_model.final_layer_norm",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


def hf_made_of(official):
    if official == "text_projection":
        return Made(("text_projection.weight",), transposed=True)
    if official in HF_NAMES:
        return Made((HF_NAMES[official],))
    match = re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.+)", official)
    layer, inner = (f"text_model.encoder.layers.{match.group(1)}.", match.group(2)) if match else ("", official)
    if inner.startswith("attn.in_proj_"):
        kind = inner[len("attn.in_proj_"):]
        return Made(tuple(f"{layer}self_attn.{part}_proj.{kind}" for part in "qkv"))
    stem, kind = inner.rsplit(".", 1)
    return Made((f"{layer}{HF_NAMES[stem]}.{kind}",))


HUGGING_FACE = Layout("Hugging Face CLIP", hf_made_of, re.compile(r"text_model\.encoder\.layers\.(\d+)\."),
                      re.compile(r"vision_model\..+|visual_projection\.weight|logit_scale"
                                 r"|text_model\.embeddings\.position_ids"))


def recognise(checkpoint):
    for layout in (OPENAI, HUGGING_FACE):
        if layout.made_of("token_embedding.weight").names[0] in checkpoint.sources:
            return layout
    raise Refused(f"{checkpoint.path}: not a CLIP checkpoint: neither token_embedding.weight nor "
                  "text_model.embeddings.token_embedding.weight is there")


def check_config(folder, text):
    """A directory's config.json must describe OpenAI's text tower; other CLIPs use another activation."""
    path = os.path.join(folder, "config.json")
    if not os.path.isfile(path):
        raise Refused(f"{folder}: config.json is missing; without it the weights cannot be trusted to be CLIP")
    config = read_json(path)
    inner = config.get("text_config", config)
    if not isinstance(inner, dict):
        raise Refused(f"{path}: text_config is not an object")
    want = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "num_attention_heads": text.dim // HEAD}
    absent = {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5, "num_attention_heads": 8}
    for key, value in want.items():
        found = inner.get(key, absent[key])
        if found != value:
            raise Refused(f"{path}: {key} of the text tower is {found}; want {value}")


def sizes(checkpoint, layout):
    vocabulary, dim = shape_of(checkpoint, layout, "token_embedding.weight", 2)
    if dim % HEAD:
        raise Refused(f"{checkpoint.path}: the token embedding is {dim} wide; want a multiple of {HEAD}, "
                      "the width of a head")
    depth = count_blocks(checkpoint, layout)
    if not depth:
        raise Refused(f"{checkpoint.path}: there are no blocks ({layout.title})")
    return Text(dim=dim, depth=depth,
                hidden=shape_of(checkpoint, layout, "transformer.resblocks.0.mlp.c_fc.weight", 2)[0],
                context=shape_of(checkpoint, layout, "positional_embedding", 2)[0], vocabulary=vocabulary,
                embed=shape_of(checkpoint, layout, "text_projection", 2)[1])


def read_clip(checkpoint):
    """The text tower's sizes and its tensors, in model order."""
    layout = recognise(checkpoint)
    text = sizes(checkpoint, layout)
    check_sizes(checkpoint.path, text)
    if layout is HUGGING_FACE and os.path.isdir(checkpoint.path):
        check_config(checkpoint.path, text)
    return text, assemble(checkpoint, layout, text_tensors(text), "text.")
