"""test_bench.py -- t2d bench: what it writes down, and what it refuses.  No test here asserts a time."""

import csv
import json
import math
import os
import struct
import sys

import numpy as np
from command import MODEL, PICTURE, CommandTest, main, need_tiny_model, read

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../python_export"))
need_tiny_model()

import modelfile  # noqa: E402  (where the model is, so is xxhash)
import xxhash  # noqa: E402

BENCH = ("bench", "-m", MODEL, "--size", "56", "--whole", "--picture", "80x60", "--classes", "3", "--iterations", "5",
         "--device", "cpu")
SETTINGS = {"scenario", "version", "device", "device_name", "dtype", "threads", "model", "model_checksum", "windows", "size",
            "stride", "short_side", "long_side", "picture", "batch", "classes", "seed", "warmup", "iterations", "seconds"}


def nearest_rank(samples, percent):
    return sorted(samples)[math.ceil(percent * len(samples) / 100) - 1]


class BenchTest(CommandTest):
    def bench(self, *more):
        """The JSON line of a run."""
        out, _ = self.t2d(*BENCH, "--json", *more)
        self.assertEqual(len(out.splitlines()), 1)
        return json.loads(out)


class Report(BenchTest):
    def test_numbers_are_those_of_the_samples(self):
        line = self.bench("--iterations", "12")
        samples, latency = line["samples_seconds"], line["latency_seconds"]
        self.assertEqual(len(samples), 12)
        self.assertTrue(all(s > 0 for s in samples))
        for name, want in (("median", nearest_rank(samples, 50)), ("p90", nearest_rank(samples, 90)),
                           ("p99", max(samples)), ("min", min(samples)), ("max", max(samples))):
            self.assertEqual(latency[name], want, name)
        self.assertAlmostEqual(latency["mean"] / (sum(samples) / 12), 1, places=5)
        self.assertAlmostEqual(line["pictures_per_second"] * sum(samples) / 12, 1, places=5)
        self.assertAlmostEqual(line["tower_flop_per_second"] * latency["median"] / line["tower_flop_per_window"], 1, places=5)
        self.assertGreater(line["ceiling_flop_per_second"], 0)
        self.assertAlmostEqual(line["tower_floor_seconds"] * line["ceiling_flop_per_second"] / line["tower_flop_per_window"], 1,
                               places=5)
        self.assertGreater(line["peak_memory_bytes"], os.path.getsize(MODEL) // 2)
        self.assertIs(line["sound"], True)

    def test_the_floor_is_a_roofline_of_every_operation(self):
        line = self.bench("--mode", "offline", "--batch", "3")
        self.assertGreater(line["ceiling_bytes_per_second"], 0)
        operations = line["operations"]
        self.assertEqual({(o["stage"], o["operation"]) for o in operations},
                         {("upload", "copy"), ("patch embedding", "embed"), ("blocks", "layer norm"), ("blocks", "linear qkv"),
                          ("blocks", "attention"), ("blocks", "linear out"), ("blocks", "linear up"), ("blocks", "linear down"),
                          ("final norm", "layer norm"), ("similarity", "unit rows"), ("similarity", "similarity"),
                          ("readout", "upsample, argmax")})
        for o in operations:
            self.assertEqual(set(o), {"stage", "operation", "calls", "flop", "bytes", "floor_seconds"})
            self.assertGreater(o["bytes"], 0)
            floor = max(o["flop"] / line["ceiling_flop_per_second"], o["bytes"] / line["ceiling_bytes_per_second"])
            self.assertAlmostEqual(o["floor_seconds"] / floor, 1, places=5)
        self.assertAlmostEqual(line["floor_seconds"] / sum(o["floor_seconds"] for o in operations), 1, places=5)
        tower = sum(o["flop"] for o in operations if o["stage"] in ("patch embedding", "blocks"))
        self.assertAlmostEqual(tower / (3 * line["tower_flop_per_window"]), 1, places=6)
        self.assertNotIn("metered_seconds", line)

    def test_stages(self):
        line = self.bench("--stages")
        turns, operations = line["metered_samples_seconds"], line["operations"]
        self.assertEqual(len(turns), 5)
        self.assertEqual(line["metered_seconds"], nearest_rank(turns, 50))
        self.assertIn(("host", "resize, windows, calls"), [(o["stage"], o["operation"]) for o in operations])
        for o in operations:
            self.assertEqual(len(o["samples_seconds"]), 5)
            self.assertTrue(all(s > 0 for s in o["samples_seconds"]), o["operation"])
            self.assertEqual(o["median_seconds"], nearest_rank(o["samples_seconds"], 50))
            self.assertAlmostEqual(o["share"] * line["metered_seconds"] / o["median_seconds"], 1, places=5)
            self.assertAlmostEqual(o["of_ceiling"] * o["median_seconds"], o["floor_seconds"], places=9)
            self.assertAlmostEqual(o["flop_per_second"] * o["median_seconds"] / (o["flop"] or 1), 1 if o["flop"] else 0, places=5)
        for turn, seconds in enumerate(turns):  # nothing is left out
            self.assertAlmostEqual(sum(o["samples_seconds"][turn] for o in operations) / seconds, 1, places=4)
        self.assertEqual(line["host_share"], operations[-1]["share"])

    def test_the_machine_is_described(self):
        machine = self.bench()["machine"]
        self.assertEqual(set(machine), {"cpu", "governor", "before", "after", "card_driver", "card_power_limit_watts",
                                        "card_not_known", "cpu_joules_per_picture", "card_joules_per_picture"})
        for moment in ("before", "after"):
            self.assertEqual(set(machine[moment]), {"cpu_mhz", "cpu_celsius", "card_mhz", "card_memory_mhz", "card_celsius",
                                                    "card_memory_used_bytes"})
        self.assertEqual((machine["card_driver"], machine["card_not_known"], machine["before"]["card_mhz"]), (None,) * 3)

    def test_settings_tell_how_to_repeat_it(self):
        line = self.bench("--seed", "7", "--warmup", "0", "--threads", "1")
        s = line["settings"]
        self.assertEqual(set(s), SETTINGS)
        self.assertEqual((s["scenario"], s["device"], s["dtype"], s["threads"]), ("single-stream", "cpu", "fp32", 1))
        self.assertEqual((s["windows"], s["size"], s["stride"], s["picture"]), ("whole", 56, None, "80x60"))
        self.assertEqual((s["batch"], s["classes"], s["seed"], s["warmup"], s["iterations"], s["seconds"]), (1, 3, 7, 0, 5, None))
        self.assertRegex(s["model_checksum"], "^[0-9a-f]{16}$")
        self.assertRegex(line["started"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")

    def test_operations_of_the_tiny_tower(self):
        """128 wide, 4 blocks, MLP of 512, patch 14, 4 registers (random_model.py)."""
        tokens = 1 + 4 + 16
        block = 2 * tokens * 128 * (3 * 128 + 128 + 512 + 512) + 2 * 2 * tokens * tokens * 128
        self.assertEqual(self.bench()["tower_flop_per_window"], 4 * block + 2 * 16 * (3 * 14 * 14) * 128)

    def test_windows_of_the_sliding_protocol(self):
        out, _ = self.t2d("bench", "-m", MODEL, "--json", "--iterations", "1", "--warmup", "0", "--classes", "2",
                          "--picture", "640x480", "--size", "448", "--stride", "224")
        line = json.loads(out)
        self.assertEqual(line["windows_per_picture"], 2)  # 597 x 448
        self.assertEqual((line["settings"]["windows"], line["settings"]["short_side"]), ("slide", 448))
        self.assertAlmostEqual(line["windows_per_second"] / line["pictures_per_second"], 2, places=5)

    def test_offline_goes_in_batches(self):
        line = self.bench("--mode", "offline", "--batch", "6")
        samples = line["samples_seconds"]
        self.assertEqual((line["settings"]["scenario"], line["settings"]["batch"], len(samples)), ("offline", 6, 5))
        self.assertAlmostEqual(line["pictures_per_second"] * sum(samples) / 30, 1, places=5)
        self.assertAlmostEqual(line["tower_floor_seconds"] * line["ceiling_flop_per_second"] / line["tower_flop_per_window"], 6,
                               places=4)
        self.assertGreater(self.bench("--mode", "offline")["settings"]["batch"], 1)  # 21 tokens do not fill a pass

    def test_seconds_are_filled(self):
        out, _ = self.t2d(*BENCH[:-4], "--json", "--seconds", "0.05", "--device", "cpu")
        line = json.loads(out)
        samples = line["samples_seconds"]
        self.assertGreater(sum(samples), 0.0499)
        self.assertLess(sum(samples[:-1]), 0.0501)
        self.assertEqual(line["settings"]["iterations"], None)

    def test_table_for_people(self):
        out, _ = self.t2d(*BENCH)
        for words in ("single-stream: pictures of 80x60, 3 classes, 1 whole window of 56, batch 1", "checked: ",
                      "in 5 timed calls", "host to mask, ms a picture: 5 samples after 2 that warmed up", "median", "p99",
                      "pictures/s", "GFLOP/s of a large product in this run", "GB/s from and to memory",
                      "at the ceiling that it meets first", "MiB at most", "machine   "):
            self.assertIn(words, out)
        self.assertNotIn("\nstages", out)

    def test_table_of_stages(self):
        out, _ = self.t2d(*BENCH, "--stages")
        for words in ("stages, ms: medians of 5 more calls in which every operation is waited for", "linear qkv", "attention",
                      "patch embedding", "upsample, argmax", "resize, windows, calls"):
            self.assertIn(words, out)

    def test_random_weights_of_a_named_size(self):
        out, _ = self.t2d("bench", "--arch", "vit-s14", "--json", *BENCH[3:], "--iterations", "1", "--seed", "4")
        line = json.loads(out)
        self.assertEqual(line["settings"]["model"], "vit-s14, random weights of seed 4")
        self.assertRegex(line["settings"]["model_checksum"], "^[0-9a-f]{16}$")
        tokens = 1 + 16
        block = 2 * tokens * 384 * (3 * 384 + 384 + 1536 + 1536) + 2 * 2 * tokens * tokens * 384
        tower = 12 * block + 2 * 16 * (3 * 14 * 14) * 384
        self.assertAlmostEqual(line["tower_flop_per_window"] / tower, 1, places=6)

    def test_bf16(self):
        self.assertEqual(self.bench("--dtype", "bf16")["settings"]["dtype"], "bf16")


class Check(BenchTest):
    def overflowing_model(self):
        """A sound file of finite weights whose features overflow: the last norm's weights are 3e38."""
        content = bytearray(read(MODEL))
        size = struct.unpack("<Q", content[:8])[0]
        header = json.loads(content[8 : 8 + size])
        metadata, name = header["__metadata__"], "vision.norm.weight"
        begin, end = (8 + size + at for at in header[name]["data_offsets"])
        content[begin:end] = np.full((end - begin) // 4, 3e38, "<f4").tobytes()
        for key, checksum in ((f"checksum.{name}", lambda: xxhash.xxh3_64_hexdigest(bytes(content[begin:end]))),
                              ("checksum.__metadata__", lambda: modelfile.metadata_checksum(metadata))):
            old, metadata[key] = metadata[key], checksum()
            at = content.index(f'"{key}":"{old}"'.encode()) + len(key) + 4
            content[at : at + 16] = metadata[key].encode()
        return self.write("model.safetensors", bytes(content))

    def test_a_wrong_answer_has_no_speed(self):
        model = self.overflowing_model()
        self.t2d("verify", model)
        for more in ((), ("--json",), ("--csv", "t.csv"), ("--mode", "offline")):
            self.refuses(1, "no speed for a wrong answer|nan", *BENCH, "-m", model, *more)
            self.assertEqual(self.stdout_bytes, b"")


class Table(BenchTest):
    def rows(self):
        with open(self.path("t.csv"), newline="", encoding="utf-8") as file:
            return list(csv.reader(file))

    def test_rows_are_added_below_one_header(self):
        self.t2d(*BENCH, "--csv", "t.csv")
        first = read(self.path("t.csv"))
        line = self.bench("--csv", "t.csv", "--seed", "3")
        self.assertTrue(read(self.path("t.csv")).startswith(first))
        header, one, two = self.rows()
        self.assertEqual(header[0], "started")
        self.assertEqual((len(one), len(two)), (len(header), len(header)))
        row = dict(zip(header, two))
        self.assertLessEqual(SETTINGS, set(header))
        for key in ("model_checksum", "device_name", "picture", "scenario"):
            self.assertEqual(row[key], line["settings"][key])
        self.assertEqual((row["seed"], row["stride"], row["samples"]), ("3", "", "5"))
        self.assertAlmostEqual(float(row["ceiling_flop_per_second"]) / line["ceiling_flop_per_second"], 1, places=5)
        self.assertAlmostEqual(float(row["median_seconds"]) / line["latency_seconds"]["median"], 1, places=5)

    def test_an_empty_file_is_new(self):
        self.write("t.csv", "")
        self.t2d(*BENCH, "--csv", "t.csv")
        self.assertEqual(len(self.rows()), 2)

    def test_other_tables_are_left_alone(self):
        path = self.write("t.csv", "a,b\n1,2\n")
        self.refuses(3, "t.csv|first line", *BENCH, "--csv", "t.csv")
        self.assertEqual(read(path), b"a,b\n1,2\n")

    def test_a_row_that_was_cut(self):
        self.t2d(*BENCH, "--csv", "t.csv")
        content = read(self.path("t.csv"))[:-3]
        self.write("t.csv", content)
        self.refuses(3, "t.csv|last line has no end", *BENCH, "--csv", "t.csv")
        self.assertEqual(read(self.path("t.csv")), content)

    def test_what_cannot_be_a_table(self):
        self.refuses(2, "rows can be added", *BENCH, "--csv", self.folder)
        self.refuses(1, "none/t.csv|No such file", *BENCH, "--csv", "none/t.csv")


class Compare(BenchTest):
    def old(self, change=lambda line: None):
        line = self.bench()
        change(line)
        self.write("old.json", json.dumps(line))
        return line

    def test_ratio_of_medians(self):
        old = self.old()
        new = self.bench("--compare", "old.json")
        medians = old["latency_seconds"]["median"], new["latency_seconds"]["median"]
        found = new["compare"]
        self.assertEqual((found["median_then"], found["median_now"], found["file"]), (*medians, "old.json"))
        self.assertAlmostEqual(found["ratio"] / (medians[1] / medians[0]), 1, places=5)
        self.assertEqual(found["differs"], [])

    def test_what_differs_is_said(self):
        def change(line):
            line["settings"].update(device_name="another chip", model="elsewhere", iterations=99)
            del line["settings"]["seed"]
        self.old(change)
        differs = self.bench("--compare", "old.json", "--classes", "4")["compare"]["differs"]
        self.assertEqual(len(differs), 3, differs)
        self.assertTrue(differs[0].startswith('device_name: "another chip" then, '), differs)
        self.assertEqual(differs[1:], ["classes: 3 then, 4 now", "seed: not known then, 0 now"])
        out, _ = self.t2d(*BENCH, "--compare", "old.json", "--classes", "4")
        self.assertIn("against old.json: median ", out)
        self.assertIn("not the same: classes: 3 then, 4 now", out)

    def test_files_that_are_no_run(self):
        for content, words in (("", "not one JSON object"), ("{", "not one JSON object"), ("[1]", "no settings"),
                               ("{}", "no settings"), ('{"settings": {}}', "no settings and median"),
                               ('{"settings": {}, "latency_seconds": {"median": 0}}', "no settings and median"),
                               ('{"settings": [], "latency_seconds": {"median": 1}}', "no settings and median"),
                               ('{"settings": {}, "latency_seconds": {"median": "1"}}', "no settings and median")):
            with self.subTest(content=content):
                self.write("old.json", content)
                self.refuses(3, f"old.json|{words}", *BENCH, "--compare", "old.json")
        self.refuses(3, "none.json", *BENCH, "--compare", "none.json")


class Refusals(BenchTest):
    CASES = [
        ("takes no operand", [PICTURE]),
        ("exclude each other", ["--seconds", "1"]),
        ("--batch 4|offline", ["--batch", "4"]),
        ("--batch 0", ["--batch", "0"]),
        ("--stride and --whole", ["--stride", "14"]),
        ("size 50|multiple of the patch size 14", ["--size", "50"]),
        ("--iterations 0", ["--iterations", "0"]),
        ("--warmup -1", ["--warmup", "-1"]),
        ("--classes 0", ["--classes", "0"]),
        ("--mode server|single-stream|offline", ["--mode", "server"]),
        ("--dtype fp8", ["--dtype", "fp8"]),
        ("--seed x", ["--seed", "x"]),
        ("--arch and -m exclude each other", ["--arch", "vit-b14"]),
    ]

    def test_every_case(self):
        for words, arguments in self.CASES:
            with self.subTest(arguments=arguments):
                self.refuses(2, words, *BENCH, *arguments)

    def test_pictures_that_have_no_size(self):
        for size in ("", "640", "640x", "x480", "640x480x3", "640X480", "0x480", "640x-1", "640x 480", "+640x480",
                     "16385x10", "99999999999999999999x1", "640x480 "):
            with self.subTest(size=size):
                self.refuses(2, "want WIDTHxHEIGHT", *BENCH, "--picture", size)

    def test_seconds_that_are_none(self):
        for seconds in ("0", "-1", "nan", "inf", "1s"):
            self.refuses(2, f"--seconds {seconds}", *BENCH[:-4], "--seconds", seconds)

    def test_devices(self):
        self.refuses(4, "cuda", *BENCH[:-2], "--device", "cuda:77")
        self.refuses(4, "fp16", *BENCH, "--dtype", "fp16")

    def test_no_model(self):
        self.refuses(2, "no model", "bench", environment={"T2D_MODEL": ""})
        self.refuses(2, "'vit-b16'|vit-b14-reg4", "bench", "--arch", "vit-b16", environment={"T2D_MODEL": MODEL})
        self.refuses(3, "none.safetensors", "bench", "-m", "none.safetensors")


if __name__ == "__main__":
    main()
