"""samples.py -- one tiny random model, written in every published layout.

The names are spelled out here a second time, as the publishers write them, so that a wrong name in the exporter
cannot agree with itself.
"""

import json
import os

import setting  # noqa: F401
import torch
from safetensors.torch import save_file

import merges

DIM, DEPTH, HIDDEN, GRID = 64, 2, 128, 3
WIDTH, LAYERS, WIDE, CONTEXT, EMBED = 128, 2, 192, 16, 32
TABLE = merges.synthetic(("cat", "dog"))
VOCABULARY = 514 + merges.count(TABLE)


class Values:
    """Seeded tensors whose values survive fp16 and bf16: every layout must give the same."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, *shape):
        return torch.randint(-128, 128, shape, generator=self.generator).float() / 64


def dinov2(registers=4, swiglu=False, seed=1):
    """Official names."""
    new = Values(seed)
    state = {"cls_token": new(1, 1, DIM), "pos_embed": new(1, 1 + GRID * GRID, DIM), "mask_token": new(1, DIM),
             "patch_embed.proj.weight": new(DIM, 3, 14, 14), "patch_embed.proj.bias": new(DIM)}
    if registers:
        state["register_tokens"] = new(1, registers, DIM)
    for i in range(DEPTH):
        block = {"norm1.weight": (DIM,), "norm1.bias": (DIM,), "attn.qkv.weight": (3 * DIM, DIM),
                 "attn.qkv.bias": (3 * DIM,), "attn.proj.weight": (DIM, DIM), "attn.proj.bias": (DIM,),
                 "ls1.gamma": (DIM,), "norm2.weight": (DIM,), "norm2.bias": (DIM,), "ls2.gamma": (DIM,)}
        if swiglu:
            block.update({"mlp.w12.weight": (2 * HIDDEN, DIM), "mlp.w12.bias": (2 * HIDDEN,),
                          "mlp.w3.weight": (DIM, HIDDEN), "mlp.w3.bias": (DIM,)})
        else:
            block.update({"mlp.fc1.weight": (HIDDEN, DIM), "mlp.fc1.bias": (HIDDEN,),
                          "mlp.fc2.weight": (DIM, HIDDEN), "mlp.fc2.bias": (DIM,)})
        state.update({f"blocks.{i}.{name}": new(*shape) for name, shape in block.items()})
    return {**state, "norm.weight": new(DIM), "norm.bias": new(DIM)}


def clip(seed=2):
    """OpenAI's names, with an image tower and scalars that are not needed."""
    new = Values(seed)
    state = {"positional_embedding": new(CONTEXT, WIDTH), "text_projection": new(WIDTH, EMBED),
             "logit_scale": new(), "visual.proj": new(8, EMBED), "visual.conv1.weight": new(8, 3, 4, 4),
             "input_resolution": torch.tensor(224), "context_length": torch.tensor(CONTEXT),
             "vocab_size": torch.tensor(VOCABULARY), "token_embedding.weight": new(VOCABULARY, WIDTH)}
    for i in range(LAYERS):
        block = {"attn.in_proj_weight": (3 * WIDTH, WIDTH), "attn.in_proj_bias": (3 * WIDTH,),
                 "attn.out_proj.weight": (WIDTH, WIDTH), "attn.out_proj.bias": (WIDTH,),
                 "ln_1.weight": (WIDTH,), "ln_1.bias": (WIDTH,), "mlp.c_fc.weight": (WIDE, WIDTH),
                 "mlp.c_fc.bias": (WIDE,), "mlp.c_proj.weight": (WIDTH, WIDE), "mlp.c_proj.bias": (WIDTH,),
                 "ln_2.weight": (WIDTH,), "ln_2.bias": (WIDTH,)}
        state.update({f"transformer.resblocks.{i}.{name}": new(*shape) for name, shape in block.items()})
    return {**state, "ln_final.weight": new(WIDTH), "ln_final.bias": new(WIDTH)}


def psi(seed=3):
    new = Values(seed)
    return {"linear_layer.weight": new(DIM, EMBED), "linear_layer.bias": new(DIM),
            "hidden_layers.0.weight": new(DIM, DIM), "hidden_layers.0.bias": new(DIM)}


# ---- the same, as Hugging Face writes them ----

HF_DINO_TOP = {"cls_token": "embeddings.cls_token", "pos_embed": "embeddings.position_embeddings",
               "mask_token": "embeddings.mask_token", "register_tokens": "embeddings.register_tokens",
               "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
               "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
               "norm.weight": "layernorm.weight", "norm.bias": "layernorm.bias"}
HF_DINO_BLOCK = {"norm1.weight": "norm1.weight", "norm1.bias": "norm1.bias", "norm2.weight": "norm2.weight",
                 "norm2.bias": "norm2.bias", "attn.proj.weight": "attention.output.dense.weight",
                 "attn.proj.bias": "attention.output.dense.bias", "ls1.gamma": "layer_scale1.lambda1",
                 "ls2.gamma": "layer_scale2.lambda1", "mlp.fc1.weight": "mlp.fc1.weight",
                 "mlp.fc1.bias": "mlp.fc1.bias", "mlp.fc2.weight": "mlp.fc2.weight", "mlp.fc2.bias": "mlp.fc2.bias",
                 "mlp.w12.weight": "mlp.weights_in.weight", "mlp.w12.bias": "mlp.weights_in.bias",
                 "mlp.w3.weight": "mlp.weights_out.weight", "mlp.w3.bias": "mlp.weights_out.bias"}


