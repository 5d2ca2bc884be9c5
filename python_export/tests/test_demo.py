"""The demo's world and what is trained on it: seeds decide everything, captions name what is there, patches have
their labels, and the towers' names are those the exporter reads."""

import re
import unittest

import setting  # noqa: F401
import numpy as np
import torch

try:
    import cv2  # noqa: F401
except ImportError as problem:
    raise unittest.SkipTest(f"{problem}: apt install python3-opencv") from None

import merges
from architecture import Text, Vision, psi_tensors, text_tensors, vision_tensors
from demo import bpe, captions, pictures, towers, train_psi, train_vision, views, world


def seen_of(scene):
    whole = np.bincount(scene.owners.ravel(), minlength=len(scene.things) + 1)[1:]
    return captions.seen_in(scene.labels, scene.owners, scene.things, whole)


class World(unittest.TestCase):
    def test_seed_decides(self):
        first, again, other = world.scene(3), world.scene(3), world.scene(4)
        np.testing.assert_array_equal(first.picture, again.picture)
        np.testing.assert_array_equal(first.labels, again.labels)
        self.assertEqual(first.things, again.things)
        self.assertTrue((first.picture != other.picture).any())
        self.assertTrue((first.picture != world.scene(3, held_out=True).picture).any())

    def test_labels_are_of_their_owners(self):
        for seed in range(12):
            scene = world.scene(seed)
            for i, thing in enumerate(scene.things):
                found = np.unique(scene.labels[scene.owners == i + 1])
                self.assertIn(found.tolist(), ([], [world.NOUNS.index(thing.noun)]))
            ground = np.unique(scene.labels[scene.owners == 0])
            self.assertLessEqual(set(ground.tolist()), {world.NOUNS.index(noun) for noun in world.STUFF})

    def test_held_out_pairs(self):
        """Never in training, often in measuring; each coloured noun misses one colour."""
        def pairs(held_out):
            return [(t.noun, t.colour) for seed in range(60) for t in world.scene(seed, held_out).things]
        self.assertFalse(world.HELD_OUT & set(pairs(False)))
        self.assertGreater(len([pair for pair in pairs(True) if pair in world.HELD_OUT]), 15)
        self.assertEqual({noun for noun, _ in world.HELD_OUT}, set(world.COLOURED))

    def test_size_of_the_world(self):
        self.assertGreaterEqual(len(set(world.NOUNS)), 20)
        self.assertGreaterEqual(len(world.COLOURS), 8)


class Captions(unittest.TestCase):
    def test_they_name_what_is_seen(self):
        """Every noun and colour of a caption is one of something visible."""
        noun_of = {word: noun for noun, options in captions.SYNONYMS.items() for word in options}
        noun_of |= {captions.PLURALS.get(word, word + "s"): noun for word, noun in list(noun_of.items())}
        rng = np.random.default_rng(1)
        for seed in range(40):
            everything = seen_of(world.scene(seed))
            nouns, colours = {s.noun for s in everything}, {s.colour for s in everything}
            for _ in range(5):
                line = captions.caption(everything, rng)
                line = line.replace("hot air balloon", "balloon").replace("beach ball", "ball")
                words = re.findall("[a-z]+", line)
                self.assertLessEqual({noun_of[w] for w in words if w in noun_of}, nouns, line)
                self.assertLessEqual({w for w in words if w in world.COLOURS}, colours, line)

    def test_they_vary(self):
        rng = np.random.default_rng(2)
        everything = seen_of(world.scene(5))
        self.assertGreater(len({captions.caption(everything, rng) for _ in range(40)}), 25)

    def test_articles(self):
        self.assertEqual(captions.article("orange bus"), "an orange bus")
        self.assertEqual(captions.article("red car"), "a red car")


class Vocabulary(unittest.TestCase):
    def test_merges_are_the_exporters(self):
        rng = np.random.default_rng(3)
        lines = [captions.caption(seen_of(world.scene(seed)), rng) for seed in range(30)]
        learned = bpe.learn(lines)
        merges.check("learned", learned)
        tokenizer = bpe.Tokenizer(learned)
        self.assertEqual(tokenizer.size, len(learned) + merges.SPECIALS)
        common = re.findall("[a-z]+", lines[0])[0]
        ids = tokenizer.encode(lines[0])
        self.assertEqual((ids[0], ids[-1]), (tokenizer.size - 2, tokenizer.size - 1))
        self.assertLessEqual(len(tokenizer.encode(common)), 4)
        self.assertEqual(bpe.learn(lines), learned)


class Scenes:
    """Pictures whose brightness is ten times their label, and things in colours."""

    def __init__(self, count):
        drawn = [world.scene(seed) for seed in range(count)]
        self.labels, self.owners = [np.stack([getattr(s, name) for s in drawn]) for name in ("labels", "owners")]
        self.pictures = np.repeat(10 * self.labels[..., None], 3, -1)
        self.things = [scene.things for scene in drawn]

    def __len__(self):
        return len(self.things)


