"""Modules of PyTorch. Runs where torch is installed; OPLEDGER_TORCH=1 makes its absence a failure."""

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


class Block(nn.Module):
    """A linear layer whose result is read as five tokens."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x):
        return self.linear(x).view(x.shape[0], 5, 8)


class Decides(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x + 1
        return x


class Leaves(nn.Module):
    def forward(self, x):
        return torch.tensor(x.detach().numpy())


class Adds(nn.Module):
    def forward(self, x, y):
        return x + y


class Halves(nn.Module):
    """What is halved twice and brought back beside what it was."""

    def __init__(self):
        super().__init__()
        self.down, self.again = nn.Conv1d(3, 3, 3, 2, 1), nn.Conv1d(3, 3, 3, 2, 1)
        self.up = nn.ConvTranspose1d(3, 3, 4, 2, 1)

    def forward(self, x):
        half = self.down(x)
        half = torch.cat([half, self.up(self.again(half))], 1)
        return torch.cat([x, nn.functional.interpolate(half, scale_factor=2.0)], 1)


class Tied(nn.Module):
    """A model whose head is its table."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(11, 4)
        self.head = nn.Linear(4, 11, bias=False)
        self.head.weight = self.table.weight

    def forward(self, ids, scale: float = 1.0):
        return self.head(self.table(ids)) * scale


def encoder():
    return nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)


def line_of(module, text):
    """Where a line of a test's module stands, as an error says it."""
    import inspect

    lines, first = inspect.getsourcelines(module)
    at = next(i for i, line in enumerate(lines) if text in line)
    return f"{__file__}:{first + at} in forward"


