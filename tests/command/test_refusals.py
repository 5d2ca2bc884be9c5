"""test_refusals.py -- wrong arguments and damaged inputs: one sentence, the documented code, nothing left behind."""

import os
import struct
import subprocess
import unittest
import zlib

from command import MODEL, PICTURE, T2D, CommandTest, main, need_tiny_model, read

need_tiny_model()

SEGMENT = ("segment", PICTURE, "-m", MODEL, "-c", "cat,dog", "--size", "56")


class Misuse(CommandTest):
    CASES = [
        ("no command 'frobnicate'", ["frobnicate"]),
        ("unknown option --frob", ["segment", "--frob"]),
        ("unknown option -j4", ["segment", "-j4"]),
        ("-m needs a value: FILE", ["segment", "x.png", "-m"]),
        ("--json takes no value", ["segment", "--json=yes"]),
        ("at least one picture", ["segment", "-c", "cat", "-m", MODEL]),
        ("no classes", ["segment", PICTURE, "-m", MODEL]),
        ("not both", ["segment", PICTURE, "-m", MODEL, "-c", "cat", "--classes-file", "f"]),
        ("class 2 is empty", ["segment", PICTURE, "-m", MODEL, "-c", "cat,,dog"]),
        ("-c: class 1 is empty", ["segment", PICTURE, "-m", MODEL, "-c", " "]),
        ("-c: empty", ["segment", PICTURE, "-m", MODEL, "-c", ""]),
        ("no model|-m FILE", ["segment", PICTURE, "-c", "cat"]),
        ("--size 448px|whole number", [*SEGMENT, "--size", "448px"]),
        ("--size 0", [*SEGMENT, "--size", "0"]),
        ("size 50|multiple of the patch size 14", [*SEGMENT, "--size", "50"]),
        ("stride 57|window size 56", [*SEGMENT, "--stride", "57"]),
        ("exclude each other", [*SEGMENT, "--whole", "--slide"]),
        ("--stride belongs to --slide", [*SEGMENT, "--whole", "--stride", "14"]),
        ("--background 1.5", [*SEGMENT, "--background", "1.5"]),
        ("--background nan", [*SEGMENT, "--background", "nan"]),
        ("called background", [*SEGMENT[:5], "background,cat", "--with-background"]),
        ("--dtype fp8|fp32|fp16|bf16", [*SEGMENT, "--dtype", "fp8"]),
        ("--threads 0", [*SEGMENT, "--threads", "0"]),
        ("standard output", [*SEGMENT, "-o", "-", "--json"]),
        ("no template set is called 'frob'|sub_imagenet_template", [*SEGMENT, "--templates", "frob"]),
        ("two results would be the same file", [*SEGMENT, "-o", "x.png", "--overlay", "x.png"]),
        ("where to", ["features", PICTURE, "-m", MODEL]),
        ("one picture, got 2", ["features", PICTURE, PICTURE, "-m", MODEL, "-o", "f"]),
        ("where to", ["text", "-c", "cat", "-m", MODEL]),
        ("takes no file", ["text", "cat", "-m", MODEL, "--tokens"]),
        ("one model file", ["info"]),
        ("one model file", ["verify", MODEL, MODEL]),
        ("no operand", ["doctor", "now"]),
    ]

    def test_every_case(self):
        for words, arguments in self.CASES:
            with self.subTest(arguments=arguments[1:]):
                self.refuses(2, words, *arguments)

    def test_no_arguments_shows_the_commands(self):
        _, message = self.t2d(code=2)
        self.assertIn("usage: t2d COMMAND", message)

    def test_two_pictures_of_the_same_name(self):
        self.refuses(2, "two pictures are called 'a'", "segment", "x/a.png", "y/a.jpg", "-m", MODEL, "-c", "cat", "-o", "out")

    def test_a_result_over_its_own_picture(self):
        self.write("a.ppm", read(PICTURE))
        self.refuses(2, "would be replaced by its own result", "segment", "a.ppm", *SEGMENT[2:], "-o", "a.ppm")


class Devices(CommandTest):
    def test_cuda_is_never_replaced_by_the_cpu(self):
        self.refuses(4, "cuda", *SEGMENT, "--device", "cuda")
        self.refuses(4, "cuda", *SEGMENT, "--device", "cuda:3")

    def test_unknown_device(self):
        _, message = self.t2d(*SEGMENT, "--device", "tpu", code=2)
        self.assertIn("tpu", message)

    def test_fp16_is_not_for_cpus(self):
        self.refuses(4, "fp16", *SEGMENT, "--device", "cpu", "--dtype", "fp16")


