#!/usr/bin/env python3
"""eval_data.py FOLDER [PICTURES] -- pictures of ADE20K's usual size (683 x 512, JPEG) with label maps, in its folders."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/eval"))
try:
    import layout
    import numpy as np
except ImportError as problem:
    sys.exit(f"eval_data.py: {problem}; python3-numpy and python3-pil are needed")


def main():
    root, pictures = os.path.join(sys.argv[1], "ade/ADEChallengeData2016"), int(sys.argv[2]) if len(sys.argv) > 2 else 8
    rng = np.random.default_rng(0)
    for i in range(pictures):
        picture, labels = layout.scene(rng, [*range(151)], 512, 683, regions_most=30)
        layout.save(f"{root}/images/validation/{i:04d}.jpg", picture)
        layout.save(f"{root}/annotations/validation/{i:04d}.png", labels.astype(np.uint8))


if __name__ == "__main__":
    main()
