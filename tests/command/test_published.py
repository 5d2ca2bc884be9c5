"""test_published.py -- the public command against what the published code answers, on whole reference models.

Tolerances as in test_reference.c: features and embeddings within 1e-4 of their scale, soft masks within 2e-5, labels on
99.99 % of pixels."""

import json
import os
import sys

import numpy as np
from command import CommandTest, main, mask, safetensors

REFERENCE = os.environ.get("T2D_REFERENCE")
MODELS = os.environ["T2D_REFERENCE_MODELS"]
CASES = ("tiny_reg", "tiny_noreg")
if not REFERENCE:
    print("skipped: T2D_REFERENCE is not set: the folder of reference cases")
    sys.exit(77)
if not all(os.path.exists(f"{MODELS}/{case}.safetensors") for case in CASES):
    print("skipped: the exporter did not run (python3 with numpy, torch, safetensors and xxhash)")
    sys.exit(77)


class Published(CommandTest):
    def each_case(self):
        for name in CASES:
            folder = f"{REFERENCE}/cases/{name}"
            with open(f"{folder}/case.json", encoding="utf-8") as file:
                case = json.load(file)
            expected, _ = safetensors(f"{folder}/expected.safetensors")
            with self.subTest(case=name):
                yield case, expected, f"{folder}/image.png", ("-m", f"{MODELS}/{name}.safetensors", "--device", "cpu")

    def close(self, got, want, what):
        self.assertEqual(got.shape, want.shape, what)
        self.assertLessEqual(np.abs(got - want).max() / np.abs(want).max(), 1e-4, what)

    def classes(self, case):
        return "--classes-file", self.write("classes.txt", "\n".join(case["class_names"]) + "\n")

    def test_tokens_of_every_prompt(self):
        templates = ("itap of a {}.", "a bad photo of a {}.", "a origami {}.", "a photo of the large {}.",
                     "a {} in a video game.", "art of the {}.", "a photo of the small {}.")
        for case, expected, _, model in self.each_case():
            prompts = [t.format(name) for name in case["class_names"] for t in templates]
            out, _ = self.t2d("text", *model, "--classes-file", self.write("p.txt", "\n".join(prompts)), "--tokens", "--json")
            for line, want in zip(out.splitlines(), expected["text_tokens"].reshape(-1, 77)):
                tokens = json.loads(line)["tokens"]
                self.assertEqual(tokens + [0] * (77 - len(tokens)), want.tolist())
            self.assertEqual(len(out.splitlines()), len(prompts))

    def test_text(self):
        for case, expected, _, model in self.each_case():
            self.t2d("text", *model, *self.classes(case), "-o", "t.npy")
            self.close(np.load(self.path("t.npy")), expected["text_embedding"], "text_embedding")

    def test_features(self):
        names = {"cls": "cls", "patch_tokens": "patch_tokens", "registers": "reg_tokens",
                 "cls_attention_logits": "cls_attention_logits", "head_embeddings": "head_embeddings"}
        for _, expected, picture, model in self.each_case():
            self.t2d("features", picture, *model, "--size", "448", "-o", "f.safetensors")
            tensors, _ = safetensors(self.path("f.safetensors"))
            for ours, theirs in names.items():
                self.assertEqual(ours in tensors, theirs in expected, ours)
                if ours in tensors:
                    self.close(tensors[ours], expected[theirs][0].reshape(tensors[ours].shape), theirs)

    def masks_agree(self, expected, stage, scores):
        want = expected.get(stage)
        got = scores if want is not None else scores[:, ::37, ::41]
        self.assertLessEqual(np.abs(got - (want if want is not None else expected[stage + "_probe"])[0]).max(), 2e-5, stage)

    def test_masks(self):
        for case, expected, picture, model in self.each_case():
            background = ("--background", str(case["background_threshold"]))
            ways = {("masks", "labels"): ["--whole"],
                    ("masks_bg_clean", "labels_bg_clean"): ["--whole", "--bg-clean", *background],
                    ("masks_pamr", "labels_pamr"): ["--whole", "--pamr"],
                    ("slide_logits", "slide_labels"): [],
                    ("slide_bg_logits", "slide_bg_labels"): ["--bg-clean", *background]}
            for (masks, labels), options in ways.items():
                self.t2d("segment", picture, *model, *self.classes(case), *options, "-o", "m.png", "--scores", "s.npy")
                scores = np.load(self.path("s.npy"))
                self.masks_agree(expected, masks, scores[1:] if masks == "masks_bg_clean" else scores)
                same = (mask(self.path("m.png")) == expected[labels][0]).mean()
                self.assertGreaterEqual(same, 0.9999, labels)


if __name__ == "__main__":
    main()
