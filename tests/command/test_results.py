"""test_results.py -- what the commands write, read back."""

import json
import os
import subprocess

import numpy as np
from command import MODEL, PICTURE, T2D, CommandTest, main, mask, need_tiny_model, read, safetensors

need_tiny_model()

SEGMENT = ("segment", PICTURE, "-m", MODEL, "-c", "sky,sea,sand", "--size", "112", "--stride", "56")
WIDTH, HEIGHT = 640, 480


class Segment(CommandTest):
    def test_default_name_and_report(self):
        out, _ = self.t2d(*SEGMENT)
        self.assertEqual(self.files(), ["beach_mask.png"])
        self.assertIn("beach_mask.png  640 x 480", out)
        ids = mask(self.path("beach_mask.png"))
        self.assertEqual(ids.shape, (HEIGHT, WIDTH))
        self.assertLess(ids.max(), 3)

    def test_scores_are_what_the_argmax_saw(self):
        for mode in ("--whole", "--slide"):
            self.t2d(*SEGMENT[:-2], mode, "-o", "m.png", "--scores", "s.npy")
            scores = np.load(self.path("s.npy"))
            self.assertEqual((scores.shape, scores.dtype), ((3, HEIGHT, WIDTH), np.float32))
            self.assertTrue((scores > 0.26).all() and (scores < 0.74).all())
            ids = mask(self.path("m.png"))
            best = np.take_along_axis(scores, ids[None], 0)[0]
            self.assertLess((scores.max(0) - best).max(), 1e-6)  # softmax may merge what lies closer
            if mode == "--whole":
                self.assertTrue((ids == scores.argmax(0)).all())

    def test_background_is_label_0(self):
        self.t2d(*SEGMENT, "-o", "plain.png", "--scores", "s.npy")
        threshold = float(np.median(np.load(self.path("s.npy")).max(0)))
        self.t2d(*SEGMENT, "-o", "b.png", "--scores", "b.npy", "--background", f"{threshold:.7f}")
        scores, plain, ids = np.load(self.path("b.npy")), mask(self.path("plain.png")), mask(self.path("b.png"))
        self.assertEqual(scores.shape, (4, HEIGHT, WIDTH))
        self.assertTrue(np.allclose(scores[0], threshold, atol=1e-6))
        self.assertTrue(0.2 < (ids == 0).mean() < 0.8)
        self.assertTrue((ids[ids > 0] == plain[ids > 0] + 1).all())
        self.t2d(*SEGMENT, "-o", "low.png", "--background", "0")
        self.assert_same_but_for_ties(mask(self.path("low.png")) - 1, plain, np.load(self.path("s.npy")))

    def assert_same_but_for_ties(self, ids, plain, scores):
        """One more channel in the softmax changes its last bit: scores that close may swap."""
        here, there = (np.take_along_axis(scores, labels[None], 0)[0] for labels in (ids, plain))
        self.assertLess(np.abs(here - there).max(), 1e-6)
        self.assertLess((ids != plain).mean(), 1e-3)

    def test_json_tells_everything(self):
        out, message = self.t2d(*SEGMENT, "--json", "--pamr", "--bg-clean", "--with-background", "--overlay", "o.png")
        line = json.loads(out)
        self.assertEqual(message, "")
        self.assertEqual((line["width"], line["height"], line["mode"]), (WIDTH, HEIGHT, "slide"))
        self.assertEqual((line["size"], line["stride"], line["pamr"], line["bg_clean"]), (112, 56, True, True))
        self.assertEqual((line["device"], line["dtype"], line["background"]), ("cpu", "fp32", 0.55))
        self.assertEqual(sum(label["pixels"] for label in line["labels"]), WIDTH * HEIGHT)
        self.assertEqual(self.files(), ["beach_mask.png", "o.png"])

    def test_standard_input_and_output(self):
        self.t2d(*SEGMENT, "-o", "file.png")
        self.t2d("segment", "-", *SEGMENT[2:], "-o", "-", stdin=read(PICTURE))
        self.assertEqual(self.stdout_bytes, read(self.path("file.png")))

    def test_same_bits_for_any_number_of_threads(self):
        files = []
        for threads in ("1", "2", "3"):
            self.t2d(*SEGMENT, "-t", threads, "-o", f"{threads}.png", "--scores", f"{threads}.npy", "--pamr", "--bg-clean")
            files.append([read(self.path(threads + end)) for end in (".png", ".npy")])
        self.assertEqual(files[0], files[1])
        self.assertEqual(files[0], files[2])

    def test_a_bad_picture_does_not_stop_the_others(self):
        picture = read(PICTURE)
        self.write("a.ppm", picture)
        self.write("b.ppm", picture[:1000])
        self.write("c.ppm", picture)
        out, message = self.t2d("segment", "a.ppm", "b.ppm", "c.ppm", "none.png", *SEGMENT[2:], "-o", "out", "--overlay", "out",
                                code=5)
        self.assertEqual(len(out.splitlines()), 2)
        for words in ("b.ppm", "none.png", "2 of 4 pictures failed"):
            self.assertIn(words, message)
        self.assertEqual(sorted(os.listdir(self.path("out"))), ["a.png", "a_overlay.png", "c.png", "c_overlay.png"])
        self.assertTrue((mask(self.path("out/a.png")) == mask(self.path("out/c.png"))).all())

    def test_all_pictures_bad(self):
        _, message = self.t2d("segment", "none1.png", "none2.png", *SEGMENT[2:], code=3)
        self.assertIn("2 of 2 pictures failed", message)

    def test_more_than_255_classes_make_16_bit_masks(self):
        names = "".join(f"thing {i}\n" for i in range(300))
        self.t2d(*SEGMENT[:4], "--size", "56", "--classes-file", self.write("classes.txt", names), "-o", "m.png",
                 "--templates", "identity")
        self.assertEqual(tuple(read(self.path("m.png"))[24:26]), (16, 0))  # IHDR: bits, gray
        self.assertLess(mask(self.path("m.png")).max(), 300)

    def test_aliases_merge_by_maximum(self):
        """A class of two names scores at least as high as either, and wins where either won."""
        base = (*SEGMENT[:4], "--whole", "--size", "112")
        self.t2d(*base, "-c", "sky,sea,sand", "--scores", "three.npy", "-o", "three.png")
        self.t2d(*base, "-c", "sky;sea,sand", "--scores", "two.npy", "-o", "two.png")
        three, two = np.load(self.path("three.npy")), np.load(self.path("two.npy"))
        self.assertEqual(two.shape[0], 2)
        self.assertTrue((two[0] >= np.maximum(three[0], three[1]) - 1e-6).all())  # max of patches, then bilinear
        self.assertTrue((two[1] == three[2]).all())

    def test_underscore_and_template_file(self):
        self.t2d("text", "-m", MODEL, "-c", "traffic_light", "-o", "a.npy", "--templates", "simple")
        self.t2d("text", "-m", MODEL, "--classes-file", self.write("c.txt", "traffic light\r\n"), "-o", "b.npy",
                 "--templates", self.write("t.txt", "a photo of a {}.\n"))
        self.assertTrue((np.load(self.path("a.npy")) == np.load(self.path("b.npy"))).all())

    def test_sizes_that_are_hard(self):
        for width, height in ((1, 1), (1, 300), (700, 3), (113, 57)):
            self.write("p.ppm", b"P6 %d %d 255\n" % (width, height) + bytes(range(251)) * (width * height * 3 // 251 + 1))
            for mode in ("--slide", "--whole"):
                for pamr in ([], ["--pamr"]):
                    self.t2d("segment", "p.ppm", *SEGMENT[2:-2], mode, *pamr, "-o", "m.png")
                    self.assertEqual(mask(self.path("m.png")).shape, (height, width))


class Others(CommandTest):
    def test_features(self):
        self.t2d("features", PICTURE, "-m", MODEL, "--size", "112", "-o", "f.safetensors")
        tensors, metadata = safetensors(self.path("f.safetensors"))
        shapes = {name: t.shape for name, t in tensors.items()}
        self.assertEqual(shapes, {"patch_tokens": (64, 128), "cls": (128,), "registers": (4, 128),
                                  "cls_attention_logits": (2, 64), "head_embeddings": (2, 128)})
        self.assertEqual(metadata["grid"], "8")
        weights = np.exp(tensors["cls_attention_logits"].astype(np.float64))
        weights /= weights.sum(1, keepdims=True)
        pooled = weights @ tensors["patch_tokens"] / 64
        self.assertLess(np.abs(pooled - tensors["head_embeddings"]).max(), 1e-5)

    def test_text(self):
        out, _ = self.t2d("text", "-m", MODEL, "-c", "cat,dog;hound", "-o", "t.npy", "--json")
        self.assertEqual(json.loads(out), {"vectors": "t.npy", "classes": 2, "rows": 3, "dim": 128})
        vectors = np.load(self.path("t.npy"))
        self.assertEqual(vectors.shape, (3, 128))
        self.assertLess(np.abs(np.linalg.norm(vectors, axis=1) - 1).max(), 1e-5)

    def test_tokens(self):
        out, _ = self.t2d("text", "-m", MODEL, "-c", "cat", "--tokens", "--json")
        line = json.loads(out)
        self.assertEqual(line["text"], "cat")
        self.assertEqual(line["tokens"][-1], line["tokens"][0] + 1)  # start, ..., end

    def test_info_verify_doctor(self):
        out, _ = self.t2d("info", MODEL, "--json", "--tensors")
        line = json.loads(out)
        self.assertEqual(line["metadata"]["format"], "talk2dino")
        self.assertEqual(len(line["tensors"]), line["tensor_count"])
        out, _ = self.t2d("info", "-m", MODEL, "--tensors")
        self.assertIn("vision.blocks.0.attn.qkv.weight", out)
        out, _ = self.t2d("verify", MODEL)
        self.assertIn("sound", out)
        out, _ = self.t2d("doctor", "--json", environment={"T2D_MODEL": MODEL})
        line = json.loads(out)
        self.assertEqual([d["asked"] for d in line["devices"]], ["cpu", "cuda", "auto"])
        self.assertNotIn("model_problem", line)
        self.assertIn("attention", json.loads(out)["devices"][0]["dtypes"]["fp32"]["choices"])
        self.assertIn("products: oneDNN in fp32", self.t2d("doctor")[0])

    def test_help_names_every_command_and_version(self):
        out, _ = self.t2d("--help")
        for command in ("segment", "features", "text", "eval", "merge", "info", "verify", "doctor"):
            self.assertIn(command, out)
            self.assertIn(f"usage: t2d {command}", self.t2d(command, "--help")[0])
            self.assertIn(f"usage: t2d {command}", self.t2d("help", command)[0])
        self.assertRegex(self.t2d("--version")[0], r"^t2d \d+\.\d+\.\d+\n$")

    def test_auto_says_what_it_chose(self):
        _, message = self.t2d(*SEGMENT[:-4], "--size", "56", "-o", "m.png")
        self.assertIn("device cpu", message)
        _, message = self.t2d(*SEGMENT[:-4], "--size", "56", "-o", "m.png", "-q")
        self.assertEqual(message, "")

    def test_a_closed_pipe_ends_with_a_sentence(self):
        process = subprocess.Popen([T2D, "info", MODEL, "--tensors"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.close()
        message = process.stderr.read()
        process.stderr.close()
        self.assertIn(process.wait(), (0, 1))
        self.assertLessEqual(message.count(b"\n"), 1)


if __name__ == "__main__":
    main()
