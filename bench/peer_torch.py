#!/usr/bin/env python3
"""peer_torch.py [threads [passes]] -- the same window in PyTorch: ViT-B/14 with four registers, 448 x 448, fp32, as the
published code writes its blocks (q k^T, softmax, v; no fused attention).  Random weights; nothing but time is compared."""

import os
import sys
import time

try:
    import torch
except ImportError as problem:
    print(f"PyTorch  not here ({problem}): no peer to compare with")
    sys.exit(0)

TOKENS, DIM, HEADS, BLOCKS = 1029, 768, 12, 12


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = torch.nn.LayerNorm(DIM, 1e-6), torch.nn.LayerNorm(DIM, 1e-6)
        self.qkv, self.proj = torch.nn.Linear(DIM, 3 * DIM), torch.nn.Linear(DIM, DIM)
        self.fc1, self.fc2 = torch.nn.Linear(DIM, 4 * DIM), torch.nn.Linear(4 * DIM, DIM)
        self.ls1, self.ls2 = (torch.nn.Parameter(torch.ones(DIM)) for _ in range(2))

    def forward(self, x):
        q, k, v = self.qkv(self.norm1(x)).reshape(1, TOKENS, 3, HEADS, 64).permute(2, 0, 3, 1, 4).unbind(0)
        mix = (((q * 0.125) @ k.transpose(-2, -1)).softmax(-1) @ v).transpose(1, 2).reshape(1, TOKENS, DIM)
        x = x + self.ls1 * self.proj(mix)
        return x + self.ls2 * self.fc2(torch.nn.functional.gelu(self.fc1(self.norm2(x))))


def main():
    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    threads = threads or len(os.sched_getaffinity(0))  # as the engine counts; PyTorch's own default may be fewer
    passes = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    torch.manual_seed(0)
    patch, tower = torch.nn.Conv2d(3, DIM, 14, 14), torch.nn.Sequential(*(Block() for _ in range(BLOCKS))).eval()
    picture, extra = torch.randn(1, 3, 448, 448), torch.randn(1, 5, DIM)
    # Debian's OpenBLAS brings threads of its own, and may be faster when PyTorch has one: every way is measured.
    for count in sorted({1, threads}):
        torch.set_num_threads(count)
        seconds = []
        with torch.no_grad():
            for _ in range(passes + 1):  # the first one warms up
                start = time.perf_counter()
                tower(torch.cat((extra, patch(picture).flatten(2).transpose(1, 2)), 1))
                seconds.append(time.perf_counter() - start)
        seconds = sorted(seconds[1:])
        print(f"PyTorch  {seconds[0]:8.3f} s best, {seconds[len(seconds) // 2]:.3f} median of {passes} (tower alone, fp32, "
              f"torch {torch.__version__}, set to {count} of {threads} threads)")


if __name__ == "__main__":
    main()
