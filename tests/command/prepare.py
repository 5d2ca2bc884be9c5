#!/usr/bin/env python3
"""prepare.py MODEL PICTURE -- a tiny model of random weights and a picture, for the tests that follow.

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
    model, picture = sys.argv[1:]
    export = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../python_export")
    subprocess.run([sys.executable, f"{export}/random_model.py", "--size", "tiny", "--registers", "4", "-o", model], check=True)
    subprocess.run([sys.executable, f"{export}/demo_picture.py", picture], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
