"""Whatever is unknown, missing, misshapen or not finite is refused with one sentence that names it."""

import contextlib
import io
import json
import os
import tempfile
import unittest

import samples
import torch

import export
from commands import run

NOT_THERE = object()


def change(part, **tensors):
    """A part of the model with some tensors replaced, added or (NOT_THERE) taken away."""
    state = {"dinov2": samples.dinov2, "clip": samples.clip, "psi": samples.psi}[part]()
    for name, value in tensors.items():
        name = name.replace("__", ".")
        if value is NOT_THERE:
            del state[name]
        else:
            state[name] = value
    return state


def with_nan(value):
    value = value.clone()
    value.view(-1)[5] = float("nan")
    return value


def with_value(value, where, what):
    value = value.clone()
    value[where] = what
    return value


# part, tensors, words of the sentence
TENSORS = (
    ("dinov2", {"blocks__1__attn__qkv__weight": NOT_THERE}, ("blocks.1.attn.qkv.weight is missing",)),
    ("dinov2", {"blocks__0__ls1__gamma": NOT_THERE}, ("blocks.0.ls1.gamma is missing",)),
    ("dinov2", {"cls_token": NOT_THERE}, ("not a DINOv2 checkpoint",)),
    ("dinov2", {"pos_embed": NOT_THERE}, ("pos_embed is missing",)),
    ("dinov2", {"pos_embed": torch.ones(1, 9, 64)}, ("pos_embed has 9 rows", "square")),
    ("dinov2", {"pos_embed": torch.ones(1, 10, 32)}, ("pos_embed is [1, 10, 32]", "want [1, 10, 64]")),
    ("dinov2", {"cls_token": torch.ones(1, 1, 96)}, ("cls_token is 96 wide", "multiple of 64")),
    ("dinov2", {"cls_token": torch.ones(64)}, ("cls_token is [64]", "want 3 dimensions")),
    ("dinov2", {"register_tokens": torch.ones(1, 65, 64)}, ("registers is 65", "at most 64")),
    ("dinov2", {"register_tokens": torch.ones(1, 4, 32)}, ("register_tokens is [1, 4, 32]", "want [1, 4, 64]")),
    ("dinov2", {"patch_embed__proj__weight": torch.ones(64, 3, 13, 13)}, ("patch_embed.proj.weight", "divide 448")),
    ("dinov2", {"patch_embed__proj__weight": torch.ones(64, 1, 14, 14)}, ("[64, 1, 14, 14]", "want [64, 3, 14, 14]")),
    ("dinov2", {"blocks__1__mlp__fc1__weight": torch.ones(64, 64)}, ("blocks.1.mlp.fc1.weight is [64, 64]",
                                                                    "want [128, 64]")),
    ("dinov2", {"blocks__1__mlp__w3__bias": torch.ones(64)}, ("blocks.1.mlp.w3.bias", "not known")),
    ("dinov2", {"blocks__3__norm1__weight": torch.ones(64)}, ("blocks.2.norm1.weight is missing",)),
    ("dinov2", {"head__weight": torch.ones(2, 2)}, ("head.weight ([2, 2]) is not known",)),
    ("dinov2", {"epoch": 7}, ("epoch (a int) is not known",)),
    ("dinov2", {"norm__bias": 7}, ("norm.bias is a int", "want a tensor")),
    ("dinov2", {"norm__bias": torch.ones(64, dtype=torch.int64)}, ("norm.bias is int64", "want one of F32, F16, BF16")),
    ("dinov2", {"norm__bias": torch.ones(64, dtype=torch.float64)}, ("norm.bias is float64",)),
    ("dinov2", {"norm__bias": torch.ones(64).to_sparse()}, ("norm.bias is sparse_coo",)),
    ("dinov2", {"norm__bias": with_nan(torch.ones(64))}, ("norm.bias holds nan at [5]",)),
    ("dinov2", {"blocks__0__attn__proj__weight": with_value(torch.ones(64, 64), (3, 4), float("-inf"))},
     ("blocks.0.attn.proj.weight holds -inf at [3, 4]",)),
    ("dinov2", {"storage_tokens": torch.ones(1, 4, 64)}, ("DINOv3", "not supported yet")),
    ("dinov2", {"blocks__0__gamma_1": torch.ones(64)}, ("DINOv3", "not supported yet")),
    ("clip", {"token_embedding__weight": NOT_THERE}, ("not a CLIP checkpoint",)),
    ("clip", {"text_projection": NOT_THERE}, ("text_projection is missing",)),
    ("clip", {"token_embedding__weight": torch.ones(600, 100)}, ("100 wide", "multiple of 64")),
    ("clip", {"positional_embedding": torch.ones(16, 64)}, ("positional_embedding is [16, 64]", "want [16, 128]")),
    ("clip", {"text_projection": torch.ones(64, 32)}, ("text_projection is [64, 32]", "want [128, 32]")),
    ("clip", {"transformer__resblocks__0__attn__in_proj_bias": torch.ones(128)}, ("in_proj_bias is [128]",
                                                                                "want [384]")),
    ("clip", {"text_head__weight": torch.ones(1)}, ("text_head.weight ([1]) is not known",)),
    ("psi", {"linear_layer__weight": torch.ones(64, 48)}, ("48 channels to 64", "want 32")),
    ("psi", {"linear_layer__weight": torch.ones(128, 32)}, ("32 channels to 128", "to 64")),
    ("psi", {"hidden_layers__0__weight": NOT_THERE}, ("hidden_layers.0.weight is missing",)),
    ("psi", {"hidden_layers__1__weight": torch.ones(64, 64)}, ("hidden_layers.1.weight", "not known")),
    ("psi", {"linear_layer2__weight": torch.ones(64, 64)}, ("linear_layer2.bias is missing",)),
    ("psi", {"visual_linear__weight": torch.ones(64, 64)}, ("visual_linear.weight", "not known")),
)


