"""test_folders.py -- many pictures: folders, lists, shards, what stands already, and what goes wrong among them."""

import json
import os
import signal
import subprocess

from command import MODEL, T2D, CommandTest, main, need_tiny_model, read

need_tiny_model()

OPTIONS = ("-m", MODEL, "-c", "sky,sea", "--size", "56", "--stride", "28", "--templates", "identity")


def ppm(seed, width=20, height=16):
    """A small picture of its own for every seed."""
    return b"P6 %d %d 255\n" % (width, height) + bytes((seed * 37 + i * (seed % 7 + 1)) % 256 for i in range(width * height * 3))


class FolderTest(CommandTest):
    def make(self, *names):
        """Pictures of these names, each with pixels of its own."""
        for number, name in enumerate(names):
            os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
            self.write(name, ppm(number, 20 + number % 9, 16 + number % 5))

    def segment(self, *arguments, **more):
        return self.t2d("segment", *arguments, *OPTIONS, **more)

    def found(self, folder):
        """Files below a folder, sorted."""
        return sorted(os.path.relpath(os.path.join(at, name), self.path(folder))
                      for at, _, names in os.walk(self.path(folder)) for name in names)

    def contents(self, folder):
        return {name: read(self.path(f"{folder}/{name}")) for name in self.found(folder)}


class Folders(FolderTest):
    NAMES = ("in/b.ppm", "in/a.PPM", "in/sub/deep/c.pgm.ppm", "in/sub/d.Ppm", "in/z/e.ppm")

    def test_nested_folders_are_mirrored_with_the_bits_of_single_runs(self):
        self.make(*self.NAMES, "in/.hidden/x.ppm", "in/.y.ppm")
        self.write("in/notes.txt", "no picture")
        out, message = self.segment("in", "-o", "out", "--overlay", "look", "--json")
        self.assertEqual(self.found("out"), ["a.png", "b.png", "sub/d.png", "sub/deep/c.pgm.png", "z/e.png"])
        self.assertEqual(self.found("look"), ["a_overlay.png", "b_overlay.png", "sub/d_overlay.png",
                                              "sub/deep/c.pgm_overlay.png", "z/e_overlay.png"])
        self.assertEqual([json.loads(line)["picture"] for line in out.splitlines()],
                         ["in/a.PPM", "in/b.ppm", "in/sub/d.Ppm", "in/sub/deep/c.pgm.ppm", "in/z/e.ppm"])
        self.assertIn("5 pictures segmented, 0 passed over", message)
        self.segment("in", "-o", "one", "--batch", "1", "--readers", "1", "-t", "1")
        self.assertEqual(self.contents("one"), self.contents("out"))
        for name in self.NAMES:
            self.segment(name, "-o", "alone.png", "--overlay", "alone_look.png")
            result = os.path.splitext(name[3:])[0]
            self.assertEqual(read(self.path("alone.png")), read(self.path(f"out/{result}.png")))
            self.assertEqual(read(self.path("alone_look.png")), read(self.path(f"look/{result}_overlay.png")))

    def test_several_operands(self):
        self.make("in/a.ppm", "other/a.ppm", "a.ppm")
        self.segment("in", "a.ppm", "other/", "-o", "out")
        self.assertEqual(self.found("out"), ["a.png", "in/a.png", "other/a.png"])

    def test_results_are_not_taken_for_pictures(self):
        self.make("in/a.ppm", "in/m/b.ppm")
        for _ in range(2):
            self.segment("in", "-o", "in/out", "--overlay", "in/m/look")
        self.assertEqual(self.found("in/out"), ["a.png", "m/b.png"])
        for output in ("in", ".", "in/m/.."):
            self.refuses(2, "results would be taken for pictures", "segment", "in", *OPTIONS, "-o", output)
        self.refuses(2, "wants -o FOLDER", "segment", "in", *OPTIONS)

    def test_links_that_go_in_circles(self):
        self.make("in/a.ppm", "elsewhere/b.ppm")
        os.symlink("..", self.path("in/up"))
        os.symlink("../in", self.path("elsewhere/back"))
        os.symlink("../elsewhere", self.path("in/link"))
        os.mkfifo(self.path("in/pipe.png"))
        self.segment("in", "-o", "out")
        self.assertEqual(self.found("out"), ["a.png", "link/b.png", "up/elsewhere/b.png"])

    def test_equal_names_but_for_the_suffix(self):
        self.make("in/a.ppm", "in/a.jpg", "in/a.b.ppm", "in/b.ppm")
        _, message = self.segment("in", "-o", "out", code=5)
        self.assertIn("in/a.ppm: another picture of this folder differs from it in its suffix alone", message)
        self.assertEqual(self.found("out"), ["a.b.png", "a.png", "b.png"])
        self.segment("in", "-o", "kept", "--keep-suffix")
        self.assertEqual(self.found("kept"), ["a.b.ppm.png", "a.jpg.png", "a.ppm.png", "b.ppm.png"])
        self.assertEqual(read(self.path("kept/a.jpg.png")), read(self.path("out/a.png")))
        self.make("like/x_overlay.ppm", "like/x.ppm")
        _, message = self.segment("like", "-o", "both", "--overlay", "both", code=5)
        self.assertIn("might replace another picture's overlay", message)

    def test_a_folder_without_pictures(self):
        os.makedirs(self.path("in/empty"))
        self.assertIn("0 pictures segmented", self.segment("in", "-o", "out")[1])


