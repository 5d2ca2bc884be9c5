"""test_counts.py -- all eight benchmarks, from folders as mmsegmentation has them to numbers, against the twin."""

import json
import os

import layout
import numpy as np
import twin
from evaluate import MODEL, EvalTest, main

MAKERS = (layout.make_voc, layout.make_context, layout.make_coco, layout.make_cityscapes, layout.make_ade)


class Benchmarks(EvalTest):
    def test_integers_are_the_twins(self):
        self.make(*MAKERS)
        for preset in twin.BENCHMARKS:
            with self.subTest(preset=preset):
                report = self.eval(preset)
                self.agrees(report, self.expected(preset))
                self.assertEqual((report["pictures"], report["failed"]), (self.pictures, 0))
                cells = [line["cells"] for line in self.lines(f"{preset}_eval.jsonl")[1:]]
                for who in ("host", "machine"):
                    again = self.eval(preset, "--counting", who, "-o", f"{who}.jsonl")
                    self.assertEqual(self.integers(again), self.integers(report), who)
                    self.assertEqual([line["cells"] for line in self.lines(f"{who}.jsonl")[1:]], cells, who)
                    os.unlink(self.path(f"{who}.jsonl"))

    def test_converted_labels_are_the_same_labels(self):
        self.make(layout.make_coco, layout.make_cityscapes)
        presets = ("coco_stuff", "coco_object", "cityscapes")
        raw = [self.eval(p, "-o", f"{p}_raw.jsonl") for p in presets]
        layout.convert_coco(self.data)
        layout.convert_cityscapes(self.data)
        for preset, before in zip(presets, raw):
            after = self.eval(preset, "-o", f"{preset}_converted.jsonl")
            self.assertEqual(self.integers(before), self.integers(after))
            self.assertEqual([line["label_file"] for line in self.lines(f"{preset}_raw.jsonl")[1:]], [1] * self.pictures)
            self.assertEqual([line["label_file"] for line in self.lines(f"{preset}_converted.jsonl")[1:]],
                             [0] * self.pictures)
            self.assertTrue(any("were mapped from" in text for text in before["differences"]))
            self.assertFalse(any("were mapped from" in text for text in after["differences"]))

    def test_split_order_and_folder_order(self):
        self.make(layout.make_voc, layout.make_cityscapes)
        for preset in ("voc21", "cityscapes"):
            self.eval(preset)
            names = [line["name"] for line in self.lines(f"{preset}_eval.jsonl")[1:]]
            self.assertEqual(names, twin.BENCHMARKS[preset].names(self.data))
        self.assertEqual(names, sorted(names))

    def test_data_may_be_any_folder_on_the_way(self):
        self.make(layout.make_voc)
        reports = []
        for i, data in enumerate((self.data, self.data + "/VOCdevkit", self.data + "/VOCdevkit/VOC2012")):
            out, _ = self.t2d(*self.arguments("voc20", data=data), "--json", "-o", f"{i}.jsonl")
            reports.append(self.integers(json.loads(out)))
        self.assertEqual(reports[0], reports[1])
        self.assertEqual(reports[0], reports[2])

    def test_links_are_followed_and_hidden_files_are_not_pictures(self):
        self.make(layout.make_cityscapes)
        whole = self.integers(self.eval("cityscapes", "-o", "a.jsonl"))
        folder = f"{self.data}/cityscapes/leftImg8bit/val"
        os.rename(f"{folder}/munster", self.path("elsewhere"))
        os.symlink(self.path("elsewhere"), f"{folder}/munster")
        self.write("data/cityscapes/leftImg8bit/val/.hidden_leftImg8bit.png", "")
        self.write("data/cityscapes/leftImg8bit/val/README", "")
        self.assertEqual(self.integers(self.eval("cityscapes", "-o", "b.jsonl")), whole)
        os.symlink(".", f"{folder}/round")
        self.refuses(3, "more than 16 folders deep", *self.arguments("cityscapes"), "-o", "c.jsonl")

    def test_another_split(self):
        self.make(layout.make_voc)
        names = twin.BENCHMARKS["voc20"].names(self.data)[1:3]
        report = self.eval("voc20", "--split", self.write("two.txt", "\r\n".join(names)))
        self.agrees(report, self.expected("voc20", names))

    def test_threads_readers_and_batches_change_nothing(self):
        self.make(layout.make_ade, pictures=9)
        ways = [("1", "1", "1", "host"), ("2", "1", "2", "machine"), ("3", "7", "4", "host"), ("2", "2", "64", "machine")]
        reports = [self.integers(self.eval("ade20k", "-o", f"{i}.jsonl", "-t", t, "--readers", r, "--batch", b, "--counting", c))
                   for i, (t, r, b, c) in enumerate(ways)] + [self.integers(self.eval("ade20k"))]
        for report in reports[1:]:
            self.assertEqual(reports[0], report)

    def test_pamr_and_thresholds(self):
        self.make(layout.make_voc)
        plain, refined = self.eval("voc21", "-o", "a.jsonl"), self.eval("voc21", "--pamr", "-o", "b.jsonl")
        self.assertNotEqual(self.integers(plain), self.integers(refined))
        arguments = [a for a in self.arguments("voc21") if a not in ("--background", self.background)]
        for more, want in (((), 0.55), (("--vit-l",), 0.54), (("--vit-l", "--bg-clean", "off"), 0.54)):
            out, _ = self.t2d(*arguments, "--json", "-o", f"{len(more)}.jsonl", *more)
            decides = json.loads(out)["decides"]
            self.assertEqual((decides["background"], decides["bg_clean"]), (want, "off" not in more))


