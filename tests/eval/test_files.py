"""test_files.py -- stopped and killed runs, bad files, full disks, many pictures: the same integers, or a sentence."""

import json
import os
import resource
import signal
import subprocess
import time

import layout
import numpy as np
import twin
from evaluate import MODEL, OTHER_MODEL, EvalTest, main
from PIL import Image

VOC = "VOCdevkit/VOC2012"


class Stopped(EvalTest):
    def setUp(self):
        super().setUp()
        self.make(layout.make_voc, pictures=60)
        self.whole = self.integers(self.eval("voc21", "-o", "whole.jsonl"))

    def start_and_wait(self, at):
        """A run that has counted the pictures before number `at` and waits for that one, which is a pipe; (process, feed)."""
        path = twin.BENCHMARKS["voc21"].picture(self.data, twin.BENCHMARKS["voc21"].names(self.data)[at])
        os.rename(path, path + ".moved")
        os.mkfifo(path)

        def feed():
            with open(path + ".moved", "rb") as file, open(path, "wb") as pipe:
                pipe.write(file.read())

        def restore():
            os.rename(path + ".moved", path)
        process = subprocess.Popen([os.environ["T2D_BIN"], *self.arguments("voc21"), "-o", "r.jsonl", "--pamr", "--batch", "1"],
                                   cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while not os.path.exists(self.path("r.jsonl")) or self.read("r.jsonl").count(b"\n") < 1 + at:
            self.assertIsNone(process.poll(), "the run ended early")
            time.sleep(0.01)
        return process, feed, restore

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def test_stopped_killed_and_gone_on_with(self):
        whole = self.integers(self.eval("voc21", "--pamr", "-o", "refined.jsonl"))
        for number, at in ((signal.SIGINT, 3), (signal.SIGTERM, 9), (signal.SIGKILL, 15)):
            process, feed, restore = self.start_and_wait(at)
            process.send_signal(number)
            if number != signal.SIGKILL:
                feed()
            _, message = process.communicate(timeout=200)
            restore()
            held = self.read("r.jsonl").count(b"\n") - 1
            self.assertTrue(at <= held < 60, held)
            if number != signal.SIGKILL:
                self.assertEqual(process.returncode, 1)
                self.assertIn(f"{held} of 60 pictures are counted and kept in r.jsonl; the same command goes on", message.decode())
        self.assertEqual(self.integers(self.eval("voc21", "--pamr", "-o", "r.jsonl")), whole)
        self.assertEqual(len(self.lines("r.jsonl")), 61)

    def test_a_torn_line_is_cut_off(self):
        content = self.read("whole.jsonl")
        for cut in (5, len(content) - 1, len(content) // 2, content.index(b"\n") + 1):
            self.write("r.jsonl", content[:cut])
            self.assertEqual(self.integers(self.eval("voc21", "-o", "r.jsonl")), self.whole, cut)

    def test_a_complete_run_is_told_again(self):
        before = self.read("whole.jsonl")
        self.assertEqual(self.integers(self.eval("voc21", "-o", "whole.jsonl")), self.whole)
        self.assertEqual(self.read("whole.jsonl"), before)

    def test_results_of_another_run_are_not_touched(self):
        before = self.read("whole.jsonl")
        for words, arguments in (("model is", self.arguments("voc21", OTHER_MODEL)),
                                 ("preset", self.arguments("voc20")),
                                 ("pamr is false in one, true in the other", (*self.arguments("voc21"), "--pamr")),
                                 ("templates is", (*self.arguments("voc21"), "--templates", "simple"))):
            self.refuses(2, f"whole.jsonl and this run do not belong together|{words}", *arguments, "-o", "whole.jsonl")
        self.refuses(2, "another shard", *self.arguments("voc21"), "--shard", "1/2", "-o", "whole.jsonl")
        self.refuses(3, "not a results file", *self.arguments("voc21"), "-o", self.write("x.jsonl", '{"a":1}\n'))
        self.assertEqual(self.read("whole.jsonl"), before)

    def test_two_runs_do_not_write_one_file(self):
        process, feed, restore = self.start_and_wait(5)
        self.refuses(1, "another process is writing it", *self.arguments("voc21"), "-o", "r.jsonl", "--pamr")
        feed()
        process.communicate(timeout=200)
        restore()
        self.assertEqual(process.returncode, 0)
        self.assertEqual(len(self.lines("r.jsonl")), 61)

    def test_full_disk(self):
        """A limit on file size stands for it: what went through stays, and the run goes on when there is room."""
        limit = len(self.read("whole.jsonl")) // 2

        def full():
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        done = subprocess.run([os.environ["T2D_BIN"], *self.arguments("voc21"), "-o", "r.jsonl"], cwd=self.folder,
                              capture_output=True, preexec_fn=full, restore_signals=False, timeout=200, check=False)
        message = done.stderr.decode()
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("r.jsonl: cannot write: File too large", message)
        self.assertIn("kept", message)
        content = self.read("r.jsonl")
        self.assertTrue(content.endswith(b"\n") and content == self.read("r.jsonl"))
        self.assertTrue(1 < content.count(b"\n") < 61)
        self.assertEqual(self.integers(self.eval("voc21", "-o", "r.jsonl")), self.whole)

    def test_no_place_for_results(self):
        self.refuses(1, "No such file", *self.arguments("voc21"), "-o", "none/r.jsonl")


class Faults(EvalTest):
    """One bad file after the other: named, fatal or passed over."""

    def setUp(self):
        super().setUp()
        self.make(layout.make_voc, pictures=6)
        self.names = twin.BENCHMARKS["voc21"].names(self.data)

    def picture(self, i):
        return f"{self.data}/{VOC}/JPEGImages/{self.names[i]}.jpg"

    def label(self, i):
        return f"{self.data}/{VOC}/SegmentationClass/{self.names[i]}.png"

    def cut(self, path):
        with open(path, "rb") as file:
            content = file.read()
        with open(path, "wb") as file:
            file.write(content[: len(content) // 2])

    def spoil(self):
        """Pictures 1 to 5 in five ways; the words that name each."""
        os.unlink(self.label(1))
        self.cut(self.picture(2))
        layout.save(self.label(3), np.zeros((10, 20), np.uint8))
        truth = twin.BENCHMARKS["voc21"].truth(self.data, self.names[4])
        truth[3, 2] = 77
        layout.save(self.label(4), truth)
        layout.save(self.label(5), np.zeros((10, 20, 3), np.uint8))
        return [(self.label(1), "No such file"), (self.picture(2), "JPEG data ends"),
                (self.label(3), "label map is 20 x 10, its picture"), (self.label(4), "label 77 at x 2, y 3 means nothing in voc21"),
                (self.label(5), "the PNG is RGB; labels are palette indices or gray")]

    def test_fatal_at_the_first_and_gone_on_with(self):
        whole = self.integers(self.eval("voc21", "-o", "whole.jsonl"))
        with open(self.label(1), "rb") as file:
            sound = file.read()
        os.unlink(self.label(1))
        _, message = self.t2d(*self.arguments("voc21"), "-o", "r.jsonl", code=3)
        self.assertEqual(message.count("\n"), 1)
        for words in (self.label(1), "No such file", "1 of 6 pictures are counted and kept in r.jsonl", "same command goes on",
                      "--max-failures"):
            self.assertIn(words, message)
        with open(self.label(1), "wb") as file:
            file.write(sound)
        self.assertEqual(self.integers(self.eval("voc21", "-o", "r.jsonl")), whole)

    def test_passed_over_named_and_counted(self):
        wrong = self.spoil()
        report = self.eval("voc21", "--max-failures", "5", code=5)
        for path, words in wrong:
            self.assertRegex(self.message, f"(?m)^t2d: {path}: .*{words}")
        self.assertIn("5 of 6 pictures failed and are not counted", self.message)
        self.assertEqual((report["pictures"], report["failed"]), (1, 5))
        self.agrees(report, self.expected("voc21", self.names[:1]))
        self.assertTrue(any("5 pictures could not be read" in text for text in report["differences"]))
        self.assertEqual([path in line["failed"] for (path, _), line in zip(wrong, self.lines("voc21_eval.jsonl")[2:])], [True] * 5)
        out, _ = self.t2d("merge", "voc21_eval.jsonl", "--json", code=5)
        self.assertEqual(self.integers(json.loads(out)), self.integers(report))

    def test_limits(self):
        wrong = self.spoil()
        for limit, failing, batch in (("0", 0, "1"), ("4", 4, "1"), ("4", 4, "6"), ("70%", 4, "3"), ("16.6%", 0, "2"),
                                      ("16.7%", 1, "64")):
            with self.subTest(limit=limit, batch=batch):
                _, message = self.t2d(*self.arguments("voc21"), "--max-failures", limit, "--batch", batch, "-o", "r.jsonl", code=3)
                self.assertIn(wrong[failing][0], message.splitlines()[-1])
                self.assertIn(f"{failing + 1} of 6 pictures are counted", message)
                os.unlink(self.path("r.jsonl"))
        for limit in ("-1", "1.5", "101%", "x", "5%%", "nan", "%"):
            self.refuses(2, f"--max-failures {limit}", *self.arguments("voc21"), f"--max-failures={limit}")

    def test_folders_that_are_not_there(self):
        self.refuses(2, "voc20 has no background", *self.arguments("voc20"), "--background", "0.5")
        arguments = self.arguments("ade20k")
        self.refuses(3, "pictures of ade20k are not there|ade/ADEChallengeData2016/images/validation", *arguments)
        os.makedirs(f"{self.data}/ade/ADEChallengeData2016/images/validation")
        self.refuses(3, "no pictures (*.jpg) of ade20k", *arguments)
        os.unlink(f"{self.data}/{VOC}/ImageSets/Segmentation/val.txt")
        self.refuses(3, "val.txt: cannot open", *self.arguments("voc21"))
        twice = self.write("twice.txt", f"{self.names[0]}\n{self.names[1]}\n{self.names[0]}\n")
        self.refuses(3, "is listed twice", *self.arguments("voc21"), "--split", twice)
        self.refuses(2, "eval wants --preset NAME and --data", "eval", "-m", MODEL)
        self.refuses(2, "results go to a file", *self.arguments("voc20"), "-o", "-")
        self.refuses(2, "takes no operand", "eval", "somewhere")


class Memory(EvalTest):
    def test_out_of_memory_keeps_what_was_counted(self):
        self.make(layout.make_voc, pictures=3)
        names = twin.BENCHMARKS["voc21"].names(self.data)
        whole = self.integers(self.eval("voc21", "-o", "whole.jsonl"))
        path = twin.BENCHMARKS["voc21"].picture(self.data, names[1])
        os.rename(path, path + ".moved")
        Image.fromarray(np.zeros((13000, 20000), bool)).save(path, "PNG")  # 780 MB as RGB, 32 KB as a file

        def little():
            resource.setrlimit(resource.RLIMIT_AS, (700 << 20, 700 << 20))
        done = subprocess.run([os.environ["T2D_BIN"], *self.arguments("voc21"), "-o", "r.jsonl", "-t", "1", "--batch", "1"],
                              cwd=self.folder, capture_output=True, preexec_fn=little, timeout=200, check=False)
        message = done.stderr.decode()
        if "AddressSanitizer" in message:
            self.skipTest("the sanitizer needs more address space than that")
        self.assertEqual(done.returncode, 1, message)
        self.assertRegex(message, "out of memory.*1 of 3 pictures are counted and kept in r.jsonl")
        os.rename(path + ".moved", path)
        self.assertEqual(self.integers(self.eval("voc21", "-o", "r.jsonl")), whole)


class Many(EvalTest):
    def peak(self, count):
        """KiB of a run over the first `count` pictures."""
        names = "".join(f"{i:05d}\n" for i in range(count))
        argv = [os.environ["T2D_BIN"], *self.arguments("voc20"), "-t", "1", "--split", self.write(f"{count}.txt", names), "-o",
                f"{count}.jsonl", "--bootstrap", "50"]
        process = subprocess.Popen(argv, cwd=self.folder, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0)
        self.assertEqual(len(self.lines(f"{count}.jsonl")), count + 1)
        return usage.ru_maxrss

    def test_twenty_thousand_pictures_in_the_memory_of_two_hundred(self):
        rng = np.random.default_rng(1)
        folders = [f"{self.data}/{VOC}/{kind}" for kind in ("JPEGImages", "SegmentationClass")]
        for i in range(10):
            picture, labels = layout.scene(rng, [*range(21)], 20 + i, 30 - i)
            layout.save(f"{folders[0]}/{i:05d}.jpg", picture)
            layout.save(f"{folders[1]}/{i:05d}.png", labels.astype(np.uint8))
        for i in range(10, 20000):
            for folder, suffix in zip(folders, ("jpg", "png")):
                os.link(f"{folder}/{i % 10:05d}.{suffix}", f"{folder}/{i:05d}.{suffix}")
        few, many = self.peak(200), self.peak(20000)
        names = 20000 * 64 // 1024  # a name, its place in the list, and what the allocator keeps between them
        self.assertLess(many, few + names + 2048)


if __name__ == "__main__":
    main()
