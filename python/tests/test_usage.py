"""What a user may give: arguments of every form, modules inside of others, and what is no model."""

import contextlib
import copy
import dataclasses
import io
import os
import pickle
import sys
import tempfile
import traceback
import typing
import unittest
import warnings

import opledger

try:
    import torch
except ImportError:
    if os.environ.get("OPLEDGER_TORCH") == "1":
        raise
    raise unittest.SkipTest("torch is not installed") from None

from torch import nn
from torch.export import Dim

X = torch.zeros(3, 5)


@dataclasses.dataclass
class Batch:
    ids: torch.Tensor
    mask: torch.Tensor | None = None
    scale: float = 1.0


class Holds(nn.Module):
    """Takes tensors inside of a dictionary and of a list."""

    def forward(self, batch, feats):
        return batch["ids"] + feats[0].sum(1)


class Lists(nn.Module):
    def forward(self, batch):
        return Batch(batch.ids * batch.scale + 1)


def applies(change):
    class Applies(nn.Module):
        def forward(self, x):
            return change(x)

    return Applies()


HELD = ({"ids": torch.zeros(3)}, [torch.zeros(3, 7), torch.zeros(4)])


class Asks(unittest.TestCase):
    def refused(self, *args, **kwargs):
        with self.assertRaises(opledger.OpledgerError) as caught:
            opledger.count(*args, **kwargs)
        self.assertNotIn("Traceback", str(caught.exception))
        return str(caught.exception)


class Dynamic(Asks):
    def test_sizes_inside_of_an_argument_have_names(self):
        r = opledger.count(Holds(), HELD, dynamic={"batch": {"ids": {0: "b"}}, "feats": [{0: "b", 1: "n"}, None]})
        self.assertEqual((r.sizes, r.formula("flops")), ({"b": 3, "n": 7}, "b·n"))
        r = opledger.count(Lists(), (Batch(X),), dynamic={"batch": {"ids": {0: "b"}}})
        self.assertEqual(r.formula("flops"), "10·b")
        r = opledger.count(Lists(), (Batch(X),))
        self.assertEqual(r.sizes, {"b": 3, "n": 5})
        # The class is its owner's as before.
        torch.export.register_dataclass(Batch, serialized_type_name="tests.Batch")
        self.assertEqual(opledger.count(Lists(), (Batch(X),)).sizes, {"b": 3, "n": 5})

    def test_classes_that_their_owner_registered_are_taken(self):
        from torch.utils import _pytree as pytree

        @dataclasses.dataclass
        class Own:
            ids: torch.Tensor

        class Node:
            def __init__(self, ids):
                self.ids = ids

        torch.export.register_dataclass(Own)
        key = pytree.GetAttrKey("ids")
        pytree.register_pytree_node(
            Node, lambda node: ([node.ids], object()), lambda parts, _: Node(*parts),
            flatten_with_keys_fn=lambda node: ([(key, node.ids)], object()),
        )

        class Reads(nn.Module):
            def forward(self, batch):
                return batch.ids * 2

        for one in (Own, Node):
            r = opledger.count(Reads(), (one(X),), dynamic={"batch": {"ids": {0: "b"}}})
            self.assertEqual(r.formula("flops"), "5·b")
            written = pytree.SUPPORTED_SERIALIZED_TYPES[one]
            self.assertEqual(written.serialized_type_name, pytree.NO_SERIALIZED_TYPE_NAME_FOUND)

    def test_named_tuples_are_as_other_tuples(self):
        class Pair(typing.NamedTuple):
            first: torch.Tensor
            second: torch.Tensor

        class Swaps(nn.Module):
            def forward(self, pair):
                return Pair(pair.second + pair.first, pair.first)

        for names in [{"first": {0: "b"}, "second": {0: "b"}}, [{0: "b"}, {0: "b"}]]:
            r = opledger.count(Swaps(), (Pair(X, X),), dynamic={"pair": names})
            self.assertEqual(r.formula("flops"), "5·b")

    def test_arguments_without_names_have_places(self):
        class Adds(nn.Module):
            def forward(self, *tensors, **named):
                return tensors[0] + tensors[1] * named["scale"]

        names = {"tensors": [{0: "b"}, {0: "b"}], "scale": {0: "b"}}
        self.assertEqual(opledger.count(Adds(), (X, X), {"scale": X}, dynamic=names).formula("flops"), "10·b")
        told = self.refused(Adds(), (X, X), {"scale": X}, dynamic={"x": {}})
        self.assertIn('there are tensors, scale; what `tensors` holds has places: {"tensors": [{0: "b"}]}', told)

    def test_what_pytorch_takes_is_taken(self):
        for dynamic in [({0: "b"},), [{0: "b"}], {"input": ["b", None]}, {"input": {0: "b", 1: Dim.STATIC}}, {"input": {-2: "b"}}]:
            self.assertEqual(opledger.count(nn.Linear(5, 5), (X,), dynamic=dynamic).formula("macs"), "25·b")
        self.assertEqual(opledger.count(nn.Linear(5, 5), (X,), dynamic={"input": None}).sizes, {})

    def test_a_wrong_structure_is_told(self):
        linear, form = nn.Linear(5, 5), '{"x": {0: "b", 1: "n"}}'
        for dynamic, told in [
            (["b", "n"], form),
            ("b", form),
            (True, form),
            ([{0: "b"}, {0: "b"}], "2 entries for the arguments input"),
            ({"x": {0: "b"}}, "`x` is no argument of the call; there are input"),
            ({"input": "b"}, form),
            ({"input": {"0": "b"}}, "`input` is a tensor: '0' is none of its dimensions"),
            ({"input": {True: "b"}}, "True is none of its dimensions"),
            ({"input": {2: "b"}}, "2 dimensions and none of index 2"),
            ({"input": {-3: "b"}}, "2 dimensions and none of index -3"),
            ({"input": {0: 5}}, "5 is no name of a size"),
            ({"input": {0: "lambda"}}, "'lambda' is no name of a size"),
            ({"input": {0: Dim.AUTO}}, "Dim.AUTO has no name, and formulas are in names: write {0: \"n\"}"),
            ({"input": {0: Dim.DYNAMIC}}, "Dim.DYNAMIC has no name"),
            ({"input": {0: "b", -2: "c"}}, "dimension 0 of `input` has two names, b and c"),
            ({"input": {0: "b", 1: "b"}}, "b is 3 in dimension 0 of `input` and 5 in dimension 1 of `input`"),
        ]:
            self.assertIn(told, self.refused(linear, (X,), dynamic=dynamic), dynamic)
        for dynamic, told in [
            ({"batch": {"id": {0: "b"}}}, '`batch` holds `batch["ids"]`, and `dynamic` names \'id\''),
            ({"batch": {0: "b"}}, "`dynamic` names 0 in it"),
            ({"feats": [None, None, {0: "b"}]}, "`feats` has 2 entries, and `dynamic` names 3"),
            ({"feats": [{2: "b"}]}, "`feats[0]` has 2 dimensions and none of index 2"),
        ]:
            self.assertIn(told, self.refused(Holds(), HELD, dynamic=dynamic), dynamic)


