"""setting.py -- every test module imports this first: the path to the exporter, and a sentence where it cannot run."""

import os
import sys
import unittest

EXPORT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, EXPORT)

try:
    import numpy  # noqa: F401
    import safetensors.torch  # noqa: F401
    import torch  # noqa: F401
    import xxhash  # noqa: F401
except ImportError as problem:
    raise unittest.SkipTest(f"{problem}: pip install -r python_export/requirements.txt") from None
