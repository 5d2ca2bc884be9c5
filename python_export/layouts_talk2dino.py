"""layouts_talk2dino.py -- the combined Talk2DINO file: DINOv2, CLIP and psi behind one prefix each.

LayerScale may be called weight there: saving through Hugging Face renames gamma.
"""

import os
import re

from checkpoints import Checkpoint, read_json
from refusal import Refused, shape_text

PREFIXES = ("model.", "clip_model.", "proj.")
UNUSED = re.compile(r"pamr\..+|logit_scale")
RENAMED = re.compile(r"(blocks\.\d+\.ls[12])\.weight")


def with_gamma(checkpoint):
    sources = {}
    for name, source in checkpoint.sources.items():
        official = RENAMED.sub(r"\1.gamma", name) if RENAMED.fullmatch(name) else name
        if official in sources:
            raise Refused(f"{checkpoint.path}: {official} is there twice, as gamma and as weight")
        sources[official] = source
    return Checkpoint(checkpoint.path, checkpoint.files, sources, checkpoint.prefix)


def check_config(folder):
    """The constructor's arguments, where they are beside the weights, must name a DINOv2."""
    path = os.path.join(folder, "config.json")
    if os.path.isfile(path):
        name = str(read_json(path).get("model_name", "dinov2"))
        if "dinov2" not in name:
            raise Refused(f"{path}: model_name is {name[:80]}, which is not supported yet; want a dinov2 model")


def split(checkpoint):
    """Three checkpoints: DINOv2, CLIP, psi."""
    check_config(checkpoint.path)
    for name, source in checkpoint.sources.items():
        if not name.startswith(PREFIXES) and not UNUSED.fullmatch(name):
            what = f"a {source.dtype}" if source.shape is None else shape_text(source.shape)
            raise Refused(f"{checkpoint.path}: {name} ({what}) is not known in a combined Talk2DINO file; want names "
                          f"that begin with {', '.join(PREFIXES)}")
    dino, clip, psi = (checkpoint.under(prefix) for prefix in PREFIXES)
    for prefix, part in zip(PREFIXES, (dino, clip, psi)):
        if not part.sources:
            raise Refused(f"{checkpoint.path}: not a combined Talk2DINO file: no name begins with {prefix}")
    return with_gamma(dino), clip, psi
