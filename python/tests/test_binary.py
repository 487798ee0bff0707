"""What needs no PyTorch."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
import zipfile
from fractions import Fraction
from pathlib import Path
from unittest import mock

import opledger
from opledger import _binary
from opledger._formula import Formula

ROOT = Path(os.environ.get("OPLEDGER_REPOSITORY", Path(__file__).parents[2]))
ARCHIVE = ROOT / "crates/torch/tests/archives/encoder_layer.pt2"


class Formulas(unittest.TestCase):
    def test_values_are_exact(self):
        formula = Formula("-3·b·n¹² + 1/2·b·n² - 1/2·b·n + 7")
        self.assertEqual(formula(b=3, n=10), -9 * 10**12 + 3 * 45 + 7)
        self.assertEqual(list(formula.symbols), ["b", "n"])
        self.assertEqual(formula.terms[(("b", 1), ("n", 2))], Fraction(1, 2))
        self.assertEqual(str(formula), "-3·b·n¹² + 1/2·b·n² - 1/2·b·n + 7")

    def test_no_whole_number_and_missing_sizes_are_refused(self):
        with self.assertRaisesRegex(opledger.OpledgerError, "no whole number"):
            Formula("1/2·n")(n=3)
        with self.assertRaisesRegex(opledger.OpledgerError, "b of `2·b·n` has no size"):
            Formula("2·b·n")(n=3)

    def test_equality_is_of_terms(self):
        self.assertEqual(Formula("2·b·n + 1"), Formula("1 + 2·n·b"))
        self.assertEqual(Formula("0"), 0)
        self.assertFalse(Formula("0"))
        self.assertNotEqual(Formula("2·b·n"), "2·b·n²")
        self.assertEqual(hash(Formula("b·n")), hash(Formula("n·b")))

    def test_sums(self):
        total = Formula.sum([Formula("2·b·n² - b"), Formula("b + 3·n²·b"), Formula("4")])
        self.assertEqual(str(total), "5·b·n² + 4")


class Counts(unittest.TestCase):
    def test_formula_and_numbers_agree(self):
        for model in ["mha:c=512,h=8", "mistral-7b", "gpt2"]:
            counted = opledger.count(model)
            for sizes in [{"b": 1, "n": 7}, {"b": 3, "n": 1000}]:
                at = counted.at(**sizes)
                for quantity in ["macs", "flops", "exp", "bytes_read", "params"]:
                    value = counted.formula(quantity)(**sizes)
                    self.assertIs(type(value), int)
                    self.assertEqual(value, at.formula(quantity)(**sizes))
                self.assertEqual(counted.formula("macs")(**sizes), at.macs)
                self.assertEqual(counted.formula("flops")(**sizes), at.flops)
                self.assertEqual(counted.formula("params")(**sizes), at.params)
                self.assertEqual(at.matmul_flops, 2 * at.macs)

    def test_modules_add_up_at_every_depth(self):
        counted = opledger.count("gpt2")
        for at in [counted, counted.at(n=16)]:
            whole = at.macs if at.sizes else counted.formula("macs")
            for depth in [None, 1, 2, 3]:
                modules = at.by_module(depth)
                values = [m.macs for m in modules]
                total = sum(values) if at.sizes else Formula.sum(v for v in values)
                self.assertEqual(total, whole)
                self.assertEqual(sum(map(_params, modules)), 124439808)
        self.assertEqual([m.path for m in counted.by_module(1)], ["transformer", "lm_head"])
        second = ["transformer.wte", "transformer.wpe", "transformer.h", "transformer.ln_f", "lm_head"]
        self.assertEqual([m.path for m in counted.by_module(2)], second)

    def test_trainable_parameters_are_those_of_the_formula(self):
        counted = opledger.count("gpt2").at(n=8)
        self.assertEqual(counted.trainable, counted.params)
        self.assertEqual(counted.trainable, 124439808)

    def test_tools_that_agree_say_so(self):
        counted = opledger.count("linear:in=8,out=8,bias=false").at(b=1, n=4)
        self.assertIn("both print 256", repr(counted.explain("fvcore", "macs")))

    def test_lines_of_source_add_up(self):
        for model in ["gpt2", ARCHIVE]:
            counted = opledger.count(model).at(b=2, n=16)
            lines = counted.by_line()
            self.assertEqual(sum(line.macs for line in lines), counted.macs)
            self.assertEqual(sum(line.flops for line in lines), counted.flops)
            self.assertEqual([line.flops for line in lines], sorted((line.flops for line in lines), reverse=True))
            self.assertTrue(all(line.number > 0 and line.file.endswith((".rs", ".py")) for line in lines))
            self.assertIn("share", repr(lines))

    def test_what_is_missing_is_said_in_python(self):
        with self.assertRaisesRegex(opledger.OpledgerError, r"no size for n; give it with \.at\(n=…\)"):
            opledger.count("gpt2").macs
        with self.assertRaisesRegex(opledger.OpledgerError, r"\.at\(b=…, n=…, h=…, c=…\)"):
            opledger.count("mha").macs
        with self.assertRaisesRegex(opledger.OpledgerError, "did you mean `gpt2`"):
            opledger.count("gpt3x")
        with self.assertRaisesRegex(opledger.OpledgerError, "`z` is no size"):
            opledger.count("gpt2").at(z=3).macs
        with self.assertRaisesRegex(opledger.OpledgerError, "there is no quantity `flop`"):
            opledger.count("gpt2").formula("flop")
        with self.assertRaisesRegex(opledger.OpledgerError, "no model"):
            opledger.count(3)
        with self.assertRaisesRegex(opledger.OpledgerError, "belong to a torch.nn.Module"):
            opledger.count("gpt2", (1,))
        with self.assertRaisesRegex(opledger.OpledgerError, "n is 2.5, and a size is a whole number"):
            opledger.count("gpt2").at(n=2.5)

    def test_an_archive_a_configuration_and_a_dict(self):
        archive = opledger.count(ARCHIVE)
        self.assertEqual(archive.symbols, ("b", "n"))
        self.assertEqual(archive.formula("macs"), "64·b·n² + 8192·b·n")
        config = {"model_type": "gpt2", "n_embd": 48, "n_head": 4, "n_layer": 2, "vocab_size": 99, "n_positions": 64}
        by_dict = opledger.count(config, sizes={"n": 8})
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "config.json"
            path.write_text(json.dumps(config))
            self.assertEqual(opledger.count(path, sizes={"n": 8}).flops, by_dict.flops)

    def test_sizes_beyond_those_of_an_export_are_refused(self):
        bounded = opledger.count(ROOT / "tests/programs/bert.pt2").at(b=1, pairs=9, rows=6)
        self.assertIn("holds where n ≤ 30", bounded.notes)
        self.assertGreater(bounded.at(n=30).macs, 0)
        for ask in [lambda c: c.macs, lambda c: c.convention("fvcore"), lambda c: c.explain("thop")]:
            with self.assertRaisesRegex(opledger.OpledgerError, "holds where n ≤ 30, and not at n=31"):
                ask(bounded.at(n=31))

    def test_what_is_not_known_is_left_out_when_asked(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "unknown.pt2"
            with zipfile.ZipFile(ARCHIVE) as old, zipfile.ZipFile(path, "w") as new:
                for name in old.namelist():
                    new.writestr(name, old.read(name).replace(b"aten.relu.default", b"aten.relu9.default"))
            with self.assertRaisesRegex(opledger.OpledgerError, "aten.relu9(.|\n)*partial"):
                opledger.count(path)
            r = opledger.count(path, partial=True)
            self.assertRegex("\n".join(r.notes), r"a lower bound: `aten\.relu9\.default` in .* is not counted \(1 calls\)")
            self.assertEqual(r.formula("max"), Formula.sum([opledger.count(ARCHIVE).formula("max"), Formula("-64·b·n")]))
            self.assertIn("a lower bound", repr(r))

    def test_integers_do_not_overflow(self):
        macs = opledger.count("mha:c=512,h=8").at(b=1, n=10**30).macs
        self.assertIs(type(macs), int)
        self.assertGreater(macs, 2**150)


def _params(module):
    return module.params if isinstance(module.params, int) else module.params()


class Tools(unittest.TestCase):
    def test_a_difference_is_accounted_for(self):
        explained = opledger.count("gpt2", sizes={"n": 16}).explain("fvcore")
        self.assertEqual(explained.conventions[1], "macs")
        self.assertEqual(explained.totals[0] - explained.totals[1], explained.difference)
        self.assertEqual(sum(line.difference for line in explained.lines), explained.difference)
        self.assertEqual(explained.unaccounted, 0)
        self.assertIn("not counted by fvcore", repr(explained))
        self.assertIn("<table>", explained._repr_html_())

    def test_a_tool_counts_in_its_own_unit(self):
        counted = opledger.count("gpt2", sizes={"n": 16})
        self.assertEqual(counted.explain("torch-flop-counter").conventions[1], "matmul-flops")
        self.assertEqual(counted.explain("thop", "fvcore").totals[0], counted.convention("thop"))


class Assertions(unittest.TestCase):
    def test_they_hold_or_fail(self):
        counted = opledger.assert_flops("gpt2", "params == 124439808", sizes={"n": 16})
        self.assertEqual(counted.params, 124439808)
        with self.assertRaisesRegex(AssertionError, "flops <= 2.5e9; counted 3,964,947,088"):
            opledger.assert_flops("gpt2", ["macs > 1", "flops <= 2.5e9"], sizes={"n": 16})
        with self.assertRaisesRegex(opledger.OpledgerError, "give an assertion"):
            opledger.assert_flops("gpt2", sizes={"n": 16})
        with self.assertRaises(opledger.OpledgerError):
            opledger.assert_flops("gpt2", "flops around 3", sizes={"n": 16})


class Shown(unittest.TestCase):
    def test_a_table_in_a_terminal(self):
        text = repr(opledger.count("gpt2", sizes={"n": 16}))
        self.assertTrue(text.startswith("gpt2 at n=16\n\nmodule "), text)
        self.assertRegex(text, r"total +124,439,808 +1,979,019,264 +3,964,947,088 +100\.0 %")
        self.assertIn("macs = 9216·b·n² + 123541248·b·n", text)

    def test_a_table_with_bars_in_a_notebook(self):
        html = opledger.count("gpt2", sizes={"n": 16})._repr_html_()
        self.assertIn("width:31.1%", html)
        self.assertNotIn("<script", html)

    def test_html_is_escaped(self):
        counted = opledger.count("gpt2", sizes={"n": 16})
        named = opledger.Count(
            opledger.Source("gpt2", "<script>"), {"n": 16}
        )
        self.assertIn("&lt;script&gt;", named._repr_html_())
        self.assertEqual(named.macs, counted.macs)

    def test_pandas(self):
        counted = opledger.count("gpt2", sizes={"n": 16})
        try:
            import pandas  # noqa: F401
        except ImportError:
            with self.assertRaisesRegex(opledger.OpledgerError, "pip install pandas"):
                counted.to_pandas()
            return
        frame = counted.to_pandas(1)
        self.assertEqual(frame["macs"].sum(), counted.macs)
        self.assertIs(type(frame["macs"].iloc[0]), int)


class Command(unittest.TestCase):
    def test_it_is_found(self):
        with mock.patch.dict(os.environ, {"OPLEDGER_BIN": "/no/such/file"}):
            with self.assertRaisesRegex(opledger.OpledgerError, "/no/such/file.*does not start"):
                opledger.count("gpt2")
        with mock.patch.dict(os.environ), mock.patch.object(_binary, "_installed", lambda: None):
            os.environ.pop("OPLEDGER_BIN", None)
            with self.assertRaisesRegex(opledger.OpledgerError, "is not installed"):
                _binary.command()

    def test_lists(self):
        self.assertIn("gpt2", [model["name"] for model in opledger.models()])
        self.assertIn("mha", [kind["name"] for kind in opledger.layers()])
        self.assertIn("fvcore@0.1.5", [one["name"] for one in opledger.conventions()])

    def test_torch_is_not_imported(self):
        code = "import sys, opledger; opledger.count('gpt2'); print('torch' in sys.modules)"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
        )
        self.assertEqual(done.stdout.strip(), "False")

    def test_texts_that_no_command_takes_are_refused(self):
        for text in ("a\0b", "\ud800", "--help", "--set"):
            with self.assertRaises(opledger.OpledgerError, msg=ascii(text)):
                opledger.count(text)
        with self.assertRaises(opledger.OpledgerError):
            opledger.count("gpt2").at(b=1, n=4).convention("fv\0core")


if __name__ == "__main__":
    unittest.main()
