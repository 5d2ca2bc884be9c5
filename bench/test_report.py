#!/usr/bin/env python3
"""test_report.py -- bench/results/README.md is what report.py makes of the JSON files beside it, and those hold what they must."""

import json
import os
import unittest

import report


class Report(unittest.TestCase):
    def test_readme_is_generated(self):
        with open(os.path.join(report.RESULTS, "README.md")) as file:
            self.assertEqual(file.read(), report.readme())

    def test_files_tell_how_to_repeat_them(self):
        self.assertTrue(report.files())
        for f in report.files():
            for key in ("commit", "command", "started", "load_before"):
                self.assertTrue(f[key], f"{f['stem']}: {key}")
            self.assertTrue(f["machine"]["cpu"] and f["machine"]["flags"] and f["operations"]["compiler"], f["stem"])
            for run in report.runs(f):
                for row in run["rows"]:
                    self.assertGreater(row["values_checked"], 0, row)
                    self.assertLessEqual(row["worst_error"], 1, row)
                    self.assertGreaterEqual(len(row["samples_seconds"]), 5, row)
            for task in (f["peers"] or {"tasks": []})["tasks"]:
                for row in task["rows"]:
                    self.assertLessEqual(row["distance"], row["allowed"], row)

    def test_floors(self):
        """Between two sizes of a copy, and the slower of bytes and operations."""
        roofs = {"product_flop_per_second": 100.0, "arithmetic_flop_per_second": 10.0,
                 "copies": [{"bytes": 4, "bytes_per_second": 1.0}, {"bytes": 16, "bytes_per_second": 3.0}]}
        self.assertEqual(report.copy_seconds(roofs, 8), 8 / 2.0)
        self.assertEqual(report.copy_seconds(roofs, 2), 2.0)
        self.assertEqual(report.copy_seconds(roofs, 64), 64 / 3.0)
        self.assertEqual(report.floor(roofs, {"product": True, "flop": 1000, "bytes": 8}), (10.0, "product"))
        self.assertEqual(report.floor(roofs, {"product": False, "flop": 10, "bytes": 8}), (4.0, "bytes"))
        self.assertEqual(report.floor(roofs, {"product": False, "flop": 100, "bytes": 0}), (10.0, "arithmetic"))

    def test_no_name_of_a_row_twice(self):
        for f in report.files():
            for run in report.runs(f):
                names = [json.dumps([r[k] for k in ("operation", "variant", "model", "size", "batch", "classes", "dims")]) for r in run["rows"]]
                self.assertEqual(len(names), len(set(names)), f["stem"])


if __name__ == "__main__":
    unittest.main()
