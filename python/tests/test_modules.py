"""Modules as users write them: their names, how deep they stand, and how their arguments are given."""

import dataclasses
import os
import sys
import unittest
from typing import Any

import opledger

try:
    import torch
except ImportError:
    if os.environ.get("OPLEDGER_TORCH") == "1":
        raise
    raise unittest.SkipTest("torch is not installed") from None

from torch import nn


class Written(unittest.TestCase):
    def test_modules_may_be_nested_deep(self):
        class Nest(nn.Module):
            def __init__(self, depth):
                super().__init__()
                self.inner = Nest(depth - 1) if depth else nn.Linear(4, 4)

            def forward(self, x):
                return self.inner(x)

        before = sys.getrecursionlimit()
        self.assertEqual(opledger.count(Nest(200), (torch.zeros(2, 4),)).macs, 32)
        self.assertEqual(sys.getrecursionlimit(), before)

    def test_names_of_modules_may_be_any_text(self):
        class Names(nn.Module):
            def __init__(self):
                super().__init__()
                for name in ("a b", "a_b", "größe"):
                    self.add_module(name, nn.Linear(4, 4))
                self.never = nn.Linear(4, 5)

            def forward(self, x):
                for name in ("a b", "a_b", "größe"):
                    x = self._modules[name](x)
                return x

        r = opledger.count(Names(), (torch.zeros(2, 4),))
        own = {m.path: (m.type, m.macs, m.params) for m in r.by_module()}
        names = {name: ("Linear", 32, 20) for name in ("a b", "a_b", "größe")}
        # What nobody calls stands with its own.
        self.assertEqual(own, {**names, "never": ("Linear", 0, 25)})

        colours = type("\x1b[31mRed", (Names,), {})
        self.assertIn(r"\x1b[31mRed", repr(opledger.count(colours(), (torch.zeros(2, 4),))))
        self.assertNotIn("\x1b", repr(opledger.count(colours(), (torch.zeros(2, 4),))))
        with self.assertRaises(opledger.OpledgerError) as caught:
            opledger.count(colours(), (torch.zeros(2, 4),), dynamic={"y": {0: "b"}})
        self.assertNotIn("\x1b", str(caught.exception))

    def test_sizes_are_named_as_arguments_are_given(self):
        @dataclasses.dataclass
        class Pair:
            a: Any
            c: Any

        class Adds(nn.Module):
            def forward(self, x, **kw):
                return x.a + x.c + kw["y"]

        x, y = Pair(torch.zeros(2, 4), torch.zeros(2, 4)), {"y": torch.zeros(2, 4)}
        b = {0: "b"}
        for names in ({"x": Pair(b, b), "kw": {"y": b}}, {"x": {"a": b, "c": b}, "y": b}):
            self.assertEqual(opledger.count(Adds(), (x,), y, dynamic=names).formula("flops"), "8·b")


if __name__ == "__main__":
    unittest.main()
