"""evaluate.py -- what the tests of `t2d eval` share: miniature benchmarks, runs, and their integers."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../command"))

from command import CommandTest, main, mask, safetensors  # noqa: E402, F401  (also ends the program where NumPy is missing)

try:
    import cv2  # noqa: F401
except ImportError as problem:
    print(f"skipped: {problem}")
    sys.exit(77)

import layout  # noqa: E402
import numpy as np  # noqa: E402
import twin  # noqa: E402

MODEL, OTHER_MODEL = os.environ["T2D_EVAL_MODEL"], os.environ["T2D_EVAL_OTHER_MODEL"]
if not os.path.exists(MODEL) or not os.path.exists(OTHER_MODEL):
    print(f"skipped: no {MODEL} (python3 with numpy, Pillow, OpenCV and xxhash makes it)")
    sys.exit(77)

LAUNCHERS = {name for rows in (("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"), ("PMI_RANK", "PMI_SIZE"),
                               ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"), ("RANK", "WORLD_SIZE")) for name in rows}
for variable in LAUNCHERS:
    os.environ.pop(variable, None)  # these tests may run under a launcher themselves


class EvalTest(CommandTest):
    """Every test has data of its own, which it may damage."""

    pictures, background = 4, "0.51"

    def setUp(self):
        super().setUp()
        self.data = self.path("data")

    def make(self, *makers, pictures=None, seed=0):
        rng = np.random.default_rng(seed)
        for maker in makers:
            maker(rng, self.data, pictures or self.pictures)

    def arguments(self, preset, model=MODEL, data=None):
        more = ("--background", self.background) if preset in ("voc21", "context60", "coco_object") else ()
        return ("eval", "--preset", preset, "--data", data or self.data, "-m", model, "-q", *more)

    def eval(self, preset, *more, code=0, **settings):
        """The report of a run that comes through."""
        out, message = self.t2d(*self.arguments(preset), "--json", *more, code=code, **settings)
        self.message = message
        return json.loads(out) if out else None

    def integers(self, report):
        return (report["pictures"], report["failed"], report["pixels"], report["ignored"],
                [(c["both"], c["truth"], c["found"]) for c in report["classes"]])

    def lines(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def classes(self, preset):
        """The words that a preset asks for, as a file: a preset's background is no word."""
        out, _ = self.t2d("eval", "--show-preset", "--preset", preset)
        described = json.loads(out)
        names = described["classes"][1 if "background" in described else 0:]
        return described, self.write("classes.txt", "\n".join(names) + "\n")

    def expected(self, preset, names=None):
        """[pictures, 3, classes] by the twin, from the masks that `t2d segment` writes."""
        benchmark = twin.BENCHMARKS[preset]
        described, words = self.classes(preset)
        rule = described.get("background")
        options = ["--background", self.background] + (["--bg-clean"] if rule["clean"] else []) if rule else []
        names = names or benchmark.names(self.data)
        pictures = [benchmark.picture(self.data, name) for name in names]
        found = self.segment(pictures, "--classes-file", words, *options)
        return np.stack([twin.histograms(f, benchmark.truth(self.data, name), benchmark.classes)
                         for f, name in zip(found, names)])

    def segment(self, pictures, *more):
        """The masks of pictures by `t2d segment`."""
        self.t2d("segment", *pictures, "-m", MODEL, "-q", *more, "-o", self.path("found"))
        single = self.path("found") if len(pictures) == 1 else None
        return [mask(single or self.path(f"found/{os.path.splitext(os.path.basename(p))[0]}.png")) for p in pictures]

    def agrees(self, report, counts):
        """The report's numbers are the twin's: integers exactly, quotients to round-off."""
        total = counts.sum(0)
        self.assertEqual([[c[key] for c in report["classes"]] for key in ("both", "truth", "found")], total.tolist())
        all_accuracy, mean_iou, mean_accuracy, iou, accuracy = twin.metrics(total)
        for key, want in (("aacc", all_accuracy), ("miou", mean_iou), ("macc", mean_accuracy)):
            self.assertAlmostEqual(report[key], want, delta=1e-6)
        for key, want in (("iou", iou), ("accuracy", accuracy)):
            got = np.array([np.nan if c[key] is None else c[key] for c in report["classes"]])
            np.testing.assert_allclose(got, want, atol=1e-6)
