"""test_report.py -- tables, pictures, intervals and comparisons: what is told about counts is what the counts say."""

import csv
import json
import os

import layout
import numpy as np
import twin
from evaluate import OTHER_MODEL, EvalTest, main
from PIL import Image

ROUNDS = 400


class Report(EvalTest):
    pictures = 9

    def setUp(self):
        super().setUp()
        self.make(layout.make_voc)

    def per_picture(self, name, classes=21):
        """[pictures, 3, classes] of a results file's cells."""
        counts = []
        for line in self.lines(name)[1:]:
            truth, found, pixels = np.array(line["cells"]).reshape(-1, 3).T
            sums = [np.bincount(t, p, classes) for t, p in ((truth[truth == found], pixels[truth == found]), (truth, pixels),
                                                            (found, pixels))]
            counts.append(np.stack(sums).astype(np.int64))
        return np.stack(counts)

    def rows(self, name):
        with open(self.path(name), encoding="utf-8", newline="") as file:
            return list(csv.reader(file))

    def test_cells_are_the_twins(self):
        self.eval("voc21")
        self.assertEqual(self.per_picture("voc21_eval.jsonl").tolist(), self.expected("voc21").tolist())

    def test_tables(self):
        report = self.eval("voc21", "--csv", "c.csv", "--per-picture", "p.csv")
        rows = self.rows("c.csv")
        self.assertEqual(rows[0], ["class", "iou", "accuracy", "both", "truth", "found"])
        for row, c in zip(rows[1:], report["classes"]):
            self.assertEqual((row[0], *map(int, row[3:])), (c["name"], c["both"], c["truth"], c["found"]))
            self.assertEqual(row[1] == "", c["iou"] is None)
            self.assertAlmostEqual(float(row[1] or 0), c["iou"] or 0, delta=1e-6)
        head, *rows = self.rows("p.csv")
        self.assertEqual(head[7:], report["decides"]["classes"])
        counts = self.per_picture("voc21_eval.jsonl")
        self.assertEqual(len(rows), self.pictures)
        for row, picture, name in zip(rows, counts, twin.BENCHMARKS["voc21"].names(self.data)):
            accuracy, mean_iou, _, iou, _ = twin.metrics(picture)
            self.assertEqual((row[1], row[2]), (name, ""))
            self.assertAlmostEqual(float(row[3]), mean_iou, delta=1e-8)
            self.assertAlmostEqual(float(row[4]), accuracy, delta=1e-8)
            self.assertEqual([value == "" for value in row[7:]], np.isnan(iou).tolist())
            np.testing.assert_allclose([float(v) for v in row[7:] if v], iou[~np.isnan(iou)], atol=1e-8)

    def test_worst_pictures(self):
        out, _ = self.t2d(*self.arguments("voc21"), "--worst", "3", "--worst-folder", "w", "--json")
        report = json.loads(out)
        ious = [twin.metrics(picture)[1] for picture in self.per_picture("voc21_eval.jsonl")]
        order = sorted(range(self.pictures), key=lambda i: (ious[i], i))[:3]
        self.assertEqual([w["picture"] for w in report["worst"]], order)
        names = twin.BENCHMARKS["voc21"].names(self.data)
        self.assertEqual(sorted(os.listdir(self.path("w"))), [f"00{k + 1}_{names[i]}.png" for k, i in enumerate(order)])
        for k, i in enumerate(order):
            with Image.open(twin.BENCHMARKS["voc21"].picture(self.data, names[i])) as picture:
                width, height = picture.size
            drawn = np.asarray(Image.open(self.path(f"w/00{k + 1}_{names[i]}.png")))
            self.assertTrue(drawn.shape[0] > height and drawn.shape[1] >= 2 * width)

    def test_overlay_has_the_presets_colours_and_the_truth_on_the_right(self):
        preset = {"name": "flat", "pictures": "in", "labels": "true", "picture_suffix": ".png", "classes": ["sky", "sea"],
                  "palette": [[10, 250, 30], [250, 10, 200]], "label_files": [{"suffix": ".png"}]}
        layout.save(f"{self.data}/in/a.png", np.zeros((40, 300, 3), np.uint8))
        truth = np.ones((40, 300), np.uint8)
        truth[:, 290:] = 255
        layout.save(f"{self.data}/true/a.png", truth)
        self.t2d(*self.arguments(self.write("flat.json", json.dumps(preset))), "--worst-folder", "w")
        drawn = np.asarray(Image.open(self.path("w/001_a.png"))).astype(int)
        colours = [np.rint(0.6 * np.array(c)) for c in (*preset["palette"], (224, 224, 192))]
        self.assertTrue((np.abs(drawn[:40, 300:590] - colours[1]) <= 1).all())
        self.assertTrue((np.abs(drawn[:40, 590:600] - colours[2]) <= 1).all())
        found = [(np.abs(drawn[:40, :300] - c).max(-1) <= 1) for c in colours[:2]]
        self.assertTrue((found[0] | found[1]).all())

    def test_confusion_picture(self):
        self.eval("voc21", "--confusion", "c.png")
        drawn = np.asarray(Image.open(self.path("c.png"))).astype(int)
        matrix = np.zeros((21, 21))
        for line in self.lines("voc21_eval.jsonl")[1:]:
            for t, f, n in np.array(line["cells"]).reshape(-1, 3):
                matrix[t, f] += n
        height, width = drawn.shape[:2]
        cells = drawn[height - 12 - 21 * 22:height - 12, width - 12 - 21 * 22:width - 12][10::22, 10::22]  # EDGE, cell
        share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
        want = np.array([250, 251, 253]) + np.sqrt(share)[..., None] * (np.array([8, 48, 107]) - [250, 251, 253])
        self.assertLessEqual(np.abs(cells - want).max(), 1)

    def test_interval_is_the_twins(self):
        for seed in (0, 7):
            report = self.eval("voc21", "--bootstrap", str(ROUNDS), "--seed", str(seed))
            values = twin.resampled(self.per_picture("voc21_eval.jsonl"), seed, ROUNDS)
            low, high = np.percentile(values[np.isfinite(values)], (2.5, 97.5))
            self.assertAlmostEqual(report["interval"]["low"], low, delta=1e-6)
            self.assertAlmostEqual(report["interval"]["high"], high, delta=1e-6)
        self.assertNotIn("interval", self.eval("voc21", "--bootstrap", "0"))

    def test_weights_are_poisson(self):
        drawn = twin.weights(3, 2000, np.arange(50))
        self.assertAlmostEqual(drawn.mean(), 1, delta=0.02)  # 100 000 of variance 1
        self.assertAlmostEqual(drawn.var(), 1, delta=0.03)

    def test_comparison(self):
        self.t2d(*self.arguments("voc21"), "-o", "a.jsonl")
        self.t2d(*self.arguments("voc21", OTHER_MODEL), "-o", "b.jsonl")
        out, _ = self.t2d("eval", "--compare", "a.jsonl", "b.jsonl", "--json", "--bootstrap", str(ROUNDS), "--seed", "5")
        told = json.loads(out)
        a, b = self.per_picture("a.jsonl"), self.per_picture("b.jsonl")
        differences = twin.resampled(a, 5, ROUNDS) - twin.resampled(b, 5, ROUNDS)
        low, high = np.percentile(differences[np.isfinite(differences)], (2.5, 97.5))
        want = twin.metrics(a.sum(0))[1] - twin.metrics(b.sum(0))[1]
        for key, value in (("difference", want), ("low", low), ("high", high), ("share_above", (differences > 0).mean())):
            self.assertAlmostEqual(told[key], value, delta=1e-6)
        same, _ = self.t2d("eval", "--compare", "a.jsonl", "a.jsonl")
        self.assertIn("A - B   +0.00  from +0.00 to +0.00", same)

    def test_comparisons_that_mean_nothing(self):
        self.eval("voc21", "-o", "a.jsonl")
        self.eval("voc20", "-o", "b.jsonl")
        self.eval("voc21", "-o", "c.jsonl", "--shard", "1/2")
        self.refuses(2, "not about the same pictures and classes (labels differ)", "eval", "--compare", "a.jsonl", "b.jsonl")
        self.refuses(2, "c.jsonl is one shard", "eval", "--compare", "a.jsonl", "c.jsonl")
        self.refuses(2, "two results files", "eval", "--compare", "a.jsonl")
        name = twin.BENCHMARKS["voc21"].names(self.data)[2]
        layout.save(twin.BENCHMARKS["voc21"].picture(self.data, name), np.zeros((9, 9, 3), np.uint8))
        layout.save(f"{self.data}/VOCdevkit/VOC2012/SegmentationClass/{name}.png", np.zeros((9, 9), np.uint8))
        self.eval("voc21", "-o", "d.jsonl")
        self.refuses(2, f"picture '{name}' or its labels changed", "eval", "--compare", "a.jsonl", "d.jsonl")

    def test_progress_is_json_where_nobody_watches(self):
        arguments = [a for a in self.arguments("voc21") if a != "-q"]
        _, message = self.t2d(*arguments)
        last = json.loads(message.splitlines()[-1])
        self.assertEqual((last["done"], last["total"], last["failed"]), (self.pictures, self.pictures, 0))
        self.assertGreater(last["per_second"], 0)

    def test_outputs_that_cannot_be_written(self):
        for option in ("--csv", "--per-picture", "--confusion"):
            _, message = self.t2d(*self.arguments("voc21"), option, "none/x", code=1)
            self.assertIn("none/x: cannot write", message)
        self.assertEqual(self.files(), ["data", "voc21_eval.jsonl"])
        _, message = self.t2d(*self.arguments("voc21"), "--worst-folder", "voc21_eval.jsonl", code=1)
        self.assertIn("voc21_eval.jsonl", message)


if __name__ == "__main__":
    main()