class Modules(Asks):
    def test_what_compiles_or_distributes_a_module_is_looked_through(self):
        linear = nn.Linear(5, 5)
        around = [torch.compile(linear), nn.DataParallel(linear), torch.compile(nn.DataParallel(linear))]
        for model in around:
            r = opledger.count(model, (X,), dynamic={"input": {0: "b"}})
            self.assertEqual((r.name, r.formula("macs")), ("Linear", "25·b"))
            inside = nn.Sequential(model, nn.ReLU())
            r = opledger.count(inside, (X,))
            self.assertEqual([(m.path, m.type) for m in r.by_module()], [("0", "Linear"), ("1", "ReLU")])
            self.assertIs(inside[0], model)

    def test_what_cannot_be_exported_is_told_with_what_to_give(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            programs = [torch.jit.trace(nn.Linear(5, 5), X), torch.jit.script(nn.Linear(5, 5))]
            quantised = torch.ao.quantization.quantize_dynamic(nn.Sequential(nn.Linear(5, 5)))
        for program in programs:
            self.assertIn("pass the nn.Module", self.refused(program, (X,)))
            self.assertIn("`0`, a", self.refused(nn.Sequential(program), (X,)))
        self.assertIn("`0`, a Linear, is quantised", self.refused(quantised, (X,)))
        self.assertIn("call the model with the example once", self.refused(nn.Sequential(nn.LazyLinear(7)), (X,)))
        self.assertIn("`ModuleList` has no `forward`", self.refused(nn.ModuleList([nn.Linear(5, 5)]), (X,)))

    def test_what_is_no_module_is_told_with_what_to_give(self):
        linear = nn.Linear(5, 5)
        for model, told in [
            (nn.Linear, "`Linear` is a class: give a module of it, Linear(…)"),
            (lambda x: x + 1, "is a function, whose parameters nobody knows: give a torch.nn.Module"),
            (torch.relu, "is a function"),
            (linear.forward, "`Linear.forward` is a method: give the module itself"),
            (linear.state_dict(), "of a state dict give the module"),
            (dataclasses.make_dataclass("Pipe", ["model"])(linear), "its `model` is one"),
            (None, "`NoneType` is no model"),
        ]:
            self.assertIn(told, self.refused(model, (X,)))
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "weights.pt")
            torch.save(linear.state_dict(), path)
            self.assertIn("load it, and give the torch.nn.Module", self.refused(path))

    def test_shared_and_repeated_modules_stand_where_the_model_has_them(self):
        class Shares(nn.Module):
            def __init__(self):
                super().__init__()
                self.own = nn.Linear(5, 5)
                self.g = nn.ModuleDict({"layer1": nn.Linear(5, 5), "layer0": self.own, "layer10": nn.Linear(5, 5)})
                self.last = nn.LSTM(5, 5, batch_first=True)

            def forward(self, x):
                for module in self.g.values():
                    x = module(x).relu()
                return self.last(x[:, None])[0]

        rows = [(m.path, m.type) for m in opledger.count(Shares(), (X,)).by_module()]
        known = [path for path, module in Shares().named_modules(remove_duplicate=False)]
        order = [known.index(path) for path, _ in rows if path in known]
        self.assertEqual(order, sorted(order), rows)
        self.assertTrue(all(kind for path, kind in rows if path in known), rows)
        text = [m.path for m in opledger.count("gpt2").by_module()]
        # A model that is no module: as it executes.
        self.assertLess(text.index("transformer.h.*.ln_1"), text.index("transformer.h.*.attn.c_attn.q"))
        self.assertEqual(text[-2:], ["transformer.ln_f", "lm_head"])

    def test_programs_that_were_exported_are_called_as_they_were(self):
        module = torch.export.export(nn.Linear(5, 5), (X,)).module()
        self.assertEqual(opledger.count(module, (X,)).macs, 75)

    def test_a_model_and_its_inputs_may_be_in_different_places(self):
        meta = torch.zeros(3, 5, device="meta")
        self.assertEqual(opledger.count(nn.Linear(5, 5), (meta,)).macs, 75)
        self.assertEqual(opledger.count(nn.Linear(5, 5, device="meta"), (X,)).macs, 75)

    def test_the_training_mode_says_nothing(self):
        model = nn.Sequential(nn.Linear(5, 5), nn.Dropout(0.5), nn.BatchNorm1d(5)).train()
        self.assertEqual(opledger.count(model, (X,)).flops, opledger.count(model.eval(), (X,)).flops)
        told = self.refused(applies(lambda x: nn.functional.dropout(x, 0.5)), (X,))
        self.assertIn("training=self.training", told)