class Refusals(unittest.TestCase):
    def setUp(self):
        keep = tempfile.TemporaryDirectory()
        self.addCleanup(keep.cleanup)
        self.root = keep.name
        self.parts = {"dinov2": samples.save(samples.dinov2(), self.path("dinov2.pth")),
                      "clip": samples.save(samples.clip(), self.path("clip.pt")),
                      "psi": samples.save(samples.psi(), self.path("psi.pth")),
                      "merges": samples.merges_file(self.path("merges.txt"))}
        self.output = self.path("model.safetensors")

    def path(self, name):
        return os.path.join(self.root, name)

    def write(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data)
        return self.path(name)

    def refused(self, words, code=3, **parts):
        """Exports with some parts replaced (None: left out): the exit code, one line, no file, nothing on stdout."""
        given = [(f"--{part}", path) for part, path in {**self.parts, **parts}.items() if path is not None]
        self.refused_line([word for pair in given for word in pair] + ["-o", self.output], words, code)

    def refused_line(self, arguments, words, code):
        before = sorted(os.listdir(self.root))
        talk, result = io.StringIO(), io.StringIO()
        with contextlib.redirect_stderr(talk), contextlib.redirect_stdout(result):
            found = run("export.py", lambda: export.export(export.parse(arguments)))
        lines = [line for line in talk.getvalue().splitlines() if not line.startswith(("reading ", "writing "))]
        self.assertEqual((found, len(lines), result.getvalue()), (code, 1, ""), talk.getvalue())
        for word in words:
            self.assertIn(word, lines[0])
        self.assertEqual(sorted(os.listdir(self.root)), before)

    def test_tensors(self):
        for number, (part, tensors, words) in enumerate(TENSORS):
            with self.subTest(part=part, tensors=list(tensors)):
                path = samples.save(change(part, **tensors), self.path(f"{number}.pth"))
                self.refused((path, *words), **{part: path})

    def test_files(self):
        pickled = samples.save(samples.dinov2(), self.path("whole.pth"))
        with open(pickled, "rb") as file:
            whole = file.read()
        code = self.path("code.pth")
        torch.save(torch.nn.Linear(2, 2), code)
        safe = samples.save(samples.psi(), self.path("psi.safetensors"))
        with open(safe, "rb") as file:
            safe_bytes = file.read()
        table = (
            (self.write("empty.pth", b""), "not a PyTorch checkpoint"),
            (self.write("noise.pth", bytes(range(256)) * 8), "not a PyTorch checkpoint"),
            (self.write("cut.pth", whole[: len(whole) // 2]), "not a PyTorch checkpoint"),
            (code, "not a PyTorch checkpoint of plain tensors"),
            (samples.save([torch.ones(2)], self.path("list.pth")), "holds a list; want a dictionary"),
            (samples.save({3: torch.ones(2)}, self.path("number.pth")), "an entry named 3"),
            (samples.save({"a\nb\x1b[1m": torch.ones(2), **samples.dinov2(), **samples.clip(), **samples.psi()},
                          self.path("control.pth")), "a?b?[1m"),
            (self.path("absent.pth"), "No such file"),
            (self.write("empty.safetensors", b""), "not a safetensors file"),
            (self.write("cut.safetensors", safe_bytes[:-4]), "not a safetensors file"),
            (self.path("absent.safetensors"), "No such file"),
        )
        for part in ("dinov2", "clip", "psi"):
            for path, words in table:
                with self.subTest(part=part, file=os.path.basename(path)):
                    self.refused((path, words), **{part: path})

    def test_directories(self):
        dino, clip = samples.hf_dinov2(samples.dinov2()), samples.hf_clip(samples.clip())
        without = {name: value for name, value in dino.items() if "layer.1.attention.attention.key.weight" not in name}
        narrow = {**dino, "encoder.layer.0.attention.attention.value.bias": torch.ones(32)}
        twice = {**samples.hf_dinov2(samples.dinov2(), "dinov2."), "layernorm.bias": dino["layernorm.bias"]}
        good, other = samples.dino_config(), samples.clip_config
        table = (
            ("dinov2", good, None, ("a directory without weights", "model.safetensors")),
            ("dinov2", None, dino, ("config.json is missing",)),
            ("dinov2", {**good, "hidden_act": "silu"}, dino, ("hidden_act is silu", "want gelu")),
            ("dinov2", {**good, "layer_norm_eps": 1e-5}, dino, ("layer_norm_eps is 1e-05", "want 1e-06")),
            ("dinov2", {**good, "num_attention_heads": 2}, dino, ("num_attention_heads is 2", "want 1")),
            ("dinov2", {**good, "qkv_bias": False}, dino, ("qkv_bias is False",)),
            ("dinov2", {**good, "use_swiglu_ffn": True}, dino, ("use_swiglu_ffn is True",)),
            ("dinov2", {**good, "model_type": "vit"}, dino, ("model_type is vit",)),
            ("dinov2", {**good, "model_type": "dinov3_vit"}, dino, ("DINOv3", "not supported yet")),
            ("dinov2", [good], dino, ("want a JSON object",)),
            ("dinov2", good, without, ("encoder.layer.1.attention.attention.key.weight is missing",)),
            ("dinov2", good, narrow, ("attention.value.bias is [32]", "want [64]")),
            ("dinov2", good, twice, ("layernorm.bias and dinov2.layernorm.bias",)),
            ("dinov2", good, {"layer.0.attention.q_proj.weight": torch.ones(2)}, ("DINOv3", "not supported yet")),
            ("clip", None, clip, ("config.json is missing",)),
            ("clip", other(hidden_act="gelu"), clip, ("hidden_act of the text tower is gelu", "want quick_gelu")),
            ("clip", other(layer_norm_eps=1e-6), clip, ("layer_norm_eps of the text tower",)),
            ("clip", other(num_attention_heads=4), clip, ("num_attention_heads of the text tower is 4", "want 2")),
            ("clip", {"text_config": 3}, clip, ("text_config is not an object",)),
            ("clip", other(), {**clip, "text_projection.weight": torch.ones(32, 64)},
             ("text_projection.weight is [32, 64]", "want [32, 128]")),
            ("clip", other(), {**clip, "extra": torch.ones(1)}, ("extra ([1]) is not known",)),
        )
        for number, (part, config, state, words) in enumerate(table):
            with self.subTest(part=part, words=words):
                self.refused(words, **{part: samples.folder(self.root, f"d{number}", config, state)})
        broken = samples.folder(self.root, "broken", None, dino)
        with open(os.path.join(broken, "config.json"), "w", encoding="utf-8") as file:
            file.write("{")
        self.refused(("config.json: not JSON",), dinov2=broken)

    def test_shards(self):
        state = samples.hf_dinov2(samples.dinov2())
        first = "model-00001-of-00003.safetensors"

        def escape(index, folder):
            index["weight_map"]["layernorm.bias"] = "../psi.pth"

        def control(index, folder):
            index["weight_map"]["layernorm.bias"] = "model\0.safetensors"

        def promise(index, folder):
            index["weight_map"]["layernorm.extra"] = first

        def gone(index, folder):
            os.unlink(os.path.join(folder, first))

        def double(index, folder):
            where = index["weight_map"]["layernorm.bias"]
            for shard in set(index["weight_map"].values()) - {where}:
                samples.save({name: state[name] for name, at in index["weight_map"].items() if at == shard}
                             | {"layernorm.bias": state["layernorm.bias"]}, os.path.join(folder, shard))

        def empty(index, folder):
            del index["weight_map"]

        for spoil, words in ((escape, "want a file beside the index"),
                             (control, "want a file beside the index"), (promise, "promises layernorm.extra"),
                             (gone, "No such file"), (double, "layernorm.bias is also in"), (empty, "no weight_map")):
            with self.subTest(spoil=spoil.__name__):
                path = samples.folder(self.root, spoil.__name__, samples.dino_config())
                samples.save_sharded(state, path, "safetensors")
                name = os.path.join(path, "model.safetensors.index.json")
                with open(name, encoding="utf-8") as file:
                    index = json.load(file)
                spoil(index, path)
                samples.write_json(name, index)
                self.refused((words,), dinov2=path)

    def test_combined(self):
        whole = samples.talk2dino(samples.dinov2(), samples.clip(), samples.psi())
        table = (
            ({**whole, "backbone.norm.weight": torch.ones(1)}, "backbone.norm.weight ([1]) is not known"),
            ({k: v for k, v in whole.items() if not k.startswith("proj.")}, "no name begins with proj."),
            ({k: v for k, v in whole.items() if k != "model.norm.bias"}, "model.norm.bias is missing"),
            ({**whole, "model.blocks.0.weight_1": torch.ones(64)}, "DINOv3"),
            ({**whole, "model.blocks.0.ls1.weight": torch.ones(64)}, "twice, as gamma and as weight"),
        )
        for number, (state, words) in enumerate(table):
            with self.subTest(words=words):
                path = samples.save(state, self.path(f"{number}.safetensors"))
                self.refused_line(["--talk2dino", path, "--merges", self.parts["merges"], "-o", self.output],
                                  (path, words), 3)
        path = samples.folder(self.root, "v3", {"model_name": "vit_base_patch16_dinov3"}, whole)
        self.refused_line(["--talk2dino", path, "--merges", self.parts["merges"], "-o", self.output],
                          ("vit_base_patch16_dinov3", "not supported yet"), 3)

    def test_misuse(self):
        parts = self.parts
        self.refused(("--merges", "there is none in"), 2, merges=None)
        self.refused(("want --dinov2, --clip and --psi",), 2, psi=None)
        self.refused(("takes the place of",), 2, talk2dino=parts["psi"])
        three = [word for part in ("dinov2", "clip", "psi", "merges") for word in (f"--{part}", parts[part])]
        for more, words in (([], "--output"), (["-o", self.root], "is a folder"),
                            (["-o", self.path("no/model")], "there is no folder"),
                            (["-o", parts["psi"]], "is one of the inputs"),
                            (["-o", self.output, "--dtype", "fp8"], "fp8"), (["-o", self.output, "word"], "word"),
                            (["-o", self.output, "--crop", "0"], "'0' is not a whole number from 1"),
                            (["-o", self.output, "--stride", "-14"], "'-14' is not a whole number from 1"),
                            (["-o", self.output, "--short-side", "14.5"], "'14.5' is not a whole number from 1"),
                            (["-o", self.output, "--crop", "8192"], "--crop is 8192; want at most 4096"),
                            (["-o", self.output, "--crop", "150"], "--crop is 150; want a multiple of the patch size"),
                            (["-o", self.output, "--crop", "140"], "a step of 224 leaves gaps between windows of 140"),
                            (["-o", self.output, "--stride", "462"], "a step of 462 leaves gaps between windows of"),
                            (["-o", self.output, "--templates", "best"], "best"),
                            (["-o", self.output, "--license", ""], "--license is empty")):
            with self.subTest(more=more):
                self.refused_line([*three, *more], (words,), 2)

    def test_vocabulary(self):
        path = samples.save(change("clip", token_embedding__weight=torch.ones(600, 128)), self.path("600.pt"))
        self.refused((self.parts["merges"], f"make a vocabulary of {samples.VOCABULARY}", "has 600 rows"), clip=path)

    def test_fp16_overflow(self):
        big = change("dinov2", blocks__0__attn__qkv__weight=with_value(samples.dinov2()["blocks.0.attn.qkv.weight"],
                                                                       (0, 0), 70000.0))
        path = samples.save(big, self.path("big.pth"))
        three = ["--dinov2", path, "--clip", self.parts["clip"], "--psi", self.parts["psi"], "--merges",
                 self.parts["merges"], "-o", self.output]
        self.refused_line([*three, "--dtype", "fp16"],
                          ("vision.blocks.0.attn.qkv.weight does not fit F16", "70000", "use --dtype fp32 or bf16"), 3)


if __name__ == "__main__":
    unittest.main()
