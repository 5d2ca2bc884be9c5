"""CLIP's merges from every file they come in, and what is refused."""

import gzip
import json
import os
import tempfile
import unittest

import setting  # noqa: F401

import merges
from refusal import Refused


class Merges(unittest.TestCase):
    def setUp(self):
        keep = tempfile.TemporaryDirectory()
        self.addCleanup(keep.cleanup)
        self.root = keep.name

    def write(self, data, name="merges.txt"):
        path = os.path.join(self.root, name)
        with open(path, "wb") as file:
            file.write(data if isinstance(data, bytes) else data.encode())
        return path

    def test_alphabet(self):
        letters = merges.byte_alphabet()
        self.assertEqual(len(set(letters)), 256)
        self.assertEqual((letters[0], letters[93], letters[94], letters[187]), ("!", "~", "\u00a1", "\u00ff"))
        self.assertEqual((letters[188], letters[255]), ("\u0100", "\u0143"))

    def test_text(self):
        want = b"i n\nt h\nth e</w>\n"
        for text in ("#version: 0.2\ni n\nt h\nth e</w>\n", "#version: 0.2\ni n\nt h\nth e</w>",
                     "#version: 0.2\r\ni n\r\nt h\r\nth e</w>\r\n"):
            self.assertEqual(merges.load(self.write(text)), want)
            self.assertEqual(merges.load(self.write(gzip.compress(text.encode()), "m.txt.gz")), want)
        self.assertEqual(merges.count(want), 3)

    def test_published_file_is_cut(self):
        """OpenAI's file goes on after the merges that its tokenizer uses: 48894."""
        letters = merges.byte_alphabet()
        lines = [f"{left} {right}" for left in letters for right in letters][: merges.PUBLISHED + 100]
        text = "\n".join(['"bpe_simple_vocab_16e6.txt#version: 0.2', *lines, ""])
        table = merges.load(self.write(gzip.compress(text.encode(), 1)))
        self.assertEqual(table.decode().splitlines(), lines[: merges.PUBLISHED])

    def test_published_merges(self):
        folder = os.environ.get("T2D_REFERENCE")
        if not folder:
            self.skipTest("T2D_REFERENCE is not set: the folder that holds bpe_simple_vocab_16e6.txt.gz")
        table = merges.load(os.path.join(folder, "bpe_simple_vocab_16e6.txt.gz"))
        self.assertEqual(merges.count(table) + merges.SPECIALS, 49408)
        self.assertTrue(table.startswith(b"i n\nt h\n") and table.endswith(b"\njeky ll</w>\n"))

    def test_json(self):
        letters = merges.byte_alphabet()
        symbols = [*letters, *(letter + "</w>" for letter in letters), "in", "in</w>"]
        model = {"type": "BPE", "end_of_word_suffix": "</w>", "merges": ["i n", ["i", "n</w>"]],
                 "vocab": {symbol: i for i, symbol in enumerate(symbols)}}
        self.assertEqual(merges.load(self.write(json.dumps({"model": model}), "tokenizer.json")), b"i n\ni n</w>\n")
        for spoilt, words in (({**model, "type": "Unigram"}, "not CLIP's tokenizer"),
                              ({**model, "end_of_word_suffix": None}, "not CLIP's tokenizer"),
                              ({**model, "vocab": {**model["vocab"], "in": 3}}, "merge 0 should have id 512"),
                              ({**model, "merges": 3}, "not a tokenizer.json"), ([], "not a tokenizer.json")):
            with self.subTest(words=words), self.assertRaisesRegex(Refused, words):
                merges.load(self.write(json.dumps({"model": spoilt}), "tokenizer.json"))

    def test_refused(self):
        version = "#version: 0.2\n"
        for data, words in (("", "not a merges file"), ("i n\nt h\n", "not a merges file"), (version, "no merges"),
                            (version + "i n t\n", "merge 1 is 'i n t'"), (version + "in\n", "merge 1 is 'in'"),
                            (version + "i n\n\nt h\n", "merge 2 is ''"), (version + "i \n", "merge 1 is 'i '"),
                            (version + "th e\n", "uses 'th' before it exists"),
                            (version + "i n\ni n\n", "makes a symbol that exists"),
                            (version.encode() + b"\xff\xfe\n", "not UTF-8"), ("{", "not a tokenizer.json"),
                            (gzip.compress(version.encode())[:-6], "ends too early"),
                            (b"\x1f\x8b" + b"x" * 30, "is damaged"),
                            (gzip.compress(bytes(merges.MAX_BYTES + 1)), "larger than 64 MiB")):
            with self.subTest(words=words), self.assertRaisesRegex(Refused, words):
                merges.load(self.write(data))

    def test_synthetic(self):
        table = merges.synthetic(("cat", "cats", "cat", "a", "at"))
        self.assertEqual(table, b"c a\nca t</w>\nca t\ncat s</w>\na t</w>\n")
        self.assertEqual(merges.load(self.write(b"#version: 0.2\n" + table)), table)


if __name__ == "__main__":
    unittest.main()
