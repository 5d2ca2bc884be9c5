"""layouts_psi.py -- the projection psi: two linear layers with tanh between them, under either historic name."""

import re

from architecture import psi_tensors
from layouts import Layout, Made, assemble, same_names, shape_of
from refusal import Refused

NONE = re.compile(r"(?!)")
TODAY = Layout("psi", same_names, NONE, NONE)
HISTORIC = Layout("psi with its older names",
                  lambda official: Made((official.replace("hidden_layers.0.", "linear_layer2."),)), NONE, NONE)


def read_psi(checkpoint, vision, text):
    """The tensors of psi, which must lead from the text tower's space to the vision tower's."""
    layout = HISTORIC if "linear_layer2.weight" in checkpoint.sources else TODAY
    dim, embed = shape_of(checkpoint, layout, "linear_layer.weight", 2)
    if (dim, embed) != (vision.dim, text.embed):
        raise Refused(f"{checkpoint.path}: psi leads from {embed} channels to {dim}; want {text.embed}, as CLIP's "
                      f"text features have, to {vision.dim}, as DINOv2's have")
    return assemble(checkpoint, layout, psi_tensors(dim, embed), "psi.")
