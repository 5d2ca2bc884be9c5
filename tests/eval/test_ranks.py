"""test_ranks.py -- shards and ranks: the same integers as one process alone, or a sentence."""

import json
import os
import shutil
import subprocess

import layout
import twin
from evaluate import OTHER_MODEL, EvalTest, main


class Together(EvalTest):
    pictures = 7

    def setUp(self):
        super().setUp()
        self.make(layout.make_voc)

    def whole(self):
        return self.integers(self.eval("voc21", "-o", "whole.jsonl"))

    def test_shards_add_up(self):
        whole = self.whole()
        for n in (1, 2, 3):
            for i in range(1, n + 1):
                self.eval("voc21", "--shard", f"{i}/{n}", "-o", f"{i}of{n}.jsonl")
            parts = [f"{i}of{n}.jsonl" for i in range(n, 0, -1)]
            out, _ = self.t2d("merge", *parts, "-o", f"merged{n}.jsonl", "--json")
            self.assertEqual(self.integers(json.loads(out)), whole)
            records = [[line[key] for key in ("picture", "name", "hash", "cells")] for line in self.lines(f"merged{n}.jsonl")[1:]]
            self.assertEqual(records, [[line[key] for key in ("picture", "name", "hash", "cells")]
                                       for line in self.lines("whole.jsonl")[1:]])

    def test_shards_that_do_not_add_up(self):
        for i in (1, 2, 3):
            self.eval("voc21", "--shard", f"{i}/3", "-o", f"{i}.jsonl")
        self.eval("voc21", "--shard", "1/2", "-o", "half.jsonl")
        self.t2d(*self.arguments("voc21", OTHER_MODEL), "--shard", "3/3", "-o", "other_model.jsonl")
        self.eval("voc20", "--shard", "3/3", "-o", "other_preset.jsonl")
        self.eval("voc21", "--pamr", "--shard", "3/3", "-o", "other_options.jsonl")
        names = twin.BENCHMARKS["voc21"].names(self.data)
        self.eval("voc21", "--split", self.write("s.txt", "\n".join(names[::-1])), "--shard", "3/3", "-o", "other_data.jsonl")
        with open(self.path("3.jsonl"), encoding="utf-8") as file:
            lines = file.readlines()
        self.write("short.jsonl", "".join(lines[:-1]))
        self.write("torn.jsonl", "".join(lines)[:-20])
        self.write("bad.jsonl", "".join([lines[0], lines[1].replace('"cells":[', '"cells":[0,0,1,'), *lines[2:]]))
        self.write("not.jsonl", "{}\n")
        first = ("merge", "1.jsonl", "2.jsonl")
        for code, words, files in ((3, "picture 3 of 7 is in none|shard 3/3 is missing", ()),
                                   (3, "both count picture 1", ("3.jsonl", "half.jsonl")),
                                   (3, "both count picture 1", ("3.jsonl", "1.jsonl")),
                                   (3, "short.jsonl ends after 1 of 2 pictures|run it again", ("short.jsonl",)),
                                   (3, "torn.jsonl ends after 1 of 2 pictures", ("torn.jsonl",)),
                                   (3, "bad.jsonl: line 2 is damaged|do not add up", ("bad.jsonl",)),
                                   (3, "not.jsonl: not a results file", ("not.jsonl",)),
                                   (3, "No such file", ("none.jsonl",)),
                                   (2, "do not belong together: model is", ("other_model.jsonl",)),
                                   (2, "do not belong together: preset", ("other_preset.jsonl",)),
                                   (2, "do not belong together: pamr is false", ("other_options.jsonl",)),
                                   (2, "do not belong together: picture_names", ("other_data.jsonl",)),
                                   (2, "would be replaced", ("3.jsonl", "-o", "1.jsonl"))):
            with self.subTest(files=files):
                self.refuses(code, words, *first, *files, *(() if "-o" in files else ("-o", "whole.jsonl")))
        self.refuses(2, "-o FILE", *first)
        self.refuses(3, "holds 3 of 7 pictures", "merge", "1.jsonl")

    def run_ranks(self, environments, *more):
        base = {k: v for k, v in os.environ.items()}
        processes = [subprocess.Popen([os.environ["T2D_BIN"], *self.arguments("voc21"), "--json", "-o", "ranks.jsonl", *more],
                                      cwd=self.folder, env={**base, **e}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                     for e in environments]
        done = [p.communicate(timeout=200) for p in processes]
        self.assertEqual([p.returncode for p in processes], [0] * len(processes), done)
        return [out.decode() for out, _ in done]

    def test_ranks_of_every_launcher(self):
        whole = self.whole()
        for rank, size in (("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"), ("PMI_RANK", "PMI_SIZE"),
                           ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"), ("RANK", "WORLD_SIZE")):
            for n in (2, 3):
                outs = self.run_ranks([{rank: str(i), size: str(n)} for i in range(n)])
                self.assertEqual(self.integers(json.loads(outs[0])), whole, rank)
                self.assertEqual(outs[1:], [""] * (n - 1))
                self.assertEqual([name for name in self.files() if "part" in name], [])
                again = self.run_ranks([{rank: "0", size: str(n)}])  # what is there is told again
                self.assertEqual(self.integers(json.loads(again[0])), whole, rank)
                os.unlink(self.path("ranks.jsonl"))

    def test_ranks_by_flag_and_in_error(self):
        whole = self.whole()
        self.eval("voc21", "-o", "r.jsonl", "--rank", "1", "--ranks", "2")
        self.assertEqual(self.integers(self.eval("voc21", "-o", "r.jsonl", "--rank", "0", "--ranks", "2")), whole)
        arguments = self.arguments("voc21")
        self.refuses(2, "rank 2 of 2", *arguments, "--rank", "2", "--ranks", "2")
        self.refuses(2, "belong together", *arguments, "--rank", "1")
        self.refuses(2, "torchrun says rank -1 of 2", *arguments, environment={"RANK": "x", "WORLD_SIZE": "2"})
        self.refuses(2, "leave one out", *arguments, "--rank", "0", "--ranks", "2", "--shard", "1/2")
        self.refuses(2, "leave none for share 8 of 9", *arguments, "--shard", "8/9")
        for shard in ("0/2", "3/2", "1", "a/b", "1/2x", "/"):
            self.refuses(2, f"--shard {shard}", *arguments, "--shard", shard)

    def test_a_rank_that_never_comes(self):
        _, message = self.t2d(*self.arguments("voc21"), "-o", "r.jsonl", "--rank", "0", "--ranks", "2", "--patience", "1", code=1)
        self.assertIn("1 of 2 ranks are not done", message)
        self.assertEqual(len(self.lines("r.jsonl.part-1-of-2")), 1 + 4)


class Launched(EvalTest):
    """By mpirun itself, where it is installed; --mpi where t2d was built with it (cmake -DT2D_MPI=ON)."""

    pictures = 7

    def setUp(self):
        super().setUp()
        if not shutil.which("mpirun"):
            self.skipTest("no mpirun here")
        self.make(layout.make_voc)
        self.whole = self.integers(self.eval("voc21", "-o", "whole.jsonl"))

    def mpirun(self, folders, *more):
        """One rank in each of the folders; (code, the first's files, stdout, stderr)."""
        ranks = []
        for folder in folders:
            os.makedirs(self.path(folder), exist_ok=True)
            ranks += [":", "-np", "1", "--wdir", self.path(folder), os.environ["T2D_BIN"], *self.arguments("voc21"), "-t", "1",
                      "--json", "-o", "r.jsonl", *more]
        allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        done = subprocess.run(["mpirun", "--oversubscribe", *ranks[1:]], cwd=self.folder, env={**os.environ, **allowed},
                              capture_output=True, timeout=200, check=False)
        return done.returncode, sorted(os.listdir(self.path(folders[0]))), done.stdout.decode(), done.stderr.decode()

    def test_one_folder(self):
        code, files, out, message = self.mpirun(["a", "a", "a"])
        self.assertEqual((code, files), (0, ["r.jsonl"]), message)
        self.assertEqual(self.integers(json.loads(out)), self.whole)

    def test_folders_apart(self):
        code, files, out, message = self.mpirun(["a", "b", "c"], "--mpi")
        if "built without MPI" in message:
            self.skipTest("this t2d was built without MPI")
        self.assertEqual((code, files), (0, ["r.jsonl", "r.jsonl.part-1-of-3"]), message)
        self.assertEqual(self.integers(json.loads(out)), self.whole)
        self.assertEqual(os.listdir(self.path("c")), ["r.jsonl.part-3-of-3"])
        os.unlink(twin.BENCHMARKS["voc21"].picture(self.data, twin.BENCHMARKS["voc21"].names(self.data)[1]))
        for folder in "abc":
            shutil.rmtree(self.path(folder))
        code, files, out, message = self.mpirun(["a", "b", "c"], "--mpi")
        self.assertEqual((code != 0, files, out), (True, ["r.jsonl.part-1-of-3"], ""))
        self.assertIn("No such file", message)


if __name__ == "__main__":
    main()