class Pictures(CommandTest):
    def refuses_picture(self, words, name):
        self.refuses(3, f"{name}|{words}", "segment", name, *SEGMENT[2:])

    def test_missing(self):
        self.refuses_picture("No such file", "none.png")

    def test_folder(self):
        self.refuses(2, "wants -o FOLDER", "segment", self.folder, *SEGMENT[2:])

    def test_empty(self):
        self.refuses_picture("", self.write("empty.jpg", b""))

    def test_not_a_picture(self):
        self.refuses_picture("PNG", self.write("text.png", "hello"))

    def test_cut_short(self):
        whole = read(PICTURE)
        self.refuses_picture("", self.write("short.ppm", whole[: len(whole) // 2]))

    def test_bomb(self):
        def chunk(kind, data):
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
        png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
        self.refuses_picture("pixels", self.write("bomb.png", png))

    def test_control_characters_in_a_name_do_not_reach_the_terminal(self):
        _, message = self.t2d("segment", "a\x1b[31mb.png", *SEGMENT[2:], code=3)
        self.assertNotIn("\x1b", message)


class Models(CommandTest):
    def refuses_model(self, words, name):
        self.refuses(3, words, "segment", PICTURE, "-m", name, "-c", "cat")
        self.refuses(3, words, "verify", name)

    def damaged(self, change):
        content = bytearray(read(MODEL))
        return self.write("model.safetensors", bytes(change(content)))

    def test_missing(self):
        self.refuses_model("none.safetensors", "none.safetensors")

    def test_not_safetensors(self):
        self.refuses_model("model", self.write("model.safetensors", "hello, I am not a model"))

    def test_empty(self):
        self.refuses_model("model", self.write("model.safetensors", ""))

    def test_cut_short(self):
        self.refuses_model("model.safetensors", self.damaged(lambda c: c[:-1]))

    def test_one_flipped_bit(self):
        def flip(content):
            content[-5] ^= 1
            return content
        self.refuses_model("checksum", self.damaged(flip))

    def test_changed_metadata(self):
        self.refuses_model("metadata", self.damaged(lambda c: c.replace(b'"segment.stride":"224"', b'"segment.stride":"112"')))

    def test_unknown_version(self):
        self.refuses_model("format_version", self.damaged(lambda c: c.replace(b'"format_version":"1"', b'"format_version":"9"')))

    def test_renamed_tensor(self):
        self.refuses_model("vision.norm.bias", self.damaged(lambda c: c.replace(b'"vision.norm.bias"', b'"vision.norm.mias"')))


class Lists(CommandTest):
    def refuses_list(self, words, content):
        self.refuses(3, words, *SEGMENT[:4], "--classes-file", self.write("classes.txt", content))

    def test_missing(self):
        self.refuses(3, "none.txt", *SEGMENT[:4], "--classes-file", "none.txt")

    def test_empty(self):
        self.refuses_list("classes.txt", "")

    def test_empty_line(self):
        self.refuses_list("line 2 is empty", "cat\n\ndog\n")

    def test_binary(self):
        self.refuses_list("zero byte at offset 3", b"cat\0dog")

    def test_not_utf8(self):
        self.refuses_list("UTF-8", b"caf\xe9\n")

    def test_too_long_for_the_tower(self):
        self.refuses_list("tokens", "cat " * 100)

    def test_templates_without_a_place_for_the_name(self):
        self.refuses(3, "{}", *SEGMENT, "--templates", self.write("prompts.txt", "a photo\n"))

    def test_alias_without_a_name(self):
        self.refuses_list("empty name", "cat;;dog\n")


class Outputs(CommandTest):
    def test_no_such_folder(self):
        self.refuses(1, "nowhere", *SEGMENT, "-o", "nowhere/mask.png")
        self.refuses(1, "nowhere", *SEGMENT, "--overlay", "nowhere/o.png")
        self.refuses(1, "nowhere", *SEGMENT, "--scores", "nowhere/s.npy")
        self.refuses(1, "nowhere", "text", "-c", "cat", "-m", MODEL, "-o", "nowhere/t.npy")
        self.refuses(1, "nowhere", "features", PICTURE, "-m", MODEL, "--size", "56", "-o", "nowhere/f.safetensors")

    @unittest.skipUnless(os.path.exists("/dev/full"), "no /dev/full here")
    def test_a_full_disk_under_standard_output(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([T2D, "info", MODEL], stdout=full, stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"standard output", done.stderr)

    def test_the_folder_of_several_pictures_is_a_file(self):
        self.write("out", "")
        self.refuses(1, "out", "segment", "a.png", "b.png", *SEGMENT[2:], "-o", "out")


if __name__ == "__main__":
    main()
