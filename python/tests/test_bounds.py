"""Bounds that the user sets, and sizes that are rounded."""

import math
import os
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

X = torch.zeros(4, 8)


def counted(model=None, x=X, name="input", **bounds):
    return opledger.count(model or nn.Linear(8, 4), (x,), dynamic={name: {0: Dim("b", **bounds)}})


class Bounds(unittest.TestCase):
    """The bounds of a `Dim` are conditions of the formula."""

    def refuses(self, relation, ask):
        with self.assertRaisesRegex(opledger.OpledgerError, f"holds where b {relation}, as its Dim says, and not at"):
            ask()

    def test_they_are_told_and_hold(self):
        r = counted(min=3, max=10)
        self.assertEqual(r.notes, ("holds where b ≤ 10", "holds where b ≥ 3"))
        self.assertIn("note: holds where b ≤ 10", repr(r))
        self.assertEqual((r.at(b=3).macs, r.at(b=10).macs, r.formula("macs")(b=10)), (96, 320, 320))
        parts = opledger.Count(r._source, {}).by_module()
        for size in (0, 1, 2):
            # Sizes of 0 and 1 are models of their own, within the same bounds.
            for ask in (r.at, r.formula("macs"), parts[0].macs, r.formula("macs") + 1):
                self.refuses("≥ 3", lambda: ask(b=size))
        for ask in (r.at, r.formula("flops")):
            self.refuses("≤ 10", lambda: ask(b=11))
        step = opledger.train_cost(nn.Linear(8, 4), (X,), dynamic={"input": {0: Dim("b", max=10)}})
        self.assertIn("holds where b ≤ 10", step.notes)
        self.refuses("≤ 10", lambda: step.at(b=11))

    def test_a_bound_of_two_is_no_bound_of_the_tracer(self):
        r = counted(min=2)
        self.assertEqual(r.notes, ("holds where b ≥ 2",))
        self.refuses("≥ 2", lambda: r.at(b=1))
        self.assertEqual(counted().notes, ())

    def test_multiples_and_several_dimensions_of_one_name(self):
        r = opledger.count(nn.Linear(8, 4), (torch.zeros(8, 8),), dynamic={"input": {0: 4 * Dim("b", min=2, max=5)}})
        self.assertEqual(set(r.notes), {"holds where b ≥ 2", "holds where b ≤ 5"})
        self.refuses("≤ 5", lambda: r.at(b=6))

        class Adds(nn.Module):
            def forward(self, x, y):
                return x + y

        names = {"x": {0: Dim("b", max=12)}, "y": {0: Dim("b", min=3)}}
        self.assertEqual(opledger.count(Adds(), (X, X), dynamic=names).notes, ("holds where b ≤ 12", "holds where b ≥ 3"))

    def test_the_strictest_is_told(self):
        class Two(nn.Module):
            def forward(self, x):
                return x + 1 if x.shape[0] <= 20 else x

        self.assertEqual(counted(Two(), name="x", max=50).notes, ("holds where b ≤ 20",))
        # What the bound decides is no condition.
        self.assertEqual(counted(Two(), name="x", max=12).notes, ("holds where b ≤ 12",))

    def test_an_example_beyond_them_is_refused(self):
        for bounds, told in [
            ({"min": 5}, "b is 4 in the example, dimension 0 of `input`, and b ≥ 5 by its Dim"),
            ({"max": 3}, "and b ≤ 3 by its Dim: give an example within"),
            ({"min": 1, "max": 3}, "and 1 ≤ b ≤ 3 by its Dim"),
        ]:
            with self.assertRaises(opledger.OpledgerError) as caught:
                counted(**bounds)
            self.assertIn(told, str(caught.exception))
        with self.assertRaisesRegex(opledger.OpledgerError, "leave it out of `dynamic`"):
            counted(x=X[:1], max=1)
        r = counted(x=X[:1], min=1, max=8)
        self.assertEqual((r.macs, r.at(b=8).macs), (32, 256))


def takes(change):
    class Takes(nn.Module):
        def __init__(self):
            super().__init__()
            self.map = nn.Linear(4, 4)

        def forward(self, x):
            return self.map(change(x, x.shape[1]))

    return Takes()


#: What is left of n steps, or what they are scaled by.
ROUNDED = {
    "steps of one": (lambda x, n: x * torch.arange(0, n, 1.0)[None, :, None], lambda n: n),
    "steps of a half": (lambda x, n: x * torch.arange(0, n, 0.5)[None, ::2, None], lambda n: n),
    "half of the steps": (lambda x, n: x[:, : torch.arange(0, n / 2).shape[0]], lambda n: -(-n // 2)),
    "ceil": (lambda x, n: x[:, : math.ceil(n / 3)], lambda n: -(-n // 3)),
    "floor": (lambda x, n: x[:, : math.floor(n * 0.25)], lambda n: n // 4),
    "trunc": (lambda x, n: x[:, : math.trunc(n * 0.75)], lambda n: 3 * n // 4),
    "round": (lambda x, n: x[:, : round(n / 3)], lambda n: round(n / 3)),
    "true division": (lambda x, n: x if n / 2 > 3 else x[:, :3], lambda n: n),
}


class Rounded(unittest.TestCase):
    """Sizes that are rounded are definitions, or refused with the line."""

    def test_they_are_definitions(self):
        for name, (change, left) in ROUNDED.items():
            r = opledger.count(takes(change), (torch.zeros(2, 13, 4),), dynamic={"x": {0: "b", 1: "n"}})
            for n in range(9, 24):
                self.assertEqual(r.at(b=3, n=n).macs, 16 * 3 * left(n), (name, n))
                self.assertEqual(r.formula("macs")(b=3, n=n), 16 * 3 * left(n), (name, n))

    def test_what_makes_a_constant_of_a_size_is_told_with_its_line(self):
        change = lambda x, n: x[:, : int(n * 0.5)]  # noqa: E731
        r = opledger.count(takes(change), (torch.zeros(2, 12, 4),), dynamic={"x": {0: "b", 1: "n"}})
        place = f"{__file__}:{change.__code__.co_firstlineno}"
        self.assertEqual(r.notes[0], f"`int` makes a constant of a size at {place}: math.trunc keeps it a size")
        self.assertEqual(r.at(n=13).macs, 16 * 2 * 6)
        with self.assertRaisesRegex(opledger.OpledgerError, "holds where n ≤ 13, and not at n=14"):
            r.at(n=14).macs

    def test_what_is_not_known_is_refused_with_its_line(self):
        for change in (lambda x, n: x[:, : math.ceil(n * 0.3)], lambda x, n: x[:, : round(n / 2)]):
            with self.assertRaises(opledger.OpledgerError) as caught:
                opledger.count(takes(change), (torch.zeros(2, 12, 4),), dynamic={"x": {0: "b", 1: "n"}})
            self.assertRegex(str(caught.exception), rf"a size (is not understood|has `round of halves`)(.|\n)* at {__file__}:\d")


if __name__ == "__main__":
    unittest.main()
