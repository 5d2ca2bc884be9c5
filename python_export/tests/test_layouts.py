"""Every layout of one model gives the same tensors."""

import contextlib
import io
import os
import tempfile
import unittest

import samples
import torch
from safetensors import safe_open

import export


class ClipLike(torch.nn.Module):
    """A module with CLIP's state, to be scripted as the released archive is."""

    def __init__(self, state):
        super().__init__()
        for name, value in state.items():
            module, (*path, leaf) = self, name.split(".")
            for step in path:
                if not hasattr(module, step):
                    module.add_module(step, torch.nn.Module())
                module = getattr(module, step)
            module.register_buffer(leaf, value)

    def forward(self, x):
        return x


class Layouts(unittest.TestCase):
    def setUp(self):
        keep = tempfile.TemporaryDirectory()
        self.addCleanup(keep.cleanup)
        self.root = keep.name
        self.merges = samples.merges_file(self.path("merges.txt"))

    def path(self, name):
        return os.path.join(self.root, name)

    def export(self, name, *arguments):
        """Tensors and metadata of the model file that these arguments make."""
        output = self.path(name)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            export.export(export.parse([*arguments, "-o", output]))
        with safe_open(output, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()

    def three(self, name, dinov2=None, clip=None, psi=None, more=()):
        parts = {"dinov2": dinov2 or self.dinov2, "clip": clip or self.clip, "psi": psi or self.psi}
        given = [word for part, path in parts.items() for word in (f"--{part}", path)]
        return self.export(name, *given, *(more or ("--merges", self.merges)))

    def official(self, **sizes):
        self.states = samples.dinov2(**sizes), samples.clip(), samples.psi()
        self.dinov2, self.clip, self.psi = (samples.save(state, self.path(name)) for state, name in
                                            zip(self.states, ("dinov2.pth", "clip.pt", "psi.pth")))
        return self.three("official.safetensors")

    def assert_same(self, found, want):
        self.assertEqual(list(found), list(want))
        for name in want:
            self.assertTrue(torch.equal(found[name], want[name]), name)

    def test_official_names_and_values(self):
        tensors, lines = self.official()
        vision, text, psi = self.states
        for name, value in vision.items():
            if name != "mask_token":
                self.assertTrue(torch.equal(tensors.pop("vision." + name), value), name)
        for name, value in text.items():
            if name.startswith(("token_", "positional_", "transformer.", "ln_final", "text_projection")):
                self.assertTrue(torch.equal(tensors.pop("text." + name), value), name)
        for name, value in psi.items():
            self.assertTrue(torch.equal(tensors.pop("psi." + name), value), name)
        self.assertEqual(bytes(tensors.pop("tokenizer.merges").numpy()), samples.TABLE)
        self.assertEqual(tensors, {})
        want = {"vision.dim": "64", "vision.depth": "2", "vision.heads": "1", "vision.hidden": "128",
                "vision.patch": "14", "vision.registers": "4", "vision.grid": "3", "vision.ffn": "mlp",
                "text.dim": "128", "text.depth": "2", "text.heads": "2", "text.hidden": "192", "text.context": "16",
                "text.vocabulary": str(samples.VOCABULARY), "text.embed": "32", "source.dinov2": "dinov2.pth",
                "source.merges": "merges.txt", "license.psi": "see source"}
        self.assertEqual({key: lines[key] for key in want}, want)

    def test_dinov2_layouts(self):
        for registers, swiglu in ((4, False), (0, False), (4, True)):
            want, _ = self.official(registers=registers, swiglu=swiglu)
            self.assertEqual("vision.register_tokens" in want, registers > 0)
            kind = "dinov2_with_registers" if registers else "dinov2"
            config = samples.dino_config(swiglu, kind)
            plain, prefixed = samples.hf_dinov2(self.states[0]), samples.hf_dinov2(self.states[0], kind + ".")
            prefixed["classifier.weight"] = prefixed["classifier.bias"] = torch.ones(3)
            with tempfile.TemporaryDirectory() as parent:
                found = {
                    "safetensors": samples.folder(parent, "safetensors", config, plain),
                    "bin": samples.folder(parent, "bin", config, plain, "pytorch_model.bin"),
                    "prefixed": samples.folder(parent, "prefixed", config, prefixed),
                    "shards": samples.folder(parent, "shards", config),
                    "binshards": samples.folder(parent, "binshards", config),
                    "fp16": samples.save({k: v.half() for k, v in self.states[0].items()}, f"{parent}/fp16.pth"),
                    "bf16": samples.save({k: v.bfloat16() for k, v in self.states[0].items()},
                                         f"{parent}/bf16.safetensors"),
                }
                samples.save_sharded(plain, found["shards"], "safetensors")
                samples.save_sharded(prefixed, found["binshards"], "bin")
                for name, path in found.items():
                    with self.subTest(layout=name, registers=registers, swiglu=swiglu):
                        self.assert_same(self.three(name, dinov2=path)[0], want)

    def test_clip_layouts(self):
        want, _ = self.official()
        state = self.states[1]
        script = self.path("script.pt")
        torch.jit.script(ClipLike(state)).save(script)
        half = {name: value.half() if "weight" in name else value for name, value in state.items()}
        hf = samples.hf_clip(state)
        found = {"script": script, "half": samples.save(half, self.path("half.pt")),
                 "hf": samples.folder(self.root, "hf", samples.clip_config(), hf),
                 "hf bin": samples.folder(self.root, "hf_bin", samples.clip_config(), hf, "pytorch_model.bin")}
        for name, path in found.items():
            with self.subTest(layout=name):
                self.assert_same(self.three(f"{name}.safetensors", clip=path)[0], want)

    def test_merges_beside_clip(self):
        want, _ = self.official()
        for name in ("merges.txt", "pairs", "strings"):
            with self.subTest(merges=name):
                path = samples.folder(self.root, name + ".d", samples.clip_config(), samples.hf_clip(self.states[1]))
                if name == "merges.txt":
                    samples.merges_file(os.path.join(path, name))
                else:
                    samples.tokenizer_json(os.path.join(path, "tokenizer.json"), name == "pairs")
                output, dinov2, psi = self.path(name + ".out"), self.dinov2, self.psi
                found, _ = self.export(output, "--dinov2", dinov2, "--clip", path, "--psi", psi)
                self.assert_same(found, want)

    def test_psi_layouts(self):
        want, _ = self.official()
        old = {name.replace("hidden_layers.0", "linear_layer2"): value for name, value in self.states[2].items()}
        for name, state in (("old.pth", old), ("new.safetensors", self.states[2]), ("old.safetensors", old)):
            with self.subTest(layout=name):
                path = samples.save(state, self.path("psi_" + name))
                self.assert_same(self.three("out_" + name, psi=path)[0], want)

    def test_combined(self):
        want, _ = self.official()
        both = samples.talk2dino(*self.states)
        renamed = {name.replace(".gamma", ".weight") if ".ls" in name else name: value for name, value in both.items()}
        for name, state in (("gamma", both), ("weight", renamed)):
            with self.subTest(layout=name):
                path = samples.folder(self.root, name, {"model_name": "dinov2_vitb14_reg"}, state)
                more = ("--merges", self.merges)
                self.assert_same(self.export(name + ".1", "--talk2dino", path, *more)[0], want)
                file = os.path.join(path, "model.safetensors")
                found, lines = self.export(name + ".2", "--talk2dino", file, *more)
                self.assert_same(found, want)
                self.assertEqual(lines["source.dinov2"], "model.safetensors")
                self.assertEqual(lines["source.psi.sha256"], lines["source.dinov2.sha256"])
                samples.merges_file(os.path.join(path, "merges.txt"))
                self.assert_same(self.export(name + ".3", "--talk2dino", path)[0], want)

    def test_position_rule(self):
        for registers, rule, antialias, offset in ((4, "hub", "true", "0.0"), (4, "size", "true", "0.0"),
                                                   (0, "hub", "false", "0.1"), (0, "size", "false", "0.0")):
            with self.subTest(registers=registers, rule=rule):
                self.official(registers=registers)
                _, lines = self.three("rule.safetensors", more=("--merges", self.merges, "--position", rule))
                self.assertEqual(lines["vision.position.antialias"], antialias)
                self.assertEqual(lines["vision.position.offset"], offset)


if __name__ == "__main__":
    unittest.main()
