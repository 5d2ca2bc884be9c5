"""layout.py -- miniatures of the eight benchmarks: their folders, names, suffixes, palettes and split files, with
pictures of coloured regions.  Nothing here knows how t2d reads them; what is true of them is computed in twin.py."""

import os

import numpy as np
from PIL import Image

COCO_MISSING = {11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90}  # raw ids that COCO never gave away
COCO_RAW = [i for i in range(182) if i not in COCO_MISSING]  # mmseg's clsID_to_trID: its place is the label
CITYSCAPES_IDS = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]  # cityscapesScripts


def voc_palette():
    """The devkit's VOCcolormap, flat, as Pillow wants it."""
    colours = np.zeros((256, 3), np.uint8)
    for index in range(256):
        label, bits = index, 7
        while label:
            for channel in range(3):
                colours[index, channel] |= ((label >> channel) & 1) << bits
            label, bits = label >> 3, bits - 1
    return colours


def regions(rng, height, width, count):
    """[height, width] of region numbers 0..count-1: the nearest of some points."""
    y, x = np.mgrid[:height, :width]
    at = rng.random((count, 2)) * (height, width)
    return np.argmin((y[..., None] - at[:, 0]) ** 2 + (x[..., None] - at[:, 1]) ** 2, -1)


def scene(rng, values, height, width, regions_most=7):
    """A picture and its raw label map: every region has a colour that its value decides, and noise."""
    region = regions(rng, height, width, min(regions_most, len(values)))
    chosen = rng.choice(values, region.max() + 1, replace=len(values) < region.max() + 1)
    labels = np.asarray(chosen)[region]
    colour = np.stack([(labels * k + 40) % 256 for k in (67, 131, 29)], -1)
    noise = rng.integers(-12, 13, (height, width, 3))
    return np.clip(colour + noise, 0, 255).astype(np.uint8), labels


def save(path, array, palette=None):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    image = Image.fromarray(array)
    if palette is not None:
        image = Image.fromarray(array, "P")
        image.putpalette(palette.ravel().tolist())
    image.save(path, **({"quality": 92} if path.endswith(".jpg") else {}))


def size(rng):
    return int(rng.integers(30, 90)), int(rng.integers(30, 90))


def split(root, path, names):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(names) + "\n")


def make_voc(rng, data, pictures):
    root = os.path.join(data, "VOCdevkit/VOC2012")
    names = [f"2007_{rng.integers(10**6):06d}_{i}" for i in range(pictures + 1)]
    for name in names:
        picture, labels = scene(rng, [*range(21)], *size(rng))
        labels[:, -2:] = 255  # the border that VOC leaves open
        save(f"{root}/JPEGImages/{name}.jpg", picture)
        save(f"{root}/SegmentationClass/{name}.png", labels.astype(np.uint8), voc_palette())
    split(root, "ImageSets/Segmentation/val.txt", names[:0:-1])  # not sorted, and not all


def make_context(rng, data, pictures):
    root = os.path.join(data, "VOCdevkit/VOC2010")
    names = [f"2008_{i:06d}" for i in range(pictures)]
    for name in names:
        picture, labels = scene(rng, [*range(60)], *size(rng))
        save(f"{root}/JPEGImages/{name}.jpg", picture)
        save(f"{root}/SegmentationClassContext/{name}.png", labels.astype(np.uint8))
    split(root, "ImageSets/SegmentationContext/val.txt", names)


def make_coco(rng, data, pictures):
    root = os.path.join(data, "coco_stuff164k")
    for i in range(pictures):
        name = f"{int(rng.integers(10**6)) * 100 + i:012d}"
        picture, labels = scene(rng, COCO_RAW, *size(rng))
        labels[:2] = 255
        save(f"{root}/images/val2017/{name}.jpg", picture)
        save(f"{root}/annotations/val2017/{name}.png", labels.astype(np.uint8))


def convert_coco(data):
    """What mmseg's converter and the paper's leave beside the raw maps."""
    folder = os.path.join(data, "coco_stuff164k/annotations/val2017")
    stuff = np.full(256, 255, np.uint8)
    stuff[COCO_RAW] = np.arange(len(COCO_RAW))
    things = np.zeros(256, np.uint8)
    things[COCO_RAW[:80]] = np.arange(1, 81)
    for name in sorted(os.listdir(folder)):
        raw = np.asarray(Image.open(os.path.join(folder, name)))
        save(os.path.join(folder, name.replace(".png", "_labelTrainIds.png")), stuff[raw])
        save(os.path.join(folder, name.replace(".png", "_instanceTrainIds.png")), things[raw])


def make_cityscapes(rng, data, pictures):
    root = os.path.join(data, "cityscapes")
    for i in range(pictures):
        city = ("munster", "frankfurt")[i % 2]
        picture, labels = scene(rng, [*range(34)], *size(rng))
        name = f"{city}/{city}_{i:06d}_000019"
        save(f"{root}/leftImg8bit/val/{name}_leftImg8bit.png", picture)
        save(f"{root}/gtFine/val/{name}_gtFine_labelIds.png", labels.astype(np.uint8))
        save(f"{root}/gtFine/val/{name}_gtFine_color.png", picture)


def convert_cityscapes(data):
    ids = np.full(256, 255, np.uint8)
    ids[CITYSCAPES_IDS] = np.arange(19)
    for folder, _, names in os.walk(os.path.join(data, "cityscapes/gtFine/val")):
        for name in names:
            if name.endswith("_labelIds.png"):
                raw = np.asarray(Image.open(os.path.join(folder, name)))
                save(os.path.join(folder, name.replace("_labelIds", "_labelTrainIds")), ids[raw])


def make_ade(rng, data, pictures):
    root = os.path.join(data, "ade/ADEChallengeData2016")
    for i in range(pictures):
        picture, labels = scene(rng, [*range(151)], *size(rng))
        save(f"{root}/images/validation/ADE_val_{i:08d}.jpg", picture)
        save(f"{root}/annotations/validation/ADE_val_{i:08d}.png", labels.astype(np.uint8))


def make_all(data, pictures=4, seed=0):
    rng = np.random.default_rng(seed)
    for make in (make_voc, make_context, make_coco, make_cityscapes, make_ade):
        make(rng, data, pictures)
