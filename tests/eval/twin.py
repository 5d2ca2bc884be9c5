"""twin.py -- what evaluation should count, by OpenCV and NumPy alone: the files are found, read and mapped here a second
time, in mmseg's own steps (datasets/custom.py, pipelines/loading.py, core/evaluation/metrics.py)."""

import glob
import os

import cv2
import numpy as np
from layout import CITYSCAPES_IDS, COCO_RAW, voc_palette

IGNORED = 255


class Benchmark:
    """Folders and labels of one benchmark."""

    def __init__(self, root, pictures, labels, suffix, label_suffix, classes, split=None, read=None):
        self.root, self.pictures, self.labels, self.classes = root, pictures, labels, classes
        self.suffix, self.label_suffix, self.split, self.read = suffix, label_suffix, split, read or (lambda raw: raw)

    def names(self, data):
        root = os.path.join(data, self.root)
        if self.split:
            with open(os.path.join(root, self.split), encoding="utf-8") as file:
                return [line.strip() for line in file if line.strip()]
        folder = os.path.join(root, self.pictures)
        found = glob.glob(os.path.join(folder, "**", "*" + self.suffix), recursive=True)
        return [os.path.relpath(path, folder)[: -len(self.suffix)] for path in sorted(found)]

    def picture(self, data, name):
        return os.path.join(data, self.root, self.pictures, name + self.suffix)

    def truth(self, data, name):
        """uint8 labels with 255 for ignored pixels."""
        raw = cv2.imread(os.path.join(data, self.root, self.labels, name + self.label_suffix), cv2.IMREAD_UNCHANGED)
        if raw.ndim == 3:  # OpenCV has put the palette's colours in: back to its entries
            keys = {tuple(colour): index for index, colour in enumerate(voc_palette().tolist())}
            raw = np.array([[keys[tuple(pixel[::-1])] for pixel in row] for row in raw.tolist()], np.uint8)
        return self.read(raw)


def reduce_zero(raw):
    labels = raw.copy()
    labels[labels == 0] = 255
    labels = labels - np.uint8(1)
    labels[labels == 254] = 255
    return labels


def stuff(raw):
    labels = raw.copy()
    for label, number in enumerate(COCO_RAW):
        labels[raw == number] = label
    return labels


def things(raw):
    labels = np.zeros_like(raw)
    for label, number in enumerate(COCO_RAW[:80]):
        labels[raw == number] = label + 1
    return labels


def city(raw):
    labels = np.full_like(raw, IGNORED)
    for label, number in enumerate(CITYSCAPES_IDS):
        labels[raw == number] = label
    return labels


VOC = ("VOCdevkit/VOC2012", "JPEGImages", "SegmentationClass", ".jpg", ".png")
CONTEXT = ("VOCdevkit/VOC2010", "JPEGImages", "SegmentationClassContext", ".jpg", ".png")
COCO = ("coco_stuff164k", "images/val2017", "annotations/val2017", ".jpg", ".png")
CITY = ("cityscapes", "leftImg8bit/val", "gtFine/val", "_leftImg8bit.png", "_gtFine_labelIds.png")
ADE = ("ade/ADEChallengeData2016", "images/validation", "annotations/validation", ".jpg", ".png")
VOC_SPLIT, CONTEXT_SPLIT = "ImageSets/Segmentation/val.txt", "ImageSets/SegmentationContext/val.txt"
BENCHMARKS = {
    "voc21": Benchmark(*VOC, 21, VOC_SPLIT),
    "voc20": Benchmark(*VOC, 20, VOC_SPLIT, reduce_zero),
    "context60": Benchmark(*CONTEXT, 60, CONTEXT_SPLIT),
    "context59": Benchmark(*CONTEXT, 59, CONTEXT_SPLIT, reduce_zero),
    "coco_stuff": Benchmark(*COCO, 171, None, stuff),
    "coco_object": Benchmark(*COCO, 81, None, things),
    "cityscapes": Benchmark(*CITY, 19, None, city),
    "ade20k": Benchmark(*ADE, 150, None, reduce_zero),
}


def histograms(found, truth, classes):
    """both, truth, found per class (mmseg's intersect_and_union), in integers."""
    counted = truth != IGNORED
    found, truth = found[counted].astype(np.int64), truth[counted].astype(np.int64)
    return np.stack([np.bincount(values[values < classes], minlength=classes)
                     for values in (found[found == truth], truth, found)])


def metrics(counts):
    """aAcc, mIoU, mAcc, IoU, Acc of summed histograms."""
    both, truth, found = counts.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        iou, accuracy = both / (truth + found - both), both / truth
    return both.sum() / truth.sum(), np.nanmean(iou), np.nanmean(accuracy), iou, accuracy


# ---- resampling, as host/eval/bootstrap.c has it ----

def mix(x):
    x = x.astype(np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def weights(seed, rounds, pictures):
    """[rounds, pictures] of Poisson numbers with mean 1."""
    from math import exp, factorial
    below = np.cumsum([exp(-1) / factorial(k) for k in range(9)])
    with np.errstate(over="ignore"):
        start = mix(np.array([seed], np.uint64) + np.uint64(0x9E3779B97F4A7C15))
        of_round = mix(start + np.arange(rounds, dtype=np.uint64))
        words = mix(of_round[:, None] + np.asarray(pictures, np.uint64)[None])
    return np.searchsorted(below, (words >> np.uint64(11)).astype(np.float64) * 2.0**-53, side="right")


def resampled(per_picture, seed, rounds):
    """mIoU of every round; per_picture [pictures, 3, classes]."""
    sums = np.tensordot(weights(seed, rounds, np.arange(len(per_picture))), per_picture, 1)
    both, truth, found = np.moveaxis(sums, 1, 0).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        iou = both / (truth + found - both)
    return np.array([np.nanmean(row) if np.isfinite(row).any() else np.nan for row in iou])


# ---- the protocol, from the scores of single windows ----

def window_starts(length, size, stride):
    count = max(length - size + stride - 1, 0) // stride + 1
    ends = [min(i * stride + size, length) for i in range(count)]
    return [max(end - size, 0) for end in ends]


def protocol_labels(picture, score_windows, size, stride, short_side, long_side):
    """picture: uint8 RGB [h, w, 3]; score_windows(list of RGB windows) -> as many [channels, h, w]."""
    height, width = picture.shape[:2]
    scale = min(long_side / max(height, width), short_side / min(height, width))
    w, h = int(width * scale + 0.5), int(height * scale + 0.5)
    canvas = cv2.resize(picture, (w, h), interpolation=cv2.INTER_LINEAR)
    places = [(slice(y, y + size), slice(x, x + size)) for y in window_starts(h, size, stride)
              for x in window_starts(w, size, stride)]
    scores = score_windows([canvas[place] for place in places])
    total, count = np.zeros((len(scores[0]), h, w), np.float32), np.zeros((h, w), np.float32)
    for (rows, columns), window in zip(places, scores):
        total[:, rows, columns] += window
        count[rows, columns] += 1
    back = np.stack([cv2.resize(m, (width, height), interpolation=cv2.INTER_LINEAR) for m in total / count])
    e = np.exp(back - back.max(0))
    return (e / e.sum(0)).argmax(0)
