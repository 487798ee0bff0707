"""Formulas: what they say, and in which forms."""

import os
import unittest

import opledger
from opledger._formula import Formula

WINDOW = Formula("8·b·wy·c² - 1/2·n + 3", ("wy = ⌈height / 7⌉; wx = ⌈width / 7⌉", "c = h·e"), meanings={"b": "the batch"})


class Shown(unittest.TestCase):
    def test_definitions_are_part_of_the_text(self):
        self.assertEqual(str(WINDOW), "8·b·wy·c² - 1/2·n + 3, where wy = ⌈height / 7⌉; c = h·e")
        self.assertEqual(f"{WINDOW}", repr(WINDOW))
        self.assertEqual(WINDOW.text, "8·b·wy·c² - 1/2·n + 3")
        self.assertEqual(str(opledger.count("gpt2").formula("macs")), "9216·b·n² + 123541248·b·n")

    def test_symbols_say_what_they_count(self):
        self.assertEqual(WINDOW.symbols, {"b": "the batch", "c": "h·e", "n": "", "wy": "⌈height / 7⌉"})
        self.assertEqual((WINDOW + WINDOW).symbols, WINDOW.symbols)

    def test_in_latex(self):
        self.assertEqual(WINDOW.latex(), r"8 \, b \, \mathrm{wy} \, c^{2} - \frac{1}{2} \, n + 3")
        self.assertEqual(Formula("-b·taps_2").latex(), r"-b \, \mathrm{taps}_{\mathrm{2}}")
        self.assertEqual(Formula("0").latex(), "0")
        self.assertEqual(Formula("n").latex(), Formula("n")._repr_latex_().strip("$"))

    def test_in_sympy(self):
        try:
            import sympy
        except ImportError:
            with self.assertRaisesRegex(opledger.OpledgerError, "pip install sympy"):
                WINDOW.sympy()
            return
        b, n, c, wy = (sympy.Symbol(name, integer=True, nonnegative=True) for name in ("b", "n", "c", "wy"))
        self.assertEqual(WINDOW.sympy(), 8 * b * wy * c**2 - n / 2 + 3)
        self.assertEqual(Formula("0").sympy(), 0)
        formula = opledger.count("gpt2").formula("flops")
        at = {symbol: {"b": 2, "n": 16}[symbol.name] for symbol in formula.sympy().free_symbols}
        self.assertEqual(formula.sympy().subs(at), formula(b=2, n=16))


class Names(unittest.TestCase):
    def test_the_nearest_name_is_told(self):
        r = opledger.count("gpt2", sizes={"n": 16})
        for ask, told in [
            (lambda: r.formula("flop"), "no quantity `flop`; did you mean `flops`?"),
            (lambda: opledger.assert_flops("gpt2", "flop <= 3", sizes={"n": 16}), "no quantity `flop`; did you mean `flops`?"),
            (lambda: opledger.assert_flops("gpt2", "parameters > 3", sizes={"n": 16}), "did you mean `params`?"),
            (lambda: opledger.assert_flops("gpt2", "params = 3", sizes={"n": 16}), "assertion `params = 3`: expected one of <"),
            (lambda: r.convention("fvcor"), "no convention `fvcor`; did you mean `fvcore`?"),
        ]:
            with self.assertRaises(opledger.OpledgerError) as caught:
                ask()
            self.assertIn(told, str(caught.exception))
            self.assertLess(len(str(caught.exception).split("\n")[0]), 300)

    def test_names_are_written_as_attributes_are(self):
        for name in ("matmul_flops", "matmul-flops", "bytes_read", "torch_flop_counter"):
            opledger.assert_flops("gpt2", f"{name} > 3", sizes={"n": 16})
        r = opledger.count("gpt2", sizes={"n": 16})
        self.assertEqual(r.convention("torch_flop_counter"), r.convention("torch-flop-counter"))
        self.assertEqual(r.explain("flops", "matmul_flops").conventions, ("flops", "matmul-flops"))

    def test_a_quantity_is_no_convention(self):
        r = opledger.count("gpt2", sizes={"n": 16})
        for name in ("macs", "matmul_flops"):
            with self.assertRaisesRegex(opledger.OpledgerError, r"is our own count, and is explained beside another: r\.explain"):
                r.explain(name)
        for ask in (r.explain, r.convention, lambda name: r.explain("fvcore", name)):
            for name in ("params", "bytes_read", "exp"):
                with self.assertRaisesRegex(opledger.OpledgerError, rf'is a quantity and no convention of a tool: r\.formula\("{name}"\)'):
                    ask(name)
        self.assertEqual(r.explain("flops").totals, (r.flops, r.matmul_flops))


class Module(unittest.TestCase):
    def test_symbols_of_a_module_are_dimensions_of_its_inputs(self):
        try:
            import torch
        except ImportError:
            if os.environ.get("OPLEDGER_TORCH") == "1":
                raise
            self.skipTest("torch is not installed")
        x = torch.zeros(2, 5, 8)
        r = opledger.count(torch.nn.Bilinear(8, 8, 3), (x, x), dynamic={name: {0: "b", 1: "n"} for name in ("input1", "input2")})
        told = {"b": "dimension 0 of `input1`, dimension 0 of `input2`", "n": "dimension 1 of `input1`, dimension 1 of `input2`"}
        self.assertEqual(r.formula("macs").symbols, told)
        self.assertEqual(opledger.Count(r._source, {}).by_module()[0].macs.symbols, told)


if __name__ == "__main__":
    unittest.main()
