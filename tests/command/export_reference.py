#!/usr/bin/env python3
"""export_reference.py OUT -- the reference cases' checkpoints through the public exporter, for the tests that follow.

Exit code 77: not here (T2D_REFERENCE is not set, or the exporter's Python packages are missing)."""

import os
import subprocess
import sys

CASES = {"tiny_reg": "tiny_reg", "tiny_noreg": "tiny_reg"}  # case -> whose clip.pt


def main():
    out, reference = sys.argv[1], os.environ.get("T2D_REFERENCE")
    if not reference:
        print("skipped: T2D_REFERENCE is not set: the folder of reference cases")
        return 77
    try:
        import numpy  # noqa: F401
        import safetensors  # noqa: F401
        import torch  # noqa: F401
        import xxhash  # noqa: F401
    except ImportError as problem:
        print(f"skipped: {problem}")
        return 77
    os.makedirs(out, exist_ok=True)
    exporter = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../python_export/export.py")
    for case, clip in CASES.items():
        folder = os.path.join(reference, "cases")
        subprocess.run([sys.executable, exporter, "--dinov2", f"{folder}/{case}/dinov2.pth", "--clip",
                        f"{folder}/{clip}/clip.pt", "--psi", f"{folder}/{case}/psi.pth", "--merges",
                        f"{reference}/bpe_simple_vocab_16e6.txt.gz", "-o", f"{out}/{case}.safetensors"], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