class Counted(unittest.TestCase):
    def test_frozen_parameters_have_no_gradient(self):
        model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4))
        model[0].requires_grad_(False)
        counted = opledger.count(model, (torch.zeros(2, 8),))
        self.assertEqual((counted.params, counted.trainable), (72 + 36, 36))

    def test_a_dimension_may_be_a_multiple_of_a_size(self):
        k = torch.export.Dim("k", min=1, max=64)
        x = torch.zeros(2, 3, 12)
        by_name = opledger.count(Halves(), (x,), dynamic={"x": {0: "b", 2: "n"}})
        multiple = opledger.count(Halves(), (x,), dynamic={"x": {0: "b", 2: 4 * k}})
        self.assertEqual(by_name.macs, multiple.macs)
        self.assertEqual(by_name.at(n=20).macs, multiple.at(k=5).macs)
        self.assertTrue(any("n mod 4 = 0" in note for note in by_name.notes), by_name.notes)
        plain = opledger.count(Adds(), (x, x), dynamic={name: {2: torch.export.Dim("n")} for name in "xy"})
        self.assertEqual(plain.at(n=7).flops, 2 * 3 * 7)
        with self.assertRaisesRegex(opledger.ExportError, "dimension 2 of `x` is 12, which is no 5\\*k"):
            opledger.count(Halves(), (x,), dynamic={"x": {2: 5 * k}})

    def test_sizes_have_the_names_they_are_given(self):
        x = torch.randn(3, 5, 32)
        for names in [("b", "n"), ("n", "b"), ("batch", "tokens")]:
            r = opledger.count(encoder(), (x,), dynamic={"src": {0: names[0], 1: names[1]}})
            b, n = names
            self.assertEqual(r.sizes, {b: 3, n: 5})
            self.assertEqual(r.formula("macs"), f"64·{b}·{n}² + 8192·{b}·{n}")
            self.assertEqual(r.macs, 64 * 3 * 25 + 8192 * 15)
            self.assertEqual(r.at(**{b: 8, n: 4096}).macs, r.formula("macs")(**{b: 8, n: 4096}))
            self.assertEqual(r.params, sum(p.numel() for p in encoder().parameters()))

    def test_without_names_what_is_free_is_found(self):
        free = opledger.count(encoder(), (torch.randn(3, 5, 32),))
        self.assertEqual((free.sizes, free.notes), ({"b": 3, "n": 5}, ()))
        fixed = opledger.count(Block(), (torch.randn(3, 5, 8),))
        self.assertEqual(fixed.sizes, {"b": 3})
        self.assertEqual(fixed.notes, ("dimension 1 of `x` is fixed at 5",))
        self.assertEqual(fixed.formula("macs"), "320·b")

    def test_an_example_of_one_stands_for_any_size(self):
        for dynamic in [None, {"src": {0: "b", 1: "n"}}]:
            r = opledger.count(encoder(), (torch.randn(1, 1, 32),), dynamic=dynamic)
            self.assertEqual(r.sizes["b"], 1)
            self.assertEqual(r.macs, r.formula("macs")(**r.sizes))
            self.assertIn("b", r.symbols)
            if dynamic:
                self.assertEqual(r.at(b=7, n=9).macs, 64 * 7 * 81 + 8192 * 63)

    def test_modules_have_the_users_names_and_classes(self):
        r = opledger.count(encoder(), (torch.randn(3, 5, 32),))
        classes = {m.path: m.type for m in r.by_module(1)}
        self.assertEqual(classes["linear1"], "Linear")
        self.assertEqual(classes["self_attn"], "MultiheadAttention")
        self.assertEqual(sum(m.flops for m in r.by_module()), r.flops)
        self.assertIn("MultiheadAttention", repr(r))
        # The attention computes with the parameters of its `out_proj`, which nobody calls.
        params = {m.path: m.params for m in r.by_module()}
        self.assertNotIn("self_attn.out_proj", params)
        attention = encoder().self_attn
        self.assertEqual(params["self_attn"], sum(p.numel() for p in attention.parameters()))
        self.assertEqual(sum(params.values()), r.params)

    def test_a_size_that_is_another_may_be_given_under_both_names(self):
        decoder = nn.TransformerDecoderLayer(8, 2, 16, batch_first=True)
        r = opledger.count(decoder, (torch.zeros(2, 5, 8), torch.zeros(2, 6, 8)))
        self.assertIn("holds where memory_0 = b", r.notes)
        self.assertEqual(r.macs, r.at(memory_0=2).macs)
        self.assertEqual(r.at(b=3, memory_0=3).macs, r.formula("macs")(b=3, n=5, memory_1=6))
        with self.assertRaisesRegex(opledger.OpledgerError, "memory_0 = b"):
            r.at(b=3, memory_0=2).macs

    def test_what_has_no_class_says_what_to_do(self):
        class Draws(nn.Module):
            def forward(self, x):
                return x + torch.randn_like(x)

        with self.assertRaisesRegex(opledger.OpledgerError, "make the random numbers an input"):
            opledger.count(Draws(), (torch.zeros(2, 4),))

    def test_sums_of_nothing_are_counted(self):
        class Nothing(nn.Module):
            def __init__(self):
                super().__init__()
                self.bias = nn.Parameter(torch.zeros(5))

            def forward(self, x):
                none = x[:, :0]
                product = nn.functional.linear(none, x.new_zeros(5, 0), self.bias)
                return product + torch.bmm(x.new_zeros(1, 3, 0), x.new_zeros(1, 0, 5)), none.softmax(-1), none.sum(1)

        r = opledger.count(Nothing(), (torch.zeros(3, 4),))
        # The bias, and the sum of both products.
        self.assertEqual((r.macs, r.flops), (0, 15 + 15))
        self.assertEqual(r.convention("torch-flop-counter"), 0)

    def test_equal_layers_are_one_whatever_their_numbers_follow(self):
        class Layers(nn.Module):
            def __init__(self):
                super().__init__()
                self.layers = nn.Sequential()
                for at in range(3):
                    self.layers.add_module(f"layer_{at}", nn.Sequential(nn.Linear(8, 24), nn.Linear(24, 8)))

            def forward(self, x):
                return self.layers(x)

        r = opledger.count(Layers(), (torch.zeros(2, 8),))
        classes = {m.path: m.type for m in r.by_module()}
        self.assertEqual(classes, {"layers.layer_*.0": "Linear", "layers.layer_*.1": "Linear"})

    def test_lines_are_those_of_the_module(self):
        class Twice(nn.Module):
            def __init__(self):
                super().__init__()
                self.up, self.down = nn.Linear(8, 32), nn.Linear(32, 8)

            def forward(self, x):
                y = self.up(x).tanh()
                for _ in range(3):
                    y = self.up(self.down(y))
                return y

        r = opledger.count(Twice(), (torch.zeros(3, 5, 8),), dynamic={"x": {0: "b", 1: "n"}})
        lines = r.by_line()
        self.assertEqual([line.text for line in lines], ["y = self.up(self.down(y))", "y = self.up(x).tanh()"])
        self.assertEqual([line.macs for line in lines], [3 * 2 * 256 * 15, 256 * 15])
        self.assertEqual(sum(line.flops for line in lines), r.flops)
        self.assertEqual(lines[0].file, __file__)
        self.assertEqual(len(r.at(b=1, n=1).by_line()), 2)

    def test_shared_parameters_are_counted_once(self):
        for device in ["cpu", "meta"]:
            with torch.device(device):
                model = Tied()
            model.head.weight = model.table.weight
            r = opledger.count(model, (torch.zeros(2, 3, dtype=torch.long),))
            self.assertEqual(r.params, 44)

    def test_tools_that_walk_names_count_a_module_for_each(self):
        class Named(nn.Module):
            def __init__(self):
                super().__init__()
                self.own = nn.Linear(8, 8)
                self.all = nn.ModuleList([self.own])

            def forward(self, x):
                return self.own(self.all[0](x))

        r = opledger.count(Named(), (torch.zeros(2, 9, 8),))
        # What the tools print (crates/torch/tests/archives/printed.json; thop by itself).
        for tool, printed in {"thop": 9216, "ptflops": 5184, "calflops": 9216, "fvcore": 2304}.items():
            self.assertEqual(r.convention(tool), printed)

    def test_differences_of_tools_are_accounted_for(self):
        r = opledger.count(encoder(), (torch.randn(3, 5, 32),))
        for tool in ["fvcore", "thop", "torch-flop-counter"]:
            explained = r.explain(tool)
            self.assertEqual(explained.totals[0], r.convention(tool))
            self.assertEqual(explained.unaccounted, 0)
            self.assertEqual(sum(line.difference for line in explained.lines), explained.difference)

    def test_arguments_may_be_nested(self):
        class Nested(nn.Module):
            def forward(self, inputs, *others, **named):
                return inputs["a"] + inputs["b"][0] + others[0] * named["scale"]

        x = torch.randn(3, 5, 8)
        r = opledger.count(Nested(), ({"a": x, "b": [x]}, x), {"scale": 2.0})
        self.assertEqual(r.sizes, {"b": 3, "n": 5})
        self.assertEqual(r.formula("add"), "16·b·n")

    def test_a_mask_that_is_given_is_counted(self):
        class Padded(nn.Module):
            def forward(self, x, seen):
                scores = (x @ x.mT).masked_fill(~seen[:, None, :], float("-inf"))
                return scores.softmax(-1) @ x

        x, seen = torch.zeros(2, 5, 8), torch.arange(5) < torch.tensor([[5], [3]])
        r = opledger.count(Padded(), {"x": x, "seen": seen})
        self.assertEqual(r.macs, 2 * 8 * 5 * (5 + 3))
        self.assertIn("pairs=40", repr(r))
        # At other sizes what it leaves is not known: formulas are shown, and tools look into no mask.
        other = r.at(n=7)
        self.assertIn("16·pairs", repr(other))
        self.assertEqual(other.convention("torch-flop-counter"), 2 * 2 * 2 * 7 * 7 * 8)
        with self.assertRaisesRegex(opledger.OpledgerError, "pairs"):
            other.macs
        self.assertEqual(other.at(pairs=98, rows=14).macs, 16 * 98)

    def test_a_mask_on_meta_has_no_elements_until_it_is_given_some(self):
        class Masked(nn.Module):
            def __init__(self, mask):
                super().__init__()
                self.map = nn.Linear(16, 16)
                self.register_buffer("mask", mask)

            def forward(self, x):
                y, mask = self.map(x), self.mask[: x.shape[1], : x.shape[1]]
                scores = y @ y.mT
                hides = mask.dtype == torch.bool
                scores = scores.masked_fill(~mask, float("-inf")) if hides else scores + mask
                return scores.softmax(-1) @ y

        x, seen = torch.zeros(2, 8, 16), torch.ones(12, 12).tril().bool()
        for mask in (seen, torch.zeros(12, 12).masked_fill(~seen, float("-inf"))):
            known = opledger.count(Masked(mask), (x,))
            with torch.device("meta"):
                model = Masked(mask.to("meta"))
            unknown = opledger.count(model, (x,))
            self.assertRegex("\n".join(unknown.notes), r"what `mask` may hide .*model\.mask = …")
            if mask.dtype == torch.bool:
                with self.assertRaisesRegex(opledger.OpledgerError, r"model\.mask = …"):
                    unknown.macs
            model.mask = mask
            given = opledger.count(model, (x,))
            self.assertEqual((given.macs, given.notes), (known.macs, known.notes))
            self.assertIs(model.mask, mask)

    def test_the_model_is_left_as_it_was(self):
        model = encoder().train()
        model.norm1.eval()
        opledger.count(model, (torch.randn(3, 5, 32),))
        self.assertTrue(model.training and model.linear1.training)
        self.assertFalse(model.norm1.training)

    def test_other_arguments_keep_their_places(self):
        ids = torch.zeros(2, 3, dtype=torch.long)
        for args, kwargs in [((ids, 2.0), {}), ((ids,), {"scale": 2.0}), ((), {"scale": 2.0, "ids": ids})]:
            r = opledger.count(Tied(), args, kwargs, dynamic={"ids": {1: "n"}})
            self.assertEqual(r.sizes, {"n": 3})

    def test_no_memory_is_taken_on_meta(self):
        with torch.device("meta"):
            model = nn.Linear(1 << 20, 1 << 20)
        r = opledger.count(model, (torch.empty(2, 1 << 20, device="meta"),))
        self.assertEqual(r.params, (1 << 40) + (1 << 20))
        self.assertEqual(r.macs, 2 << 40)

    def test_what_is_written_is_what_pytorch_writes(self):
        import json
        import zipfile

        from torch._export.serde.serialize import serialize

        program = torch.export.export(encoder().eval(), (torch.randn(3, 5, 32),))
        counted = opledger.count(program)
        path = counted._source.text
        with zipfile.ZipFile(path) as archive:
            ours = next(n for n in archive.namelist() if "/models/" in n)
            self.assertEqual(json.loads(archive.read(ours)), json.loads(serialize(program).exported_program))
            self.assertTrue(all(i.compress_type == zipfile.ZIP_STORED for i in archive.infolist()))

    def test_no_time_goes_to_a_canonical_form_that_nobody_reads(self):
        from unittest import mock

        from torch._export.serde import serialize

        with mock.patch.object(serialize, "canonicalize", side_effect=AssertionError("made")) as canonicalize:
            self.assertEqual(opledger.count(nn.Linear(5, 5), (torch.zeros(3, 5),)).macs, 75)
        canonicalize.assert_not_called()

    def test_an_exported_program(self):
        d = torch.export.Dim.DYNAMIC
        program = torch.export.export(
            encoder().eval(), (torch.randn(3, 5, 32),), dynamic_shapes=({0: d, 1: d},)
        )
        self.assertEqual(opledger.count(program).formula("macs"), "64·b·n² + 8192·b·n")

    def test_assertions(self):
        opledger.assert_flops(encoder(), (torch.randn(3, 5, 32),), "macs == 127680")
        with self.assertRaisesRegex(AssertionError, "counted 127,680"):
            opledger.assert_flops(encoder(), (torch.randn(3, 5, 32),), "macs < 127680")


