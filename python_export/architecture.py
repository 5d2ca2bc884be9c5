"""architecture.py -- the sizes of the two towers, and from them every tensor a model file holds, in its order.

The C reader walks the same list (host/model/layout.c) and refuses a file with one tensor more or less.
"""

from dataclasses import asdict, dataclass

from refusal import Refused

HEAD = 64  # channels per attention head, in every published DINOv2 and CLIP text tower


@dataclass(frozen=True)
class Vision:
    dim: int
    depth: int
    hidden: int
    patch: int
    registers: int
    grid: int  # side of the stored position table
    swiglu: bool


@dataclass(frozen=True)
class Text:
    dim: int
    depth: int
    hidden: int
    context: int
    vocabulary: int
    embed: int


# The largest the C reader accepts; the largest published tower is far below.
LIMITS = {"dim": 8192, "depth": 256, "hidden": 65536, "patch": 64, "registers": 64, "grid": 512, "context": 4096,
          "vocabulary": 1 << 20, "embed": 8192}


def check_sizes(path, tower):
    for size, value in asdict(tower).items():
        if size in LIMITS and value > LIMITS[size]:
            raise Refused(f"{path}: {type(tower).__name__.lower()} {size} is {value}; want at most {LIMITS[size]}")


def vision_tensors(v):
    """Official DINOv2 names and shapes, in model order."""
    yield "cls_token", (1, 1, v.dim)
    yield "pos_embed", (1, 1 + v.grid * v.grid, v.dim)
    if v.registers:
        yield "register_tokens", (1, v.registers, v.dim)
    yield "patch_embed.proj.weight", (v.dim, 3, v.patch, v.patch)
    yield "patch_embed.proj.bias", (v.dim,)
    up, down, wide = ("w12", "w3", 2 * v.hidden) if v.swiglu else ("fc1", "fc2", v.hidden)
    for i in range(v.depth):
        block = f"blocks.{i}."
        yield block + "norm1.weight", (v.dim,)
        yield block + "norm1.bias", (v.dim,)
        yield block + "attn.qkv.weight", (3 * v.dim, v.dim)
        yield block + "attn.qkv.bias", (3 * v.dim,)
        yield block + "attn.proj.weight", (v.dim, v.dim)
        yield block + "attn.proj.bias", (v.dim,)
        yield block + "ls1.gamma", (v.dim,)
        yield block + "norm2.weight", (v.dim,)
        yield block + "norm2.bias", (v.dim,)
        yield block + f"mlp.{up}.weight", (wide, v.dim)
        yield block + f"mlp.{up}.bias", (wide,)
        yield block + f"mlp.{down}.weight", (v.dim, v.hidden)
        yield block + f"mlp.{down}.bias", (v.dim,)
        yield block + "ls2.gamma", (v.dim,)
    yield "norm.weight", (v.dim,)
    yield "norm.bias", (v.dim,)


def text_tensors(t):
    """OpenAI CLIP names and shapes of the text tower, in model order."""
    yield "token_embedding.weight", (t.vocabulary, t.dim)
    yield "positional_embedding", (t.context, t.dim)
    for i in range(t.depth):
        block = f"transformer.resblocks.{i}."
        yield block + "ln_1.weight", (t.dim,)
        yield block + "ln_1.bias", (t.dim,)
        yield block + "attn.in_proj_weight", (3 * t.dim, t.dim)
        yield block + "attn.in_proj_bias", (3 * t.dim,)
        yield block + "attn.out_proj.weight", (t.dim, t.dim)
        yield block + "attn.out_proj.bias", (t.dim,)
        yield block + "ln_2.weight", (t.dim,)
        yield block + "ln_2.bias", (t.dim,)
        yield block + "mlp.c_fc.weight", (t.hidden, t.dim)
        yield block + "mlp.c_fc.bias", (t.hidden,)
        yield block + "mlp.c_proj.weight", (t.dim, t.hidden)
        yield block + "mlp.c_proj.bias", (t.dim,)
    yield "ln_final.weight", (t.dim,)
    yield "ln_final.bias", (t.dim,)
    yield "text_projection", (t.dim, t.embed)


def psi_tensors(dim, embed):
    """The projection from CLIP's space (embed) to DINO's (dim): two linear layers."""
    yield "linear_layer.weight", (dim, embed)
    yield "linear_layer.bias", (dim,)
    yield "hidden_layers.0.weight", (dim, dim)
    yield "hidden_layers.0.bias", (dim,)


def model_tensors(vision, text):
    """Every weight of a model file with its prefix; tokenizer.merges follows them."""
    for name, shape in vision_tensors(vision):
        yield "vision." + name, shape
    for name, shape in text_tensors(text):
        yield "text." + name, shape
    for name, shape in psi_tensors(vision.dim, text.embed):
        yield "psi." + name, shape
