#!/usr/bin/env python3
"""export.py -- published checkpoints in, one model file out.  Offline; see --help.

Exit codes stand in commands.py.
"""

import os
import sys

try:
    import merges
    import metadata
    import modelfile
    from checkpoints import open_checkpoint
    from commands import Parser, check_output, positive, run, say, summary
    from layouts_clip import read_clip
    from layouts_dino import read_dino
    from layouts_psi import read_psi
    from layouts_talk2dino import split
    from refusal import Misuse, Refused
except ImportError as problem:
    sys.exit(f"export.py: {problem}; pip install -r python_export/requirements.txt")

# The repository that publishes psi states no licence.
LICENSES = {"dinov2": "Apache-2.0", "clip": "MIT", "psi": "see source"}

# What a model trained at another size than the published one says of its windows; the most as the C reader has it.
WINDOWS = {"crop": ("side of a window", 4096), "stride": ("step between windows", 4096),
           "short_side": ("of the resized picture", 65536)}


def option(name):
    return "--" + name.replace("_", "-")


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
    for name, (what, _) in WINDOWS.items():
        parser.add_argument(option(name), type=positive, metavar="N", help=f"{what} (default: as published)")
    parser.add_argument("--templates", choices=metadata.TEMPLATES, metavar="NAME",
                        help=f"the model's prompts: {', '.join(metadata.TEMPLATES)} (default: as published)")
    parser.add_argument("--license", metavar="TEXT", help="of all the weights (default: those of the publishers)")
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="the model file to write")
    options = parser.parse_args(arguments)
    three = (options.dinov2, options.clip, options.psi)
    if options.talk2dino and any(three):
        raise Misuse("--talk2dino takes the place of --dinov2, --clip and --psi; give one or the other")
    if not options.talk2dino and not all(three):
        raise Misuse("want --dinov2, --clip and --psi, or --talk2dino; see --help")
    for name, (_, most) in WINDOWS.items():
        if (getattr(options, name) or 0) > most:
            raise Misuse(f"{option(name)} is {getattr(options, name)}; want at most {most}")
    if options.license == "":
        raise Misuse("--license is empty; want a name such as Apache-2.0")
    return options


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
    return merges.tensor(table)


def check_windows(lines):
    """Windows of whole patches, and no gap between them."""
    crop, stride, patch = (int(lines[key]) for key in ("segment.crop", "segment.stride", "vision.patch"))
    if crop % patch:
        raise Misuse(f"--crop is {crop}; want a multiple of the patch size {patch}")
    if stride > crop:
        raise Misuse(f"a step of {stride} leaves gaps between windows of {crop}; want a --stride of at most {crop}")


def describe(options, parts, merges_path, vision, text):
    """All metadata but the checksums; a checkpoint in several files has several names and digests."""
    files = {part: checkpoint.files for part, checkpoint in parts.items()} | {"merges": [merges_path]}
    digests = {path: metadata.sha256(path) for path in {path for paths in files.values() for path in paths}}
    lines = metadata.describe(vision, text, options.dtype, options.position)
    lines.update({f"segment.{name}": str(getattr(options, name)) for name in (*WINDOWS, "templates")
                  if getattr(options, name) is not None})
    lines["preprocess.size"] = lines["segment.crop"]
    check_windows(lines)
    return {**lines, **metadata.describe_sources(
                {part: " ".join(metadata.base_name(path) for path in paths) for part, paths in files.items()},
                {part: " ".join(digests[path] for path in paths) for part, paths in files.items()},
                dict.fromkeys(LICENSES, options.license) if options.license else LICENSES)}


def export(options):
    merges_path = find_merges(options)
    parts = open_parts(options)
    check_output(options.output, [merges_path, *(path for part in parts.values() for path in part.files)])
    vision, vision_tensors = read_dino(parts["dinov2"])
    text, text_tensors = read_clip(parts["clip"])
    psi_tensors = read_psi(parts["psi"], vision, text)
    tensors = [*vision_tensors, *text_tensors, *psi_tensors, read_merges(merges_path, text)]
    lines = describe(options, parts, merges_path, vision, text)
    say(f"writing {options.output}")
    size = modelfile.write(options.output, tensors, lines, options.dtype)
    print(summary(options.output, vision, text, options.dtype, size))


if __name__ == "__main__":
    sys.exit(run("export.py", lambda: export(parse(sys.argv[1:]))))
