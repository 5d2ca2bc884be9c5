"""train_vision.py -- the vision tower, from pictures alone: no label and no caption is looked at.

Begins from warm_up.py.  A teacher (the running mean of the student) sees one view of a scene and gives the form part
of each patch a soft cluster, all clusters used alike (Sinkhorn-Knopp, as in SwAV and DINOv2); the student sees another
view, partly hidden and in other colours, and says for each patch which cluster the teacher gave to the same place:
iBOT's and DINO's objective at once.  The colour part goes on saying words of colour.  The CLS token says which clusters
the teacher's view holds (the bag of visual words of OBoW), so that its heads look at all there is.
"""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from demo.appearance import COLOUR_WORDS, Colour, k_means
from demo.stages import Stage, descend
from demo.towers import REGISTERS, VISION_DIM, Vision
from demo.views import hide, pairs, relight
from demo.warm_up import FORM_DIM, bag_loss, change_channels, word_loss

CLUSTERS = 512
BATCH = 32
RATE, WARM_UP, DECAY = 8e-4, 40, 0.04
SHARP_STUDENT, SHARP_TEACHER = 0.1, 0.05
SCALES_RATE = 0.1  # of the running mean of the clusters' factors
COLOUR_WEIGHT, CLS_WEIGHT = 0.3, 0.3
CHECK_EVERY = 200


class Student(nn.Module):
    def __init__(self):
        super().__init__()
        self.tower = Vision()
        self.clusters = nn.Parameter(torch.randn(CLUSTERS, FORM_DIM))
        self.bag = nn.Linear(VISION_DIM, CLUSTERS)
        self.colour = nn.ModuleList(nn.Linear(VISION_DIM - FORM_DIM, count) for count in COLOUR_WORDS)
        self.colour_bag = nn.ModuleList(nn.Linear(VISION_DIM, count) for count in COLOUR_WORDS)
        self.register_buffer("scales", torch.zeros(CLUSTERS))

    def similarity(self, patches):
        """Cosines, outside of autocast: the teacher's sharpness makes much of their last places."""
        return F.normalize(patches[..., :FORM_DIM].float(), dim=-1) @ F.normalize(self.clusters, dim=-1).T


def assign(similarity, scales, rounds=2):
    """Soft assignments of rows to clusters that use every cluster alike, not in each batch, which holds few of the
    world's things, but over the last ones: `scales`, the clusters' Sinkhorn factors (log), are a running mean."""
    kernel = torch.exp((similarity - 1) / SHARP_TEACHER)
    by_cluster = scales.exp()
    for _ in range(rounds):
        by_row = 1 / (kernel @ by_cluster).clamp_min(1e-12)
        by_cluster = 1 / (by_row @ kernel).clamp_min(1e-12)
    scales.lerp_((by_cluster / by_cluster.mean()).log(), SCALES_RATE)
    kernel *= scales.exp()
    return kernel / kernel.sum(1, keepdim=True).clamp_min(1e-12)


def losses(student, teacher, scenes, colours, rng):
    """Patches' clusters, patches' colours, and the bags of both."""
    pictures, matching = pairs(scenes, rng, BATCH)
    pictures, matching = [change_channels(side, rng) for side in pictures], torch.from_numpy(matching)
    wanted = colours.words(pictures[1])
    with torch.no_grad():
        with torch.autocast("cpu", torch.bfloat16):
            seen, _ = teacher.tower(relight(pictures[0], rng))
        given = assign(teacher.similarity(seen[:, 1 + REGISTERS:]).flatten(0, 1), teacher.scales)
        given = given.view(BATCH, -1, CLUSTERS)
    with torch.autocast("cpu", torch.bfloat16):
        tokens, _ = student.tower(relight(pictures[1], rng), torch.from_numpy(hide(rng, BATCH)))
        said_colours = [head(tokens[:, 1 + REGISTERS:, FORM_DIM:]) for head in student.colour]
        bag, colour_bags = student.bag(tokens[:, 0]), [head(tokens[:, 0]) for head in student.colour_bag]
    row, patch = torch.nonzero(matching >= 0, as_tuple=True)
    said = student.similarity(tokens[:, 1 + REGISTERS:][row, patch]) / SHARP_STUDENT
    patch_loss = -(given[row, matching[row, patch]] * said.log_softmax(-1)).sum(-1).mean()
    held = -(given.mean(1) * bag.float().log_softmax(-1)).sum(-1).mean()
    return patch_loss, word_loss(said_colours, wanted), held + bag_loss(colour_bags, wanted)


def rate_at(step, steps):
    if step < WARM_UP:
        return RATE * (step + 1) / WARM_UP
    return RATE * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * (step - WARM_UP) / max(1, steps - WARM_UP))))


def momentum_at(step, steps):
    return 1 - 0.01 * 0.5 * (1 + np.cos(np.pi * step / steps)) - 0.001


@torch.no_grad()
def first_clusters(tower, scenes, seed):
    """Where the warmed-up tower's patches lie: centres of their k-means."""
    torch.manual_seed(seed)
    pictures, _ = pairs(scenes, np.random.default_rng((seed, 8)), 256)
    with torch.autocast("cpu", torch.bfloat16):
        tokens = torch.cat([tower(torch.from_numpy(part))[0].float() for part in np.array_split(pictures[1], 4)])
    return k_means(F.normalize(tokens[:, 1 + REGISTERS:, :FORM_DIM].flatten(0, 1), dim=-1), CLUSTERS)


def make(tower, scenes, seed):
    clusters = first_clusters(tower, scenes, seed)
    torch.manual_seed(seed)
    student = Student()
    student.tower.load_state_dict(tower.state_dict())
    student.clusters.data = clusters
    teacher = copy.deepcopy(student).requires_grad_(False)
    matrices = [p for p in student.parameters() if p.ndim == 2]
    others = [p for p in student.parameters() if p.ndim != 2]
    optimiser = torch.optim.AdamW([{"params": matrices, "weight_decay": DECAY}, {"params": others, "weight_decay": 0}])
    return student, teacher, optimiser


def train(tower, scenes, path, steps, seed, say, check):
    """The teacher's tower after `steps` steps from a warmed-up one; goes on from `path` where that stands.
    `check(tower, step)` is called now and then, and at the end."""
    student, teacher, optimiser = make(tower, scenes, seed)
    colours = Colour(scenes, seed)

    def take(step):
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step, steps)
        forms, hues, bags = losses(student, teacher, scenes, colours, np.random.default_rng((seed, step)))
        descend(forms + COLOUR_WEIGHT * hues + CLS_WEIGHT * bags, optimiser, student)
        with torch.no_grad():
            for slow, fast in zip(teacher.parameters(), student.parameters()):
                slow.lerp_(fast, 1 - momentum_at(step, steps))
        if (step + 1) % CHECK_EVERY == 0 or step + 1 == steps:
            check(teacher.tower, step + 1)
        return {"forms": forms.item(), "colours": hues.item(), "bags": bags.item()}

    Stage("vision", path, steps, seed, say).run({"student": student, "teacher": teacher, "optimiser": optimiser}, take)
    return teacher.tower
