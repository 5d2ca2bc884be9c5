#!/usr/bin/env python3
"""prepare.py MODEL PICTURE SMALL -- a tiny model of random weights, a picture, and a model of two blocks of a ViT-S, for
the tests that follow.

Exit code 77: not here (NumPy or xxhash is missing)."""

import os
import subprocess
import sys


def main():
    try:
        import numpy  # noqa: F401
        import xxhash  # noqa: F401
    except ImportError as problem:
        print(f"skipped: {problem}")
        return 77
    model, picture, small = sys.argv[1:]
    export = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../python_export")
    random_model = (sys.executable, f"{export}/random_model.py")
    subprocess.run([*random_model, "--size", "tiny", "--registers", "4", "-o", model], check=True)
    subprocess.run([*random_model, "--size", "s", "--depth", "2", "--text", "tiny", "--dtype", "fp16", "-o", small], check=True)
    subprocess.run([sys.executable, f"{export}/demo_picture.py", picture], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