class Views(unittest.TestCase):
    def test_parts_of_patches(self):
        plane = np.random.default_rng(0).integers(0, 5, (towers.CROP, towers.CROP)).astype(np.uint8)
        found = views.parts(plane, 5)
        tile = plane[towers.PATCH:2 * towers.PATCH, :towers.PATCH]  # the second row's first patch
        np.testing.assert_allclose(found[towers.GRID], np.bincount(tile.ravel(), minlength=5) / towers.PATCH**2)
        np.testing.assert_allclose(found.sum(1), 1, rtol=1e-6)

    def test_labels_are_of_their_patches(self):
        """The mean brightness of a patch is that of its nouns: the same box, mirrored or not."""
        pictures, nouns, colours = views.labelled(Scenes(6), np.random.default_rng(1), 40)
        size = (len(pictures), towers.GRID, towers.PATCH, towers.GRID, towers.PATCH)
        seen = pictures[..., 0].reshape(size).mean((2, 4)).reshape(len(pictures), -1)
        told = (nouns * 10 * torch.arange(len(world.NOUNS))).sum(-1).numpy()
        self.assertLess(np.abs(seen - told).mean(), 1.5)  # nearest and mean differ by half a pixel
        self.assertGreater(np.abs(seen - told[:, ::-1]).mean(), 10)
        coloured = [world.NOUNS.index(noun) for noun in (*world.COLOURED, "person")]
        np.testing.assert_allclose(colours.sum(-1), nouns[..., coloured].sum(-1), atol=1e-6)

    def test_colours_are_their_owners(self):
        scene = world.scene(3)
        names = [*world.COLOURS, ""]
        self.assertEqual([names[i] for i in views.colours_of(scene.things)], ["", *(t.colour for t in scene.things)])


class Training(unittest.TestCase):
    def test_names_and_shapes_are_the_exporters(self):
        tower, text, psi = towers.Vision(), towers.Text(700), towers.Psi()
        sizes = Vision(towers.VISION_DIM, towers.VISION_DEPTH, 4 * towers.VISION_DIM, towers.PATCH, towers.REGISTERS,
                       towers.GRID, False)
        words = Text(towers.TEXT_DIM, towers.TEXT_DEPTH, 4 * towers.TEXT_DIM, towers.CONTEXT, 700, towers.EMBED)
        networks = ((tower, vision_tensors(sizes)), (text, text_tensors(words)),
                    (psi, psi_tensors(towers.VISION_DIM, towers.EMBED)))
        for found, wanted in networks:
            shapes = {name: tuple(value.shape) for name, value in found.state_dict().items() if name != "mask_token"}
            self.assertEqual(shapes, dict(wanted))

    def test_no_caption_twice_in_a_batch(self):
        texts = [["a", "b"], ["a"], ["b"], ["c"], ["a", "c"]]
        for seed in range(20):
            chosen, lines = pictures.batch(texts, 4, np.random.default_rng(seed))
            self.assertEqual(len(set(lines)), len(lines))
            self.assertEqual(len(set(chosen.tolist())), len(lines))
            self.assertTrue(all(line in texts[view] for view, line in zip(chosen, lines)))
        self.assertEqual(len(pictures.batch(texts, 2, np.random.default_rng(0))[1]), 2)

    def test_patches_are_to_say_what_they_show(self):
        """Cross-entropy of nouns over all patches, of colours over coloured ones, and of what is there."""
        torch.manual_seed(2)
        patches, (a, b) = 6, (len(world.NOUNS), len(world.COLOURS))
        said = torch.randn(1, patches, a), torch.randn(1, patches, b), torch.randn(1, a + b)
        noun, colour = torch.randint(a, (patches,)), torch.tensor([0, 3, 0, 1, 1, 2])
        painted = torch.tensor([0.0, 1, 0, 0.5, 1, 1])
        nouns = torch.nn.functional.one_hot(noun, a)[None].float()
        colours = torch.nn.functional.one_hot(colour, b)[None] * painted[None, :, None]
        found = train_vision.losses(lambda _: said, None, nouns, colours)
        entropy = torch.nn.functional.cross_entropy
        self.assertAlmostEqual(float(found[0]), float(entropy(said[0][0], noun)), places=5)
        hues = (entropy(said[1][0], colour, reduction="none") * painted).sum() / painted.sum()
        self.assertAlmostEqual(float(found[1]), float(hues), places=5)
        there = torch.cat([nouns[0].mean(0), colours[0].mean(0)]) > 0.02
        wrong = torch.where(there, -said[2][0], said[2][0])
        self.assertAlmostEqual(float(found[2]), float(torch.nn.functional.softplus(wrong).mean()), places=5)

    def test_psi_loss_is_the_papers(self):
        """Heads are chosen by their own caption, and only by it."""
        torch.manual_seed(1)
        texts, heads = torch.randn(5, 8), torch.randn(5, 3, 8)
        t, v = texts / texts.norm(dim=-1, keepdim=True), heads / heads.norm(dim=-1, keepdim=True)
        chosen = torch.stack([v[i, int((v[i] @ t[i]).argmax())] for i in range(5)])
        logits = t @ chosen.T / 0.07
        want = -(logits.log_softmax(1).diag().mean() + logits.log_softmax(0).diag().mean()) / 2
        self.assertAlmostEqual(float(train_psi.loss_of(texts, heads)), float(want), places=5)


if __name__ == "__main__":
    unittest.main()
