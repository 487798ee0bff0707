"""Conditions on sizes: what is left of PyTorch's guards, and how it is told."""

import itertools
import math
import os
import random
import unittest

import opledger

try:
    import torch
except ImportError:
    if os.environ.get("OPLEDGER_TORCH") == "1":
        raise
    raise unittest.SkipTest("torch is not installed") from None

from torch import nn
from torch.export import Dim
from torch.nn import functional as F


class UNet(nn.Module):
    """What is halved twice and brought back beside what it was."""

    def __init__(self, back="transposed"):
        super().__init__()
        self.back = back
        self.down, self.deep, self.pool = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.MaxPool2d(2)
        self.up = nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.out = nn.Conv2d(8, 4, 3, padding=1)

    def beside(self, small, large):
        if self.back == "resized":
            small = F.interpolate(small, size=large.shape[2:], mode="bilinear")
        else:
            small = self.up(small)
        if self.back == "padded":
            over = [large.shape[dim] - small.shape[dim] for dim in (3, 2)]
            small = F.pad(small, (0, over[0], 0, over[1]))
        return self.out(torch.cat([large, small], 1))

    def forward(self, x):
        first = self.down(x)
        second = self.deep(self.pool(first))
        third = self.deep(self.pool(second))
        return self.beside(self.beside(third, second), first)