class OnesOwn(EvalTest):
    PRESET = {"name": "rooms", "pictures": "in", "labels": "true", "picture_suffix": ".png", "ignore": 7,
              "classes": ["wall", "sofa;couch", "lamp"], "palette": [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
              "label_files": [{"suffix": "_ids.png", "map": {"1000-1001": "0-1", "300-302": 2, "5": "ignore"}}]}

    def make_rooms(self, dtype=np.uint16):
        rng = np.random.default_rng(3)
        truth = []
        for i in range(3):
            picture, labels = layout.scene(rng, [1000, 1001, 300, 301, 302, 5, 7], *layout.size(rng))
            layout.save(f"{self.data}/in/deep/{i}.png", picture)
            layout.save(f"{self.data}/true/deep/{i}_ids.png", labels.astype(dtype))
            mapped = np.select([labels == 1000, labels == 1001, labels < 8], [0, 1, 255], 2)
            truth.append(mapped.astype(np.uint8))
        return truth

    def preset(self, **changes):
        described = {**self.PRESET, **changes}
        return self.write("rooms.json", json.dumps({k: v for k, v in described.items() if v is not None}))

    def test_aliases_sixteen_bits_maps_and_ignored(self):
        truth = self.make_rooms()
        report = self.eval(self.preset())
        found = self.segment([f"{self.data}/in/deep/{i}.png" for i in range(3)], "-c", "wall,sofa;couch,lamp")
        self.agrees(report, np.stack([twin.histograms(f, t, 3) for f, t in zip(found, truth)]))
        self.assertEqual(report["preset"], "rooms")

    def test_numbers_of_many_digits_are_the_same_run(self):
        self.make_rooms()
        preset = self.preset(published=[{"miou": 12.3456789012, "of": "nothing"}])
        first = self.eval(preset, "-o", "r.jsonl")
        self.assertEqual(self.integers(self.eval(preset, "-o", "r.jsonl")), self.integers(first))

    def test_mistakes_in_a_preset(self):
        self.make_rooms()
        cases = (("'colour', which means nothing", {"colour": 1}), ('"classes" wants', {"classes": []}),
                 ("2 colours for 3 classes", {"palette": [[0, 0, 0], [1, 1, 1]]}),
                 ("entry 1 is not [red", {"palette": [[0, 0, 0], [0, 0, 256], [1, 1, 1]]}),
                 ('"pictures" is missing', {"pictures": None}), ("no '/'", {"name": "a/b"}),
                 ("a label from 0 to 2", {"label_files": [{"suffix": ".png", "map": {"1": 3}}]}),
                 ("a range of as many", {"label_files": [{"suffix": ".png", "map": {"1-3": "0-1"}}]}),
                 ("no raw value", {"label_files": [{"suffix": ".png", "map": {"70000": 0}}]}),
                 ("no raw value", {"label_files": [{"suffix": ".png", "map": {"9-8": 0}}]}),
                 ('"label_files" wants', {"label_files": []}),
                 ("belongs to a first class called background", {"classes": ["background", "a"], "palette": None}),
                 ("belongs to a first class called background", {"background": {"threshold": 0.5}}),
                 ("threshold from 0 to 1", {"classes": ["background", "a"], "palette": None,
                                            "background": {"threshold": 2}}))
        for words, changes in cases:
            with self.subTest(words=words, changes=changes):
                self.refuses(3, f"rooms.json|{words}", *self.arguments(self.preset(**changes)))
        self.refuses(3, "line 1", *self.arguments(self.write("bad.json", "{")))
        self.refuses(3, "duplicate", *self.arguments(self.write("twice.json", '{"name":"a","name":"b"}')))
        self.refuses(2, "no preset is called 'rooms'|voc21", *self.arguments("rooms"))


class Protocol(EvalTest):
    def test_windows_means_and_sizes(self):
        """Labels from the scores of single windows, put together by OpenCV and NumPy: the same on 99.9 % of pixels
        (sums are made in another order, and scores of random weights lie close)."""
        import cv2
        self.make(layout.make_ade, layout.make_coco, pictures=3)
        for preset, more in (("ade20k", []), ("coco_object", ["--background", self.background, "--bg-clean"])):
            benchmark, (_, words) = twin.BENCHMARKS[preset], self.classes(preset)
            base = ("-m", MODEL, "-q", "--classes-file", words)
            same = pixels = 0

            def score(windows):
                names = [self.path(f"window{i:03d}.png") for i in range(len(windows))]
                for name, window in zip(names, windows):
                    cv2.imwrite(name, window[..., ::-1])
                self.t2d("segment", *names, *base, "--whole", *more, "-o", "wm", "--scores", "ws")
                return [np.load(self.path(f"ws/window{i:03d}.npy")) for i in range(len(windows))]
            paths = [benchmark.picture(self.data, name) for name in benchmark.names(self.data)]
            for path, found in zip(paths, self.segment(paths, "--classes-file", words, *more)):
                picture = np.ascontiguousarray(cv2.imread(path)[..., ::-1])
                want = twin.protocol_labels(picture, score, 56, 28, 56, 256)
                same += (found == want).sum()
                pixels += want.size
            self.assertGreaterEqual(same / pixels, 0.999, preset)

    def test_everything_that_decides_is_stored_and_printed(self):
        self.make(layout.make_voc)
        report = self.eval("voc21")
        head = self.lines("voc21_eval.jsonl")[0]
        self.assertEqual(head["decides"], report["decides"])
        for key in ("version", "model", "dtype", "device", "templates", "prompts", "classes", "background", "bg_clean", "size",
                    "stride", "short_side", "long_side", "steps", "preset_hash", "picture_names"):
            self.assertIn(key, report["decides"])
        self.assertEqual(len(report["decides"]["prompts"]), 7)
        self.assertEqual(report["published"][0]["miou"], 65.9)
        out, _ = self.t2d("merge", "voc21_eval.jsonl")
        for words in ("mIoU", "mAcc", "aAcc", "tvmonitor", "published", "differs", "threshold is 0.51", "OpenCV", "checksum",
                      "pictures/s", report["data_hash"], report["decides"]["model"]):
            self.assertIn(words, out)

    def test_class_lists_are_the_published_ones(self):
        reference = os.environ.get("T2D_REFERENCE")
        if not reference:
            self.skipTest("T2D_REFERENCE is not set: the folder of reference data")
        with open(f"{reference}/datasets.json", encoding="utf-8") as file:
            published = json.load(file)
        names = {"coco_stuff": "coco_stuff171", "coco_object": "coco_object81", "cityscapes": "cityscapes19", "ade20k": "ade150"}
        for preset in twin.BENCHMARKS:
            described, _ = self.classes(preset)
            want = published[names.get(preset, preset)]
            self.assertEqual((described["classes"], described["palette"]), (want["classes"], want["palette"]))
            self.assertEqual(described["expected"], want["num_val_images"])
            rule = described.get("background")
            self.assertEqual(rule is not None, want["with_bg"])
            if rule:
                self.assertEqual((rule["threshold"], rule["vit_l_threshold"], rule["clean"]),
                                 (want["bg_thresh"]["vitb"], want["bg_thresh"]["vitl"], want["with_bg_clean"]))


if __name__ == "__main__":
    main()
