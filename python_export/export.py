#!/usr/bin/env python3
"""export.py -- published checkpoints in, one model file out.  Offline; see --help.

Exit codes: 0 written, 1 a package is missing, 2 misuse, 3 an input was refused.
"""

import argparse
import os
import sys

try:
    import merges
    import metadata
    import modelfile
    import numpy as np
    from checkpoints import open_checkpoint, sha256
    from layouts_clip import read_clip
    from layouts_dino import read_dino
    from layouts_psi import read_psi
    from layouts_talk2dino import split
    from refusal import Misuse, Refused
except ImportError as problem:
    sys.exit(f"export.py: {problem}; pip install -r python_export/requirements.txt")

LICENSES = {"dinov2": "Apache-2.0", "clip": "MIT", "psi": "see source"}


class Parser(argparse.ArgumentParser):
    def error(self, message):
        raise Misuse(f"{message}; see --help")


def parse(arguments):
    parser = Parser(prog="export.py", description="Makes one model file for t2d from published checkpoints.")
    parser.add_argument("--dinov2", metavar="F", help="official DINOv2 .pth, or a Hugging Face directory")
    parser.add_argument("--clip", metavar="F", help="OpenAI CLIP .pt, or a Hugging Face directory")
    parser.add_argument("--psi", metavar="F", help="Talk2DINO's projection, .pth or .safetensors")
    parser.add_argument("--talk2dino", metavar="F", help="the combined file or its directory, instead of the three")
    parser.add_argument("--merges", metavar="F", help="bpe_simple_vocab_16e6.txt.gz, merges.txt or tokenizer.json; "
                        "not needed when it lies in the CLIP directory")
    parser.add_argument("--dtype", choices=sorted(modelfile.DTYPES), default="fp32",
                        help="of the matrices; vectors and position tables stay fp32 (default %(default)s)")
    parser.add_argument("--position", choices=("hub", "size"), default="hub",
                        help="position tables of models without registers: as DINOv2's hub resizes them, or as "
                        "Hugging Face does (default %(default)s, as published)")
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="the model file to write")
    options = parser.parse_args(arguments)
    three = (options.dinov2, options.clip, options.psi)
    if options.talk2dino and any(three):
        raise Misuse("--talk2dino takes the place of --dinov2, --clip and --psi; give one or the other")
    if not options.talk2dino and not all(three):
        raise Misuse("want --dinov2, --clip and --psi, or --talk2dino; see --help")
    return options


def say(text):
    print(text, file=sys.stderr, flush=True)


def open_parts(options):
    """The three checkpoints by name; the combined file gives all of them."""
    if options.talk2dino:
        say(f"reading {options.talk2dino}")
        return dict(zip(("dinov2", "clip", "psi"), split(open_checkpoint(options.talk2dino))))
    parts = {}
    for part in ("dinov2", "clip", "psi"):
        path = getattr(options, part)
        say(f"reading {path}")
        parts[part] = open_checkpoint(path)
    return parts


def find_merges(options):
    """--merges, or the tokenizer beside the weights."""
    if options.merges:
        return options.merges
    folder = options.talk2dino or options.clip
    path = merges.find(folder) if os.path.isdir(folder) else None
    if not path:
        raise Misuse("want --merges (bpe_simple_vocab_16e6.txt.gz of OpenAI's CLIP, merges.txt or tokenizer.json): "
                     f"there is none in {folder}")
    return path


def read_merges(path, text):
    table = merges.load(path)
    vocabulary = merges.count(table) + merges.SPECIALS
    if vocabulary != text.vocabulary:
        raise Refused(f"{path}: {merges.count(table)} merges make a vocabulary of {vocabulary}; "
                      f"CLIP's token embedding has {text.vocabulary} rows")
    return modelfile.Tensor("tokenizer.merges", (len(table),), lambda: np.frombuffer(table, np.uint8), raw=True)


def describe(options, parts, merges_path, vision, text):
    names, digests = {}, {}
    for part, checkpoint in parts.items():
        names[part] = " ".join(os.path.basename(path) for path in checkpoint.files)
        digests[part] = sha256(checkpoint.files)
    names["merges"], digests["merges"] = os.path.basename(merges_path), sha256([merges_path])
    return {**metadata.describe(vision, text, options.dtype, options.position),
            **metadata.describe_sources(names, digests, LICENSES)}


def check_output(options, inputs):
    """The folder must be there, and no input may be overwritten."""
    folder = os.path.dirname(os.path.abspath(options.output))
    if not os.path.isdir(folder):
        raise Misuse(f"{options.output}: there is no folder {folder}")
    if os.path.isdir(options.output):
        raise Misuse(f"{options.output}: is a folder; want a file name")
    for path in inputs:
        if os.path.exists(options.output) and os.path.samefile(path, options.output):
            raise Misuse(f"{options.output}: is one of the inputs")


def export(options):
    merges_path = find_merges(options)
    parts = open_parts(options)
    check_output(options, [merges_path, *(path for part in parts.values() for path in part.files)])
    vision, vision_tensors = read_dino(parts["dinov2"])
    text, text_tensors = read_clip(parts["clip"])
    psi_tensors = read_psi(parts["psi"], vision, text)
    tensors = [*vision_tensors, *text_tensors, *psi_tensors, read_merges(merges_path, text)]
    lines = describe(options, parts, merges_path, vision, text)
    say(f"writing {options.output}")
    size = modelfile.write(options.output, tensors, lines, options.dtype)
    print(f"{options.output}: vision {vision.dim} x {vision.depth}, {vision.registers} registers; "
          f"text {text.dim} x {text.depth}, {text.vocabulary} tokens; {options.dtype}, {len(tensors)} tensors, "
          f"{size} bytes")


def run(name, work):
    """Runs a command's work: its exit code, and at most one sentence instead of a traceback."""
    try:
        work()
        return 0
    except Refused as problem:
        say(f"{name}: {problem}")
        return problem.exit_code
    except OSError as problem:
        say(f"{name}: {problem.filename}: {problem.strerror}" if problem.filename else f"{name}: {problem}")
        return 3
    except MemoryError:
        say(f"{name}: not enough memory")
        return 1
    except KeyboardInterrupt:
        say(f"{name}: interrupted; nothing was written")
        return 130


if __name__ == "__main__":
    sys.exit(run("export.py", lambda: export(parse(sys.argv[1:]))))
