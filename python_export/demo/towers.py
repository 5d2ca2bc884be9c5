"""towers.py -- the three networks in PyTorch, with the tensor names of the published checkpoints.

Only what training needs: one picture size, no position interpolation.  What they compute is what the C engine
computes (tests compare), so their state dictionaries are checkpoints the exporter reads.
"""

import torch
import torch.nn.functional as F
from torch import nn

HEAD = 64
PATCH, REGISTERS, GRID = 14, 4, 10
CROP = PATCH * GRID
VISION_DIM, VISION_DEPTH = 192, 6
TEXT_DIM, TEXT_DEPTH, CONTEXT, EMBED = 128, 2, 48, 128
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def split_heads(qkv):
    """[B, T, 3 D] -> q, k, v of [B, heads, T, 64]."""
    batch, tokens, wide = qkv.shape
    return qkv.view(batch, tokens, 3, wide // 3 // HEAD, HEAD).permute(2, 0, 3, 1, 4)


def attend(qkv, causal=None):
    q, k, v = split_heads(qkv)
    scores = (q * HEAD**-0.5) @ k.transpose(-1, -2)
    scores = scores if causal is None else scores + causal
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


def normal(*shape, std=0.02):
    return nn.Parameter(torch.randn(*shape) * std)


# ---- vision: DINOv2 with registers ----


class Attention(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)


class Mlp(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)


class LayerScale(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))


class Block(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim, 1e-6), nn.LayerNorm(dim, 1e-6)
        self.attn, self.mlp = Attention(dim), Mlp(dim)
        self.ls1, self.ls2 = LayerScale(dim), LayerScale(dim)

    def forward(self, x):
        qkv = self.attn.qkv(self.norm1(x))
        x = x + self.ls1.gamma * self.attn.proj(attend(qkv))
        return x + self.ls2.gamma * self.mlp.fc2(F.gelu(self.mlp.fc1(self.norm2(x)))), qkv


class PatchEmbed(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.proj = nn.Conv2d(3, dim, PATCH, PATCH)


def cosines(dim):
    """The slowest 8 x 8 waves of a patch, of brightness and two opponent colours, the faster the stronger since
    pictures hold less of them: [192, 3, PATCH, PATCH].  Filters of noise would see mostly noise."""
    at = (torch.arange(PATCH) + 0.5) * torch.pi / PATCH
    waves = torch.cos(torch.arange(8)[:, None] * at)
    colours = torch.tensor([[1.0, 1, 1], [2, 0, -2], [1, -2, 1]]) / 2
    order = torch.arange(8.0)
    gains = (1 + order[:, None] ** 2 + order**2).sqrt()
    gains[0, 0] = 0.06
    filters = torch.einsum("kc,uv,uy,vx->kuvcyx", colours, gains, waves, waves).reshape(-1, 3, PATCH, PATCH)
    return filters[:dim] / PATCH


class Vision(nn.Module):
    """uint8 pictures [B, CROP, CROP, 3] -> tokens after the final norm [B, 1 + 4 + P, D] and the last block's qkv."""

    def __init__(self, dim=VISION_DIM, depth=VISION_DEPTH):
        super().__init__()
        self.cls_token, self.pos_embed = normal(1, 1, dim), normal(1, 1 + GRID * GRID, dim)
        self.register_tokens = normal(1, REGISTERS, dim)
        self.mask_token = normal(1, dim)  # published checkpoints have one; nothing is hidden here
        self.patch_embed = PatchEmbed(dim)
        self.patch_embed.proj.weight.data = cosines(dim)
        self.blocks = nn.ModuleList(Block(dim) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, 1e-6)

    def forward(self, pictures):
        mean, std = (torch.tensor(v, dtype=torch.float32).view(3, 1, 1) for v in (MEAN, STD))
        x = (pictures.permute(0, 3, 1, 2).float() / 255 - mean) / std
        x = self.patch_embed.proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x.float()], 1) + self.pos_embed
        x = torch.cat([x[:, :1], self.register_tokens.expand(len(x), -1, -1), x[:, 1:]], 1)
        for block in self.blocks:
            x, qkv = block(x)
        return self.norm(x), qkv


def head_embeddings(tokens, qkv):
    """What each CLS head sees: [B, heads, D], the patches weighted by the softmax of its logits."""
    q, k, _ = split_heads(qkv.float())
    patches = tokens[:, 1 + REGISTERS:]
    logits = (q[:, :, :1] * HEAD**-0.5) @ k[:, :, 1 + REGISTERS:].transpose(-1, -2)
    return logits.softmax(-1)[:, :, 0] @ patches / patches.shape[1]


# ---- text: CLIP ----


class TextAttention(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.in_proj_weight, self.in_proj_bias = normal(3 * dim, dim, std=dim**-0.5), nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)


class TextMlp(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.c_fc, self.c_proj = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)


class TextBlock(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn, self.mlp = TextAttention(dim), TextMlp(dim)

    def forward(self, x, causal):
        qkv = F.linear(self.ln_1(x), self.attn.in_proj_weight, self.attn.in_proj_bias)
        x = x + self.attn.out_proj(attend(qkv, causal))
        u = self.mlp.c_fc(self.ln_2(x))
        return x + self.mlp.c_proj(u * torch.sigmoid(1.702 * u))


class Blocks(nn.Module):
    def __init__(self, dim, depth):
        super().__init__()
        self.resblocks = nn.ModuleList(TextBlock(dim) for _ in range(depth))


class Text(nn.Module):
    """Token ids [B, T], the end token being the largest -> features [B, EMBED]."""

    def __init__(self, vocabulary, dim=TEXT_DIM, depth=TEXT_DEPTH):
        super().__init__()
        self.token_embedding = nn.Embedding(vocabulary, dim)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        self.positional_embedding = normal(CONTEXT, dim, std=0.01)
        self.transformer = Blocks(dim, depth)
        self.ln_final = nn.LayerNorm(dim)
        self.text_projection = normal(dim, EMBED, std=dim**-0.5)

    def forward(self, ids):
        length = ids.shape[1]
        x = self.token_embedding(ids) + self.positional_embedding[:length]
        causal = torch.full((length, length), float("-inf")).triu(1)
        for block in self.transformer.resblocks:
            x = block(x, causal)
        ends = ids.argmax(1)
        return self.ln_final(x)[torch.arange(len(x)), ends] @ self.text_projection


# ---- psi ----


class Psi(nn.Module):
    def __init__(self, embed=EMBED, dim=VISION_DIM):
        super().__init__()
        self.linear_layer = nn.Linear(embed, dim)
        self.hidden_layers = nn.ModuleList([nn.Linear(dim, dim)])

    def forward(self, x):
        return self.hidden_layers[0](torch.tanh(self.linear_layer(x)))
