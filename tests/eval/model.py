#!/usr/bin/env python3
"""model.py OUT [SEED] -- a model of random weights that is small in every way: one block of one head, windows of 56 pixels
on pictures of 56, so that thousands of pictures can be evaluated in a test.

Exit code 77: not here (NumPy, Pillow, OpenCV or xxhash is missing)."""

import os
import sys


def main():
    try:
        import cv2  # noqa: F401
        import numpy  # noqa: F401
        import PIL  # noqa: F401
        import xxhash  # noqa: F401
    except ImportError as problem:
        print(f"skipped: {problem}")
        return 77
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../python_export"))
    import merges
    import metadata
    import modelfile
    import random_model
    from architecture import Text, Vision
    out, seed = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0
    table = merges.synthetic(random_model.WORDS)
    vision = Vision(dim=64, depth=1, hidden=128, patch=14, registers=4, grid=8, swiglu=False)
    text = Text(dim=64, depth=1, hidden=64, context=77, embed=64, vocabulary=merges.SPECIALS + merges.count(table))
    parts = ("dinov2", "clip", "psi", "merges")
    lines = {**metadata.describe(vision, text, "fp32"),
             "segment.crop": "56", "segment.stride": "28", "segment.short_side": "56", "segment.long_side": "256",
             **metadata.describe_sources(dict.fromkeys(parts, f"random, seed {seed}"), dict.fromkeys(parts, "none"),
                                         dict.fromkeys(parts, "none"))}
    tensors = [*random_model.weights(vision, text, seed), merges.tensor(table)]
    modelfile.write(out, tensors, lines, "fp32")
    return 0


if __name__ == "__main__":
    sys.exit(main())
