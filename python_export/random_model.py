#!/usr/bin/env python3
"""random_model.py -- a model file with seeded random weights: for demonstrations, timing and tests without downloads.

Every value comes from the raw bits of a counter-based generator keyed by seed and tensor name, so the same command
writes the same bytes with any NumPy.  Its masks mean nothing.
"""

import sys

try:
    import merges
    import metadata
    import modelfile
    import numpy as np
    from architecture import Text, Vision, model_tensors
    from commands import Parser, check_output, run, summary
except ImportError as problem:
    sys.exit(f"random_model.py: {problem}; pip install numpy xxhash")

# The published sizes; tiny is small enough for a test on any machine.
SIZES = {
    "tiny": dict(dim=128, depth=4, hidden=512, swiglu=False),
    "s": dict(dim=384, depth=12, hidden=1536, swiglu=False),
    "b": dict(dim=768, depth=12, hidden=3072, swiglu=False),
    "l": dict(dim=1024, depth=24, hidden=4096, swiglu=False),
    "g": dict(dim=1536, depth=40, hidden=4096, swiglu=True),
}
CLIP = dict(dim=512, depth=12, hidden=2048, embed=512)
TINY_CLIP = dict(dim=64, depth=3, hidden=256, embed=96)
NONE = "none (seeded random weights)"

# Words the small table spells as one token: those of the published prompts, and a demonstration's classes.
WORDS = ("a", "an", "the", "of", "in", "itap", "bad", "photo", "origami", "large", "small", "video", "game", "art",
         "sky", "sea", "sand", "grass", "tree", "road", "house", "sun", "cat", "dog", "car", "person")


def uniform(seed, name, shape, low, high):
    """fp32 in [low, high) from the top 24 bits of 32; Philox counts, so no tensor depends on another."""
    count = int(np.prod(shape, dtype=np.int64))
    key = int(modelfile.xxhash.xxh3_128_hexdigest(f"{seed}/{name}".encode()), 16)
    words = np.random.Philox(key=key).random_raw((count + 1) // 2).astype("<u8", copy=False).view("<u4")[:count]
    unit = (words >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)
    return (unit * np.float32(high - low) + np.float32(low)).reshape(shape)


def spread(name, shape):
    """Bounds that keep activations at a trained network's scale through all blocks."""
    if "norm" in name or ".ln_" in name:
        return (0.5, 1.5) if name.endswith("weight") else (-0.3, 0.3)
    if name.endswith("gamma"):
        return 0.1, 0.5
    if name in modelfile.ALWAYS_F32 or name == "text.token_embedding.weight":
        return -1.0, 1.0
    if name.endswith("bias"):
        return -0.2, 0.2
    fan_in = shape[0] if name == "text.text_projection" else int(np.prod(shape[1:]))
    wide = (3.0 / fan_in) ** 0.5  # unit variance in, unit variance out
    return -wide, wide


def weights(vision, text, seed):
    for name, shape in model_tensors(vision, text):
        yield modelfile.Tensor(name, shape, lambda name=name, shape=shape: uniform(seed, name, shape,
                                                                                  *spread(name, shape)))


def parse(arguments):
    parser = Parser(prog="random_model.py", description="Makes a model file with seeded random weights.")
    parser.add_argument("--size", choices=SIZES, required=True)
    parser.add_argument("--registers", type=int, choices=(0, 4), default=4)
    parser.add_argument("--depth", type=int, metavar="N", help="blocks of the vision tower, where not the size's own")
    parser.add_argument("--text", choices=("tiny", "clip"), help="text tower (default: tiny for tiny, else CLIP's)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--merges", metavar="F", help="CLIP's merges; without them a small table is made, which "
                        "spells everything but a few words in bytes")
    parser.add_argument("--dtype", choices=sorted(modelfile.DTYPES), default="fp32")
    parser.add_argument("-o", "--output", metavar="FILE", required=True)
    return parser.parse_args(arguments)


def sizes(options, table):
    size = SIZES[options.size] | ({"depth": options.depth} if options.depth else {})
    tiny = options.text == "tiny" or (options.text is None and options.size == "tiny")
    vision = Vision(patch=14, registers=options.registers, grid=37, **size)
    text = Text(context=77, vocabulary=merges.SPECIALS + merges.count(table), **(TINY_CLIP if tiny else CLIP))
    return vision, text


def describe(options, vision, text):
    parts = ("dinov2", "clip", "psi")
    names = dict.fromkeys(parts, f"{NONE}, seed {options.seed}")
    digests = dict.fromkeys(parts, "none")
    names["merges"], digests["merges"] = "none (a small table)", "none"
    if options.merges:
        names["merges"], digests["merges"] = metadata.base_name(options.merges), metadata.sha256(options.merges)
    return {**metadata.describe(vision, text, options.dtype),
            **metadata.describe_sources(names, digests, dict.fromkeys(parts, NONE))}


def make(options):
    check_output(options.output, [options.merges] if options.merges else [])
    table = merges.load(options.merges) if options.merges else merges.synthetic(WORDS)
    vision, text = sizes(options, table)
    tensors = [*weights(vision, text, options.seed), merges.tensor(table)]
    size = modelfile.write(options.output, tensors, describe(options, vision, text), options.dtype)
    print(summary(options.output, vision, text, options.dtype, size))


if __name__ == "__main__":
    sys.exit(run("random_model.py", lambda: make(parse(sys.argv[1:]))))