class Inputs(Asks):
    def test_what_no_module_takes_is_told(self):
        linear = nn.Linear(5, 5)
        try:
            import numpy
        except ImportError:
            pass
        else:
            for given in [(numpy.zeros((3, 5)),), numpy.zeros((3, 5)), {"input": numpy.zeros((3, 5))}]:
                self.assertIn("torch.as_tensor(input)", self.refused(linear, given))
        self.assertIn("torch.tensor(input)", self.refused(linear, ([[1.0] * 5],)))
        self.assertIn("(torch.zeros(3, 5),)", self.refused(linear, (3, 5)))
        self.assertIn("missing a required argument: 'feats'; it takes (batch, feats)", self.refused(Holds(), (X,)))
        self.assertIn("too many positional arguments; it takes (input)", self.refused(linear, (X, X)))
        self.assertIn("unexpected keyword argument 'mask'", self.refused(linear, (X,), {"mask": X}))
        self.assertIn("needs example inputs", self.refused(linear, None))
        self.assertIn("`kwargs` is a `list`", self.refused(linear, (), [X]))
        self.assertIn("`input` is sparse", self.refused(linear, (X.to_sparse(),)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            nested = torch.nested.nested_tensor([X, X[:2]])
        self.assertIn("`input` is nested", self.refused(linear, (nested,)))
        packed = nn.utils.rnn.pack_padded_sequence(torch.zeros(4, 2, 5), [4, 3])
        self.assertIn("`input` is a packed sequence", self.refused(nn.LSTM(5, 6), (packed,)))
        self.assertIn("`sizes` is a `int`", self.refused("gpt2", sizes=3))

    def test_an_error_of_the_model_has_its_line_and_its_type(self):
        def asserts(x):
            assert x.shape[0] == 4

        told = self.refused(applies(asserts), (X,))
        self.assertIn("cannot be exported: AssertionError", told)
        self.assertIn(f"{__file__}:{asserts.__code__.co_firstlineno + 1} in asserts", told)
        # A line that only called `count` is none of the model's.
        self.assertNotIn(__file__, self.refused(nn.Linear(5, 5), (X,), dynamic={"input": {1: "n"}}))

    def test_an_error_of_shapes_has_the_sizes_of_the_example(self):
        told = self.refused(nn.Linear(7, 3), (torch.zeros(2, 8),))
        self.assertRegex(told, r"2.*8.*7.*3")
        self.assertNotRegex(told, r"\bs\d")

    def test_a_mask_that_a_transformer_looks_into_is_told(self):
        class Decodes(nn.Module):
            def __init__(self):
                super().__init__()
                self.all = nn.Transformer(16, 2, 1, 1, 32, batch_first=True)

            def forward(self, x, causal=None):
                mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
                return self.all(x, x, tgt_mask=mask, tgt_is_causal=causal)

        x = torch.zeros(2, 5, 16)
        self.assertIn("tgt_is_causal=True", self.refused(Decodes(), (x,)))
        self.assertGreater(opledger.count(Decodes(), (x, True)).macs, 0)

    def test_a_recurrence_is_unrolled_by_the_export(self):
        for length in (1, 4):
            told = self.refused(nn.GRU(5, 6), (torch.zeros(length, 2, 5),), dynamic={"input": {0: "n"}})
            self.assertIn(f"works for n = {length} alone (dimension 0 of `input`): PyTorch's export unrolls nn.GRU", told)

    def test_a_refusal_shows_the_call_to_write(self):
        class Least(nn.Module):
            def forward(self, x, mask=None, *, scale=2.0):
                return x * scale + mask.sum() if x.shape[1] > 4 else x

        x, mask = torch.zeros(3, 9), torch.zeros(4, dtype=torch.long)
        names = {"x": {0: "b", 1: "n"}}
        r = opledger.count(Least(), (x, mask), {"scale": 3.0}, dynamic=names)
        with self.assertRaises(opledger.OpledgerError) as caught:
            r.at(b=7, n=3).macs
        self.assertEqual(
            str(caught.exception).split("\n"),
            [
                "`Least` holds where n ≥ 5, and not at n=3; count it with an example of such sizes:",
                "  opledger.count(model, (torch.zeros(7, 3), torch.zeros(4, dtype=torch.int64)), "
                'kwargs={"scale": 3.0}, dynamic={"x": {0: "b", 1: "n"}})',
            ],
        )
        again = eval(str(caught.exception).split("\n")[1], {"opledger": opledger, "torch": torch, "model": Least()})
        self.assertEqual(again.sizes, {"b": 7, "n": 3})
        self.assertIn("opledger.count(model, (query, key, value))", self.refused(nn.MultiheadAttention(4, 2)))

    def test_nothing_but_a_refusal_is_written(self):
        class Says(nn.Module):
            def __init__(self, decides):
                super().__init__()
                self.decides = decides

            def forward(self, x):
                print("of the model", file=sys.stderr)
                warnings.warn("of the model")
                return x + 1 if self.decides and x.sum() > 0 else x

        with contextlib.redirect_stderr(io.StringIO()) as written, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            told = self.refused(Says(True), (X,))
            self.assertEqual((written.getvalue(), caught), ("", []))
            opledger.count(Says(False), (X,))
            self.assertEqual(written.getvalue(), "of the model\n")
            self.assertEqual([str(one.message) for one in caught], ["of the model"])
        self.assertIn("it decides by the value of a tensor", told)
        # Nor is PyTorch's error shown around it.
        try:
            opledger.count(Says(True), (X,))
        except opledger.OpledgerError as error:
            self.assertNotIn("GuardOnDataDependent", "".join(traceback.format_exception(error)))

    def test_what_pytorch_does_not_write_is_told(self):
        from torch.nn.attention.flex_attention import flex_attention

        told = self.refused(applies(lambda x: flex_attention(x, x, x)), (torch.zeros(1, 2, 16, 8),))
        self.assertIn("is exported, but torch.export cannot write it: Failed serializing node flex_attention", told)

    def test_other_arguments_may_stand_between_tensors(self):
        class Masked(nn.Module):
            def forward(self, x, scale, /, seen):
                scores = (x @ x.mT * scale).masked_fill(~seen[:, None, :], float("-inf"))
                return scores.softmax(-1) @ x

        seen = torch.arange(5) < torch.tensor([[5], [3]])
        r = opledger.count(Masked(), (torch.zeros(2, 5, 8), 2.0, seen))
        self.assertEqual(r.macs, 2 * 8 * 5 * (5 + 3))


class Sizes(Asks):
    def test_what_is_no_size_of_the_model_is_refused_with_those_that_are(self):
        r = opledger.count(nn.Linear(5, 5), (X,))
        for ask in [r.formula("flops"), r.at, r.at(b=3).formula("macs"), r.formula("params")]:
            with self.assertRaisesRegex(opledger.OpledgerError, "`c` is no size of .*its sizes are b"):
                ask(c=3)
            for size, told in [(2.5, "b is 2.5"), (-1, "b is -1"), (True, "b is True"), ("3", "b is '3'")]:
                with self.assertRaisesRegex(opledger.OpledgerError, told):
                    ask(b=size)
        with self.assertRaisesRegex(opledger.OpledgerError, "`z` is no size of this model; its sizes are b, l, n"):
            opledger.count("gpt2").at(z=1)
        with self.assertRaisesRegex(opledger.OpledgerError, "`c` is no size"):
            opledger.count(nn.Linear(5, 5), (X,), sizes={"c": 3})
        with self.assertRaisesRegex(opledger.OpledgerError, "depth is -1"):
            r.by_module(-1)

    def test_what_is_no_name_or_assertion_is_told(self):
        r = opledger.count(nn.Linear(5, 5), (X,))
        with self.assertRaisesRegex(opledger.OpledgerError, "there is no quantity `3`"):
            r.formula(3)
        with self.assertRaisesRegex(opledger.OpledgerError, "3 is no text"):
            r.convention(3)
        with self.assertRaisesRegex(opledger.OpledgerError, "3 is no text"):
            opledger.assert_flops(nn.Linear(5, 5), (X,), 3)
        with self.assertRaises(opledger.OpledgerError) as caught:
            opledger.assert_flops(nn.Linear(5, 5), (X,), "macs == 25*b")
        self.assertNotIn("--help", str(caught.exception))

    def test_sizes_of_other_kinds_of_numbers(self):
        r = opledger.count(nn.Linear(5, 5), (X,))
        self.assertEqual(r.at(b=torch.tensor(4)).macs, 100)
        self.assertEqual(r.formula("macs")(b=torch.tensor(4)), 100)
        # A size of the model that a quantity does not have.
        self.assertEqual(r.formula("params")(b=4), 30)
        self.assertGreater(opledger.count("gpt2").at(n=2, p=4).macs, opledger.count("gpt2").at(n=2).macs)


class Shown(unittest.TestCase):
    def test_formulas_are_added_and_copied(self):
        r = opledger.count(nn.Sequential(nn.Linear(5, 5), nn.ReLU()), (X,))
        parts = opledger.count(nn.Linear(5, 5), (X,)).formula("flops"), opledger.Formula("5·b")
        self.assertEqual(sum(parts), r.formula("flops"))
        self.assertEqual(pickle.loads(pickle.dumps(r.formula("macs")))(b=2), 50)
        self.assertEqual(copy.deepcopy(r).at(b=2).macs, 50)
        with self.assertRaisesRegex(opledger.OpledgerError, "keep its numbers"):
            pickle.dumps(r)

    def test_definitions_have_lines_of_their_own(self):
        model = nn.Conv2d(3, 4, 3, padding=1)
        r = opledger.count(model, (torch.zeros(1, 3, 8, 8),), dynamic={"input": {0: "b", 2: "h", 3: "w"}})
        lines = repr(r).splitlines()
        self.assertIn("macs = 12·b·taps·taps_2", lines)
        self.assertTrue(any(line.startswith("where taps = ") for line in lines), lines)
        definitions = [line for line in lines if line.startswith("where ")]
        self.assertEqual(len(definitions), len(set(definitions)))

    def test_a_failed_assertion_says_of_what(self):
        with self.assertRaisesRegex(AssertionError, "flops < 3; counted 150\n  Linear at b=3"):
            opledger.assert_flops(nn.Linear(5, 5), X, "flops < 3")


if __name__ == "__main__":
    unittest.main()