class Lists(FolderTest):
    def test_a_list_names_paths_and_keeps_them(self):
        self.make("in/a.ppm", "in/b.ppm")
        lines = f"in/a.ppm\n\n./in//b.ppm\r\n{self.path('in/a.ppm')}"
        expected = sorted(["in/a.ppm.png", "in/b.ppm.png", self.path("in/a.ppm.png")[1:]])
        self.segment("--list", self.write("list.txt", lines), "-o", "out")
        self.assertEqual(self.found("out"), expected)
        self.segment("--list", "-", "-o", "again", stdin=lines.encode())
        self.assertEqual(self.contents("again"), self.contents("out"))

    def test_lines_that_are_no_paths(self):
        self.make("in/a.ppm")
        _, message = self.segment("--list", self.write("list.txt", b"../in/a.ppm\nin/a.ppm\nin/a\0b.ppm\nnone.ppm\n"), "-o", "out", code=5)
        for words in ("line 1, '../in/a.ppm'", "line 3 holds a zero byte", "none.ppm: cannot open", "3 of 4 pictures failed"):
            self.assertIn(words, message)
        self.assertEqual(self.found("out"), ["in/a.ppm.png"])
        self.refuses(3, "none.txt: cannot open", "segment", "--list", "none.txt", *OPTIONS, "-o", "out")
        self.refuses(2, "leave the operands out", "segment", "--list", "x", "y.ppm", *OPTIONS, "-o", "out")