def hf_dinov2(official, prefix=""):
    state = {}
    for name, value in official.items():
        if name in HF_DINO_TOP:
            state[prefix + HF_DINO_TOP[name]] = value
            continue
        _, i, inner = name.split(".", 2)
        layer = f"{prefix}encoder.layer.{i}."
        if inner.startswith("attn.qkv."):
            kind = inner[len("attn.qkv."):]
            for part, rows in zip(("query", "key", "value"), value.chunk(3)):
                state[f"{layer}attention.attention.{part}.{kind}"] = rows
        else:
            state[layer + HF_DINO_BLOCK[inner]] = value
    return state


HF_CLIP_TOP = {"token_embedding.weight": "text_model.embeddings.token_embedding.weight",
               "positional_embedding": "text_model.embeddings.position_embedding.weight",
               "ln_final.weight": "text_model.final_layer_norm.weight",
               "ln_final.bias": "text_model.final_layer_norm.bias", "logit_scale": "logit_scale"}
HF_CLIP_BLOCK = {"attn.out_proj": "self_attn.out_proj", "ln_1": "layer_norm1", "ln_2": "layer_norm2",
                 "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}


def hf_clip(official):
    state = {"text_projection.weight": official["text_projection"].T.contiguous(),
             "text_model.embeddings.position_ids": torch.arange(CONTEXT)[None],
             "vision_model.embeddings.class_embedding": torch.ones(8), "visual_projection.weight": torch.ones(4, 8)}
    for name, value in official.items():
        if name in HF_CLIP_TOP:
            state[HF_CLIP_TOP[name]] = value
        elif name.startswith("transformer.resblocks."):
            _, _, i, inner = name.split(".", 3)
            layer = f"text_model.encoder.layers.{i}."
            if inner.startswith("attn.in_proj_"):
                kind = inner[len("attn.in_proj_"):]
                for part, rows in zip("qkv", value.chunk(3)):
                    state[f"{layer}self_attn.{part}_proj.{kind}"] = rows
            else:
                stem, kind = inner.rsplit(".", 1)
                state[f"{layer}{HF_CLIP_BLOCK[stem]}.{kind}"] = value
    return state


def talk2dino(vision, text, projection):
    state = {"model." + name: value for name, value in vision.items()}
    state.update({"clip_model." + name: value for name, value in text.items()})
    state.update({"proj." + name: value for name, value in projection.items()})
    return {**state, "pamr.aff_x.kernel": torch.ones(8, 1, 3, 3), "logit_scale": torch.tensor(2.66)}


# ---- files ----


def write_json(path, content):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(content, file)


def save(state, path):
    """By suffix; safetensors wants tensors that stand alone."""
    if path.endswith(".safetensors"):
        save_file({name: value.contiguous().clone() for name, value in state.items()}, path)
    else:
        torch.save(state, path)
    return path


def save_sharded(state, folder, suffix, count=3):
    """As save_pretrained does with a small shard size."""
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    names, where = sorted(state), {}
    for k in range(count):
        shard = f"{stem}-{k + 1:05d}-of-{count:05d}.{suffix}"
        save({name: state[name] for name in names[k::count]}, os.path.join(folder, shard))
        where.update({name: shard for name in names[k::count]})
    write_json(os.path.join(folder, f"{stem}.{suffix}.index.json"), {"metadata": {}, "weight_map": where})


def dino_config(swiglu=False, kind="dinov2_with_registers", **changes):
    return {"model_type": kind, "hidden_act": "gelu", "layer_norm_eps": 1e-6, "qkv_bias": True,
            "use_swiglu_ffn": swiglu, "num_attention_heads": DIM // 64, **changes}


def clip_config(**changes):
    return {"model_type": "clip", "text_config": {"hidden_act": "quick_gelu", "layer_norm_eps": 1e-5,
                                                  "num_attention_heads": WIDTH // 64, **changes}}


def folder(parent, name, config, state=None, file="model.safetensors"):
    """A Hugging Face directory."""
    path = os.path.join(parent, name)
    os.makedirs(path)
    if config is not None:
        write_json(os.path.join(path, "config.json"), config)
    if state is not None:
        save(state, os.path.join(path, file))
    return path


def merges_file(path):
    with open(path, "wb") as file:
        file.write(b"#version: 0.2\n" + TABLE)
    return path


def tokenizer_json(path, as_pairs):
    """tokenizer.json, with merges as strings (older files) or pairs."""
    pairs = [line.split(" ") for line in TABLE.decode().splitlines()]
    letters = merges.byte_alphabet()
    vocabulary = [*letters, *(letter + "</w>" for letter in letters), *("".join(pair) for pair in pairs)]
    write_json(path, {"model": {"type": "BPE", "end_of_word_suffix": "</w>",
                                "merges": pairs if as_pairs else [" ".join(pair) for pair in pairs],
                                "vocab": {symbol: i for i, symbol in enumerate(vocabulary)}}})
    return path
