#!/usr/bin/env python3
"""peer_torch.py -- PyTorch: the tower, the published post-processing and PAMR, written anew from the description of their
numbers.  Ways: `eager` with PyTorch's fused attention (on a GPU whichever it picks), `published` as the published code
writes it without fused attention and with PAMR's shifts by dilated convolution, `compile` (torch.compile of eager), and on a
GPU `cudnn`, eager with cuDNN's fused attention."""

import contextlib

import model
import worker

WAYS = ("eager", "published", "compile", "cudnn")


def tower(torch, found, dtype, device, fused):
    F = torch.nn.functional
    w = {name: torch.from_numpy(value).to(device, dtype) for name, value in found.items()}
    dim, mean = w["norm.weight"].numel(), torch.tensor(model.MEAN, device=device).view(3, 1, 1)
    std = torch.tensor(model.STD, device=device).view(3, 1, 1)

    def attention(x, block):
        qkv = F.linear(x, w[block + "attn.qkv.weight"], w[block + "attn.qkv.bias"])
        q, k, v = qkv.view(1, -1, 3, model.HEADS, 64).permute(2, 0, 3, 1, 4).unbind(0)
        mix = F.scaled_dot_product_attention(q, k, v) if fused else ((q * 0.125) @ k.transpose(-2, -1)).softmax(-1) @ v
        return F.linear(mix.transpose(1, 2).reshape(1, -1, dim), w[block + "attn.proj.weight"], w[block + "attn.proj.bias"])

    def forward(pixels):
        x = ((pixels.permute(2, 0, 1).float() / 255 - mean) / std).to(dtype)[None]
        x = F.conv2d(x, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=model.PATCH)
        x = torch.cat((w["extra"][None], x.flatten(2).transpose(1, 2) + w["position"]), 1)
        for i in range(model.depth(found)):
            b = f"blocks.{i}."
            x = x + w[b + "ls1.gamma"] * attention(F.layer_norm(x, (dim,), w[b + "norm1.weight"], w[b + "norm1.bias"], model.EPS), b)
            y = F.layer_norm(x, (dim,), w[b + "norm2.weight"], w[b + "norm2.bias"], model.EPS)
            y = F.gelu(F.linear(y, w[b + "mlp.fc1.weight"], w[b + "mlp.fc1.bias"]))
            x = x + w[b + "ls2.gamma"] * F.linear(y, w[b + "mlp.fc2.weight"], w[b + "mlp.fc2.bias"])
        return F.layer_norm(x, (dim,), w["norm.weight"], w["norm.bias"], model.EPS)[0, 5:].float()

    return forward


def masks(torch):
    F = torch.nn.functional

    def forward(features, text):
        scores = torch.sigmoid(F.normalize(features, dim=-1, eps=1e-6) @ text.T)
        maps = scores.T.reshape(1, -1, model.GRID, model.GRID)
        maps = F.interpolate(maps, (model.MASK_HEIGHT, model.MASK_WIDTH), mode="bilinear", align_corners=True)
        return maps.argmax(1)[0]

    return forward


def pamr(torch, device, convolution, compiled):
    """Both windows together; `convolution`: shifts by one-hot kernels, 48 copies of the masks an iteration, in groups of 30
    classes, as published; otherwise by slices, one copy at a time."""
    F = torch.nn.functional
    kernels = torch.zeros(8, 1, 3, 3, device=device)
    for k, (y, x) in enumerate(model.NEIGHBOURS):
        kernels[k, 0, y + 1, x + 1] = 1

    def neighbours(x, d):
        n, c, h, w = x.shape
        padded = F.pad(x, (d, d, d, d), mode="replicate")
        if convolution:
            return F.conv2d(padded.reshape(n * c, 1, h + 2 * d, w + 2 * d), kernels, dilation=d).reshape(n, c, 8, h, w).unbind(2)
        return [padded[:, :, d + y * d:d + y * d + h, d + x * d:d + x * d + w] for y, x in model.NEIGHBOURS]

    def weigh(guide):
        around = torch.stack([s for d in model.DILATIONS for s in neighbours(guide, d)])  # [48, n, 3, h, w]
        every = torch.cat((around, guide.expand(len(model.DILATIONS), *guide.shape)))
        distance = (around - guide).abs() / (1e-8 + 0.1 * every.std(0))
        return (-distance.mean(2)).softmax(0)  # [48, n, h, w]

    def step(maps, weights):
        if convolution:
            every = torch.stack([s for d in model.DILATIONS for s in neighbours(maps, d)])
            return (every * weights[:, :, None]).sum(0)
        total, k = torch.zeros_like(maps), 0
        for d in model.DILATIONS:
            for s in neighbours(maps, d):
                total = total + weights[k][:, None] * s
                k += 1
        return total

    if compiled:
        weigh, step = torch.compile(weigh), torch.compile(step)
    count = torch.from_numpy(model.coverage()).to(device)

    def forward(scores, canvas):
        picture = canvas.permute(2, 0, 1).float()
        guide = torch.stack([picture[:, :, left:left + model.SIZE] for left in model.PAMR_LEFT])
        maps = scores.transpose(1, 2).reshape(2, -1, model.GRID, model.GRID)
        maps = F.interpolate(maps, (model.SIZE, model.SIZE), mode="bilinear", align_corners=True)
        weights = weigh(guide)
        for _ in range(model.ITERATIONS):
            maps = step(maps, weights)
        total = torch.zeros(maps.shape[1], model.SIZE, model.PAMR_WIDTH, device=maps.device)
        for left, window in zip(model.PAMR_LEFT, maps):
            total[:, :, left:left + model.SIZE] += window
        return (total / count).argmax(0)

    return forward


def build(o):
    import torch
    if o.device == "cpu":
        torch.set_num_threads(o.threads)
    elif not torch.cuda.is_available():
        raise worker.Unsupported("PyTorch finds no GPU here")
    if o.way == "cudnn" and o.device == "cpu":
        raise worker.Unsupported("cuDNN's attention wants a GPU")
    if o.task != "features" and o.dtype != "fp32":
        raise worker.Unsupported("post-processing is fp32 in the published code and in ours")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[o.dtype]
    published = o.way == "published"
    names = {"features": ("picture",), "masks": ("features", "text"), "pamr": ("scores", "canvas")}[o.task]
    inputs = [torch.from_numpy(worker.load(o.folder, name)) for name in names]
    if o.task == "features":
        forward = tower(torch, model.weights(o.model), dtype, o.device, fused=not published)
    else:
        forward = masks(torch) if o.task == "masks" else pamr(torch, o.device, published, o.way == "compile")
    if o.way == "compile" and o.task != "pamr":
        forward = torch.compile(forward)
    fused = contextlib.nullcontext
    if o.way == "cudnn":
        def fused():
            return torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.CUDNN_ATTENTION)

    def run():
        with torch.inference_mode(), fused():
            return forward(*(x.to(o.device) for x in inputs)).cpu().numpy()

    return "PyTorch " + o.way, torch.__version__, {"threads": torch.get_num_threads(), "tf32": False}, run


if __name__ == "__main__":
    worker.serve(worker.arguments("peer_torch.py", WAYS), "PyTorch", "torch", build)