class Refused(unittest.TestCase):
    def refusal(self, model, args, dynamic=None):
        with self.assertRaises(opledger.ExportError) as caught:
            opledger.count(model, args, dynamic=dynamic)
        return str(caught.exception)

    def test_a_size_that_is_fixed_is_named_with_its_line(self):
        for size in [5, 1]:
            refusal = self.refusal(Block(), (torch.randn(3, size, 8),), {"x": {0: "b", 1: "n"}})
            if size == 5:
                self.assertIn("works for n = 5 alone (dimension 1 of `x`)", refusal)
            self.assertIn(line_of(Block, ".view("), refusal)

    def test_a_decision_by_values_is_shown(self):
        refusal = self.refusal(Decides(), (torch.randn(3, 5),))
        self.assertIn(line_of(Decides, "if x.sum()"), refusal)
        self.assertIn("torch.where", refusal)

    def test_a_branch_by_a_size_is_shown(self):
        class Chooses(nn.Module):
            def __init__(self, by):
                super().__init__()
                self.by = by

            def forward(self, x):
                return torch.cond(self.by(x), lambda x: x + 1, lambda x: x * 2, (x,))

        for by, told in [(lambda x: x.shape[0] > 3, "depends on sizes"), (lambda x: x.sum() > 3, "depends on the data")]:
            with self.assertRaisesRegex(opledger.OpledgerError, told):
                opledger.count(Chooses(by), (torch.zeros(5, 4),), dynamic={"x": {0: "b"}})

    def test_numpy_is_shown(self):
        self.assertIn(line_of(Leaves, "numpy()"), self.refusal(Leaves(), (torch.randn(3, 5),)))

    def test_one_size_has_one_name(self):
        pair = (torch.randn(3, 8), torch.randn(3, 8))
        refusal = self.refusal(Adds(), pair, {"x": {0: "b"}, "y": {0: "c"}})
        self.assertIn("b and c are one size in this model", refusal)
        refusal = self.refusal(Adds(), (torch.randn(3, 8), torch.randn(4, 8)), {"x": {0: "b"}, "y": {0: "b"}})
        self.assertIn("b is 3 in dimension 0 of `x` and 4 in dimension 0 of `y`", refusal)

    def test_a_call_that_does_not_fit(self):
        self.assertIn("needs example inputs", self.refusal(encoder(), ()))
        self.assertIn("is not called so", self.refusal(Adds(), (torch.randn(3),)))
        x = torch.randn(3, 8)
        self.assertIn("no argument of the call; there are x, y", self.refusal(Adds(), (x, x), {"z": {0: "b"}}))
        self.assertIn("none of index 2", self.refusal(Adds(), (x, x), {"x": {2: "b"}}))
        self.assertIn("no name of a size", self.refusal(Adds(), (x, x), {"x": {0: "2b"}}))
        self.assertIn("Linear", self.refusal(nn.Linear(4, 4), (torch.randn(3, 5),)))