class Windows(nn.Module):
    """A map of windows of four by four, of what is filled up to them or not."""

    def __init__(self, pads):
        super().__init__()
        self.pads, self.map = pads, nn.Linear(8, 8)

    def forward(self, x):
        if self.pads:
            x = F.pad(x, (0, 0, 0, (4 - x.shape[2] % 4) % 4, 0, (4 - x.shape[1] % 4) % 4))
        b, h, w, c = x.shape
        return self.map(x.view(b, h // 4, 4, w // 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, c))


class Halves(nn.Module):
    def forward(self, x):
        first, second = x.chunk(2, 1)
        return first * second


class Strides(nn.Module):
    """What is halved twice, by fours."""

    def __init__(self):
        super().__init__()
        self.shrink = nn.Conv1d(3, 3, 2, 2)

    def forward(self, x):
        x = self.shrink(self.shrink(x))
        return x.view(x.shape[0], 3, x.shape[2] // 4, 4) + 1


class Bits(nn.Module):
    def forward(self, x):
        return x[:, : x.shape[1] & 6] + 1


class Shrinks(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv1d(3, 3, 5), nn.Conv1d(3, 3, 3)

    def forward(self, x):
        assert x.shape[2] > 2 and x.shape[2] > 3 and x.shape[2] >= 4
        return self.second(self.first(x))


class Parts(nn.Module):
    def forward(self, x):
        return x[:, 3:].sum(1) + x[:, 2:].sum(1)


IMAGE, PATCHES = torch.zeros(2, 3, 32, 48), torch.zeros(2, 16, 24, 8)
FREE = {"x": {0: "b", 2: "h", 3: "w"}}


class Branches(nn.Module):
    """One map, or two where a size is none of some."""

    def __init__(self, takes):
        super().__init__()
        self.takes, self.one, self.other = takes, nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        y = self.one(x)
        return y if self.takes(x.shape[1], x.shape[0]) else self.other(y)


BRANCHES = {
    "even": lambda n, b: n % 2 == 0,
    "not a quotient of one": lambda n, b: n // 4 != 1,
    "quotient": lambda n, b: n // 4 >= 2,
    "less three is one": lambda n, b: n - 3 == 1,
    "true division": lambda n, b: n / 4 > 2,
    "greater of two": lambda n, b: max(n, 8) > 8,
    "negative": lambda n, b: -n % 4 == 0,
    "shifted": lambda n, b: (n - 10) // 4 == 0,
    "bits": lambda n, b: n & 1 == 0,
    "power": lambda n, b: n**0.5 > 3,
    "sum": lambda n, b: (n + b) % 3 != 0,
    "equal": lambda n, b: n == b,
    "above": lambda n, b: n > 10,
}


class Ways(unittest.TestCase):
    """A model that takes another way at other sizes is never counted at those."""

    def test_a_size_is_counted_as_the_model_is_at_it_or_refused(self):
        for name, takes in BRANCHES.items():
            counted = 0
            for example in (9, 12):
                r = opledger.count(Branches(takes), (torch.zeros(2, example, 4),))
                for n in range(2, 21):
                    try:
                        macs = r.at(b=2, n=n).macs
                    except opledger.OpledgerError:
                        continue
                    self.assertEqual(macs, 32 * n * (1 if takes(n, 2) else 2), (name, example, n))
                    counted += 1
            self.assertGreaterEqual(counted, 2, name)

    def test_a_size_of_one_is_counted_as_the_model_is_at_it(self):
        x = torch.zeros(1, 5, 4)
        of_one = Branches(lambda n, b: b == 1)
        r = opledger.count(of_one, (x,))
        self.assertEqual((r.macs, r.notes), (80, (
            "at b = 1 this is another model than at larger sizes, so it is counted at this size alone",
        )))
        with self.assertRaisesRegex(opledger.OpledgerError, "another model at b = 1"):
            opledger.count(of_one, (x,), dynamic={"x": {0: "b"}})
        plain = opledger.count(Branches(lambda n, b: True), (x,))
        self.assertEqual((plain.macs, plain.formula("macs")(b=3, n=5), plain.notes), (80, 240, ()))


class Ones(unittest.TestCase):
    """Sizes of 1, which PyTorch sets apart."""

    def test_an_example_of_one_is_counted_where_larger_models_do_not_hold_at_it(self):
        class Bag(nn.Module):
            def __init__(self):
                super().__init__()
                self.table, self.map = nn.EmbeddingBag(20, 8, mode="sum"), nn.Linear(8, 3)

            def forward(self, x):
                return self.map(self.table(x))

        class Thirds(nn.Module):
            def __init__(self):
                super().__init__()
                self.maps = nn.ModuleList(nn.Linear(8, 2 * i + 2) for i in range(3))

            def forward(self, x):
                return [map(part).sum(1) for map, part in zip(self.maps, x.chunk(3, 1))]

        told = "at b = 1 this is another model than at larger sizes, so it is counted at this size alone"
        for model, x, macs in (
            (Bag(), torch.zeros(1, 4, dtype=torch.long), 24),
            (Thirds(), torch.zeros(1, 8, 8), 8 * (3 * 2 + 3 * 4 + 2 * 6)),
        ):
            for names in (None, {"x": {0: "b", 1: "n"}}):
                r = opledger.count(model, (x,), dynamic=names)
                self.assertEqual((r.macs, r.notes[0]), (macs, told))
        with self.assertRaisesRegex(opledger.OpledgerError, "counted at b = 1 alone, and not at 3"):
            r.at(b=3).macs

    def test_a_size_of_one_that_the_example_has_not_is_compared_once(self):
        from unittest import mock

        from opledger import _export

        with mock.patch.object(_export, "export", wraps=_export.export) as exported:
            model = Branches(lambda n, b: n == 1)
            r = opledger.count(model, (torch.zeros(2, 5, 4),), dynamic={"x": {0: "b", 1: "n"}})
            self.assertEqual(r.at(b=3, n=2).macs, 2 * 16 * 6)
            self.assertEqual(exported.call_count, 1)
            one = r.at(b=3, n=1)
            self.assertEqual((one.macs, r.at(b=9, n=1).macs), (16 * 3, 16 * 9))
            self.assertEqual(exported.call_count, 2)
        self.assertEqual(one.notes, ("at n = 1 this is another model than at larger sizes, which is counted here",))
        self.assertEqual(one.at(n=4).macs, 2 * 16 * 12)
        for formula in (r.formula("macs"), r.formula("macs") + 1):
            with self.assertRaisesRegex(opledger.OpledgerError, r"another model at n=1 .*\.at\(n=1\)"):
                formula(b=3, n=1)
        self.assertEqual(r.at(b=1).notes, ())


class Notes(unittest.TestCase):
    def test_a_pooled_network_says_which_sizes_it_takes(self):
        # At 4 the innermost map has one place, which may be taken another way.
        least = ("holds where h ≥ 8", "holds where w ≥ 8")
        four = ("holds where h mod 4 = 0", least[0], "holds where w mod 4 = 0", least[1])
        for back, told in [("transposed", four), ("padded", least), ("resized", least)]:
            notes = opledger.count(UNet(back), (IMAGE,), dynamic=FREE).notes
            self.assertEqual(notes, told, back)
        multiples = {"x": {0: "b", 2: 4 * Dim("h"), 3: 4 * Dim("w")}}
        r = opledger.count(UNet(), (IMAGE,), dynamic=multiples)
        self.assertEqual(r.notes, ())
        self.assertEqual(r.at(h=10, w=9).macs, opledger.count(UNet(), (IMAGE,), dynamic=FREE).at(h=40, w=36).macs)

    def test_windows_say_of_which_multiples_they_are(self):
        with self.assertRaises(opledger.OpledgerError) as caught:
            opledger.count(Windows(False), (PATCHES,), dynamic={"x": {0: "b", 1: "h", 2: "w"}})
        self.assertIn('dynamic={"x": {0: "b", 1: 4*Dim("h"), 2: 4*Dim("w")}}', str(caught.exception))
        multiples = {"x": {0: "b", 1: 4 * Dim("h"), 2: 4 * Dim("w")}}
        r = opledger.count(Windows(False), (PATCHES,), dynamic=multiples)
        self.assertEqual((r.notes, r.formula("macs")), ((), "1024·b·h·w"))
        r = opledger.count(Halves(), (torch.zeros(2, 8),), dynamic={"x": {1: "n"}})
        self.assertEqual((r.notes, r.at(n=10).flops), (("holds where n mod 2 = 0", "holds where n ≥ 4"), 10))

        # Quotients of quotients are what the arguments of a view say.
        r = opledger.count(Strides(), (torch.zeros(1, 3, 32),), dynamic={"x": {2: "n"}})
        self.assertEqual(int(r.at(n=35).convention("torch-flop-counter")), 2 * (17 + 8) * 3 * 6)
        # An example that is none of these multiples shows nothing of them.
        with self.assertRaises(opledger.OpledgerError) as caught:
            opledger.count(Strides(), (torch.zeros(1, 3, 36),), dynamic={"x": {2: "n"}})
        self.assertNotIn("Dim", str(caught.exception))

    def test_what_is_filled_up_takes_any_size(self):
        r = opledger.count(Windows(True), (PATCHES,), dynamic={"x": {0: "b", 1: "h", 2: "w"}})
        # At 4 there is one window, which may be taken another way.
        self.assertEqual(r.notes, ("holds where h ≥ 5", "holds where w ≥ 5"))
        for h, w in itertools.product((6, 13, 18), (8, 9)):
            self.assertEqual(r.at(h=h, w=w).macs, 2 * 64 * 16 * math.ceil(h / 4) * math.ceil(w / 4))

    def test_the_strongest_bound_is_told(self):
        r = opledger.count(Shrinks(), (torch.zeros(2, 3, 9),), dynamic={"x": {0: "b", 2: "n"}})
        # At 7 the last length is 1, which PyTorch sets apart.
        self.assertEqual(r.notes, ("holds where n ≥ 8",))
        r = opledger.count(Parts(), (torch.zeros(2, 9),), dynamic={"x": {0: "b", 1: "n"}})
        # What PyTorch says of products and of what is left may be a branch of the model.
        self.assertEqual(r.notes, ("holds where b·n - 3·b ≥ 2", "holds where n ≥ 5"))
        self.assertEqual(r.at(b=1, n=5).flops, 1 + 1 + 2)

    def test_inputs_inside_of_others_have_conditions_as_well(self):
        class Inside(nn.Module):
            def forward(self, batch, *others, **named):
                for of, dim in ((batch["ids"], 1), (others[0], 0), (named["scale"], 0)):
                    assert of.shape[dim] % 2 == 0
                return batch["ids"] * others[0].sum() + named["scale"].sum()

        x = torch.zeros(3, 8)
        names = {"batch": {"ids": {1: "n"}}, "others": [{0: "k"}], "scale": {0: "m"}}
        r = opledger.count(Inside(), ({"ids": x}, torch.zeros(6)), {"scale": torch.zeros(4)}, dynamic=names)
        self.assertEqual(r.notes, tuple(f"holds where {name} mod 2 = 0" for name in "kmn"))
        with self.assertRaisesRegex(opledger.OpledgerError, "holds where n mod 2 = 0, and not at n=7"):
            r.at(n=7).macs

    def test_without_names_a_size_that_is_not_understood_is_fixed(self):
        r = opledger.count(Bits(), (torch.zeros(2, 15),))
        self.assertEqual((r.sizes, r.notes), ({"b": 2}, ("dimension 1 of `x` is fixed at 15",)))
        self.assertEqual(r.formula("flops"), "6·b")


class Crossed(nn.Module):
    """Attention to a context, whose items PyTorch keeps as a size of their own that is the batch."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, kdim=6, vdim=6, batch_first=True)

    def forward(self, x, context):
        b, c, height, width = x.shape
        q = x.flatten(2).transpose(1, 2)
        q = q + self.attention(q, context, context, need_weights=False)[0]
        return q.transpose(1, 2).reshape(b, c, height, width)


class Equals(unittest.TestCase):
    def test_a_size_that_is_another_follows_it(self):
        r = opledger.count(Crossed(), (torch.zeros(2, 8, 4, 4), torch.zeros(2, 7, 6)))
        self.assertIn("holds where context_0 = b", r.notes)
        self.assertEqual(r.at(b=4).macs, r.at(b=4, context_0=4).macs)
        self.assertEqual(r.at(context_0=4).macs, r.at(b=4).macs)
        self.assertEqual(r.at(b=4).macs, 2 * r.macs)
        with self.assertRaisesRegex(opledger.OpledgerError, "holds where context_0 = b"):
            r.at(b=4, context_0=2).macs


class Guards(unittest.TestCase):
    def test_what_is_told_says_what_pytorch_wrote(self):
        """Where a size above 2 is counted, all hold that PyTorch wrote."""
        from unittest import mock

        from opledger import _export

        draw = random.Random(5)
        for model, example, dims in [
            (UNet("padded"), IMAGE, (2, 3)),
            (UNet("transposed"), IMAGE, (2, 3)),
            (Windows(True), PATCHES, (1, 2)),
            (Shrinks(), torch.zeros(2, 3, 9), (2,)),
            (Parts(), torch.zeros(2, 9), (1,)),
        ]:
            names = {dim: f"s{dim}" for dim in (0, *dims)}
            with mock.patch.object(_export, "_exported", wraps=_export._exported) as exported:
                written = []
                exported.side_effect = lambda *given: written.append(original(*given)) or written[-1]
                original = exported._mock_wraps
                r = opledger.count(model, (example,), dynamic={"x": names})
            code, seen = written[0][0]._guards_code, 0
            for _ in range(40):
                sizes = {dim: draw.choice((3, 5, 8, 9, 12, 16, 20)) for dim in names}
                shape = [sizes.get(dim, size) for dim, size in enumerate(example.shape)]
                try:
                    r.at(**{names[dim]: size for dim, size in sizes.items()}).macs
                except opledger.OpledgerError:
                    continue
                seen += 1
                for guard in code:
                    self.assertTrue(holds(guard, shape), (guard, shape))
            self.assertGreater(seen, 0)


def holds(code, shape):
    class Tensor:
        def size(self):
            return shape

    class Operations:
        sym_max, sym_min = max, min

    try:
        return eval(code, {"L": {"x": Tensor()}, "torch": Operations})
    except ZeroDivisionError:
        return False


if __name__ == "__main__":
    unittest.main()
