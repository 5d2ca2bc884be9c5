"""test_published.py -- whole runs against the published code's label maps: where they are the truth, everything is found.

As in tests/command/test_published.py, labels agree on 99.99 % of pixels: sums are made in another order."""

import json
import os
import shutil
import sys

import layout
import numpy as np
from evaluate import CommandTest, main, safetensors

REFERENCE, MODELS = os.environ.get("T2D_REFERENCE"), os.environ["T2D_REFERENCE_MODELS"]
CASES = ("tiny_reg", "tiny_noreg")
if not REFERENCE:
    print("skipped: T2D_REFERENCE is not set: the folder of reference cases")
    sys.exit(77)
if not all(os.path.exists(f"{MODELS}/{case}.safetensors") for case in CASES):
    print("skipped: the exporter did not run (python3 with numpy, torch, safetensors and xxhash)")
    sys.exit(77)


class Published(CommandTest):
    def preset(self, names, **more):
        return self.write("case.json", json.dumps({"name": "case", "pictures": "in", "labels": "true", "picture_suffix": ".png",
                                                   "label_files": [{"suffix": ".png"}], "classes": names, **more}))

    def test_what_the_published_code_finds_is_found(self):
        for case in CASES:
            with open(f"{REFERENCE}/cases/{case}/case.json", encoding="utf-8") as file:
                described = json.load(file)
            expected, _ = safetensors(f"{REFERENCE}/cases/{case}/expected.safetensors")
            names, rule = described["class_names"], {"threshold": described["background_threshold"], "clean": True}
            for stage, preset in (("slide_labels", (names, {})), ("slide_bg_labels", (["background", *names], {"background": rule}))):
                with self.subTest(case=case, stage=stage):
                    labels = expected[stage][0]
                    layout.save(self.path("data/true/a.png"), labels.astype(np.uint8))
                    os.makedirs(self.path("data/in"), exist_ok=True)
                    shutil.copy(f"{REFERENCE}/cases/{case}/image.png", self.path("data/in/a.png"))
                    out, _ = self.t2d("eval", "--preset", self.preset(preset[0], **preset[1]), "--data", self.path("data"), "-m",
                                      f"{MODELS}/{case}.safetensors", "--device", "cpu", "-q", "--json", "-o", f"{case}{stage}.jsonl")
                    report = json.loads(out)
                    self.assertEqual([c["truth"] for c in report["classes"]],
                                     np.bincount(labels.ravel().astype(int), minlength=len(preset[0])).tolist())
                    self.assertGreaterEqual(report["aacc"], 0.9999)
                    self.assertEqual([c["found"] > 0 for c in report["classes"]], [c["truth"] > 0 for c in report["classes"]])


if __name__ == "__main__":
    main()