class Going(FolderTest):
    def names(self, count):
        return [f"in/{i % 3}/{i:03d}.ppm" for i in range(count)]

    def test_resume_makes_what_is_not_whole(self):
        self.make(*self.names(9))
        self.segment("in", "-o", "out", "--overlay", "look")
        whole, look = self.contents("out"), self.contents("look")
        names = sorted(whole)
        self.write(f"out/{names[1]}", whole[names[1]][:-1])
        self.write(f"out/{names[2]}", whole[names[2]][:-12] + bytes(12))
        self.write(f"out/{names[3]}", b"")
        os.unlink(self.path(f"out/{names[4]}"))
        os.unlink(self.path(f"look/{names[5][:-4]}_overlay.png"))
        before = os.stat(self.path(f"out/{names[0]}")).st_ino
        out, message = self.segment("in", "-o", "out", "--overlay", "look", "--resume")
        self.assertIn("5 pictures segmented, 4 passed over", message)
        self.assertEqual(len(out.splitlines()), 5)
        self.assertEqual((self.contents("out"), self.contents("look")), (whole, look))
        self.assertEqual(os.stat(self.path(f"out/{names[0]}")).st_ino, before)

    def test_shards_together_are_the_whole(self):
        self.make(*self.names(11))
        self.segment("in", "-o", "out")
        for shard in range(3):
            self.segment("in", "-o", f"shard{shard}", "--shard", f"{shard + 1}/3")
            self.segment("in", "-o", "together", "--shard", f"{shard + 1}/3")
        self.assertEqual([len(self.found(f"shard{i}")) for i in range(3)], [4, 4, 3])
        self.assertEqual(self.contents("together"), self.contents("out"))
        for shard in ("0/2", "3/2", "1", "x/2"):
            self.refuses(2, f"--shard {shard}: want I/N", "segment", "in", *OPTIONS, "-o", "none", "--shard", shard)

    def test_a_bad_picture_among_good_ones(self):
        self.make(*self.names(12))
        for bad in (4, 7):
            self.write(self.names(12)[bad], b"P6 20 20 255\nshort")
        for batch in ("1", "5", "64"):
            _, message = self.segment("in", "-o", f"out{batch}", "--batch", batch, code=5)
            self.assertIn("10 pictures segmented, 0 passed over (their results stand), 2 failed", message)
            self.assertIn("2 of 12 pictures failed", message)
            self.assertEqual(len(self.found(f"out{batch}")), 10)
        self.assertEqual(self.contents("out1"), self.contents("out64"))
        _, message = self.segment("in", "-o", "few", "--max-failures", "1", code=3)
        self.assertIn("--resume goes on from there", message)
        self.assertLess(len(self.found("few")), 10)
        self.segment("in", "-o", "few", "--max-failures", "2", "--resume", code=5)
        self.assertEqual(self.contents("few"), self.contents("out1"))

    def test_a_result_that_cannot_be_written_ends_the_run(self):
        self.make(*self.names(6))
        os.makedirs(self.path("out"))
        self.write("out/1", "a file where a folder is wanted")
        _, message = self.segment("in", "-o", "out", code=1)
        self.assertIn("--resume goes on from there", message)
        self.assertEqual(len(self.found("out")), 3)  # two masks, and the file in the way

    def test_a_signal_ends_it_and_resume_goes_on(self):
        self.make(*self.names(200))
        argv = [T2D, "segment", "in", *OPTIONS, "-o", "out", "-t", "1", "--batch", "1"]
        with subprocess.Popen(argv, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            process.stdout.readline()
            process.send_signal(signal.SIGTERM)
            _, message = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 1, message)
        self.assertRegex(message.decode(), r"stopped: \d+ pictures are segmented and stay; the same command with --resume")
        stood = len(self.found("out"))
        self.assertTrue(0 < stood < 200)
        self.assertFalse([name for name in self.found("out") if not name.endswith(".png")])
        _, message = self.segment("in", "-o", "out", "--resume")
        self.assertIn(f"{200 - stood} pictures segmented, {stood} passed over", message)


class Many(FolderTest):
    def peak(self, folder):
        """KiB of a run over a folder of pictures, the least of memory that one may count on."""
        argv = [T2D, "segment", folder, *OPTIONS[:4], "--size", "14", "--whole", "--templates", "identity", "-o", f"{folder}_out", "-t", "1"]
        process = subprocess.Popen(argv, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0)
        return usage.ru_maxrss

    def test_two_thousand_pictures_in_the_memory_of_a_hundred(self):
        for folder, count in (("few", 100), ("many", 2000)):
            self.make(f"{folder}/0.ppm")
            for i in range(1, count):
                os.makedirs(self.path(f"{folder}/{i % 20}"), exist_ok=True)
                os.link(self.path(f"{folder}/0.ppm"), self.path(f"{folder}/{i % 20}/{i}.ppm"))
        few, many = self.peak("few"), self.peak("many")
        self.assertEqual(len(self.found("many_out")), 2000)
        self.assertLess(many, few + 4096)


if __name__ == "__main__":
    main()