class Transformers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        try:
            import transformers
        except ImportError:
            raise unittest.SkipTest("transformers is not installed") from None
        cls.transformers = transformers

    def gpt2(self):
        t = self.transformers
        return t.GPT2LMHeadModel(
            t.GPT2Config(
                vocab_size=99, n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=0
            )
        )

    def test_a_model_needs_no_inputs(self):
        model = self.gpt2()
        r = opledger.count(model)
        self.assertEqual(r.sizes, {})
        self.assertEqual(r.params, sum(p.numel() for p in model.parameters()))
        with self.assertRaisesRegex(opledger.OpledgerError, "has positions for 1024; give fewer"):
            r.at(n=2000).macs

    def test_a_model_and_its_configuration_agree(self):
        model = self.gpt2()
        self.assertEqual(opledger.count(model).formula("macs"), opledger.count(model.config).formula("macs"))

    def test_a_cache_is_counted_by_the_configuration(self):
        model, ids = self.gpt2(), torch.zeros(2, 6, dtype=torch.long)
        for more in [{"use_cache": True}, {"past_key_values": self.transformers.DynamicCache()}]:
            with self.assertRaisesRegex(opledger.ExportError, r"it returns a `DynamicCache`(.|\n)*\.at\(n=1, p=128\)"):
                opledger.count(model, {"input_ids": ids, **more})
        self.assertGreater(opledger.count(model.config).at(n=1, p=128).macs, 0)

    def test_a_bound_by_positions_is_kept(self):
        t = self.transformers
        config = t.BertConfig(
            vocab_size=99, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4
        )
        ids = torch.zeros(2, 6, dtype=torch.long)
        r = opledger.count(t.BertModel(config), (ids,), dynamic={"input_ids": {0: "b", 1: "n"}})
        self.assertEqual(r.notes, ("holds where n ≤ 512",))
        self.assertGreater(r.at(n=512).macs, 0)
        with self.assertRaisesRegex(opledger.OpledgerError, "n = 513, and `BertModel` has positions for 512"):
            r.at(n=513).macs


class FormulasOfModules(unittest.TestCase):
    def test_a_layer_of_several_that_are_equal_has_its_own(self):
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        model = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
        r = opledger.count(model, (torch.zeros(2, 5, 16),), dynamic={"src": {0: "b", 1: "n"}})
        for quantity in ("flops", "macs", "params", "exp"):
            layers = [r.formula(quantity, module=f"layers.{at}") for at in range(3)]
            self.assertEqual(sum(layers, opledger.Formula("0")), r.formula(quantity, module="layers"))
            self.assertEqual(r.formula(quantity, module="layers"), r.formula(quantity))
        self.assertEqual(r.formula("macs", module="layers.1.linear1"), "512·b·n")
        self.assertEqual(r.formula("macs", module="layers.1.linear1")(b=2, n=5), 5120)
        with self.assertRaisesRegex(opledger.OpledgerError, "there is no module `layers.3`"):
            r.formula("macs", module="layers.3")


if __name__ == "__main__":
    unittest.main()
