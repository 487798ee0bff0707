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

    def test_what_stands_in_a_definition_is_defined_as_well(self):
        texts = (
            "q = ⌈n / 4⌉",
            "m = min(q, 8)",
            "pairs = number of (i, j) with i < q, j < m, i - w < j ≤ i; rows = number of i with such a j",
            "w = h·e",
            "other = ⌈n / 2⌉",
        )
        needed = ("q = ⌈n / 4⌉", "m = min(q, 8)", texts[2].split("; ")[0], "w = h·e")
        self.assertEqual(Formula("2·pairs", texts).definitions, needed)
        self.assertEqual(Formula("rows", texts).definitions, (*needed[:3], texts[2].split("; ")[1], needed[3]))
        self.assertEqual(Formula("m + 1", texts).definitions, needed[:2])
        self.assertEqual((Formula("m", texts) + Formula("w", texts)).definitions, (*needed[:2], needed[3]))
        self.assertIn("; m = min(q, 8); ", str(Formula("2·pairs", texts)))

    def test_in_latex(self):
        self.assertEqual(WINDOW.latex(definitions=False), r"8 \, b \, \mathrm{wy} \, c^{2} - \frac{1}{2} \, n + 3")
        where = r", \quad \text{where } \mathrm{wy} = \left\lceil \mathrm{height} / 7\right\rceil, \; c = h \, e"
        self.assertEqual(WINDOW.latex(), WINDOW.latex(definitions=False) + where)
        self.assertIn(r"\mathrm{met} = \min\left(8, 2 \, n\right)", Formula("met", ("met = min(8, 2·n)",)).latex())
        pairs = Formula("pairs", ("pairs = number of (i, j) with i < n, j < n, i - 4 < j ≤ i; rows = number of i with such a j",))
        self.assertIn(r"\#\left\{(i, j) \mid i < n, j < n, i - 4 < j \le i\right\}", pairs.latex())
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
        self.assertEqual(WINDOW.sympy(definitions=False), 8 * b * wy * c**2 - n / 2 + 3)
        height, h, e = (sympy.Symbol(name, integer=True, nonnegative=True) for name in ("height", "h", "e"))
        self.assertEqual(WINDOW.sympy(), 8 * b * sympy.ceiling(height / 7) * (h * e) ** 2 - n / 2 + 3)
        self.assertEqual(Formula("0").sympy(), 0)
        formula = opledger.count("gpt2").formula("flops")
        at = {symbol: {"b": 2, "n": 16}[symbol.name] for symbol in formula.sympy().free_symbols}
        self.assertEqual(formula.sympy().subs(at), formula(b=2, n=16))


class Defined(unittest.TestCase):
    """Symbols that are defined are put in, and give what a count at the same sizes gives."""

    def test_pairs_of_a_mask_are_those_that_are_counted_one_by_one(self):
        sympy = self.sympy()
        for text, holds in [
            ("number of (i, j) with i < n, j < n + p, j ≤ i + p", lambda i, j, n, p: j <= i + p),
            ("number of (i, j) with i < n, j < n + p, i + p - w < j ≤ i + p", lambda i, j, n, p: i + p - 3 < j <= i + p),
            ("number of (i, j) with i < n, j < n + p, w·⌊(i + p) / w⌋ ≤ j ≤ i + p", lambda i, j, n, p: 3 * ((i + p) // 3) <= j <= i + p),
            ("number of (i, j) with i < n, j < n + p, 0 ≤ 2·i + 3·j - 1 < n", lambda i, j, n, p: 0 <= 2 * i + 3 * j - 1 < n),
        ]:
            formula = Formula("pairs + 100·rows", (f"pairs = {text}; rows = number of i with such a j",))
            for n in (1, 2, 5, 9):
                for p in (0, 1, 4):
                    pairs = [(i, j) for i in range(n) for j in range(n + p) if holds(i, j, n, p)]
                    at = {one: {"n": n, "p": p, "w": 3}[one.name] for one in formula.sympy().free_symbols}
                    self.assertEqual(formula.sympy().subs(at).doit(), len(pairs) + 100 * len({i for i, _ in pairs}), text)
        common = Formula("common", ("common = gcd(n, 6)",)).sympy()
        self.assertEqual(common.subs(sympy.Symbol("n", integer=True, nonnegative=True), 4), 2)

    def test_formulas_of_models_are_what_is_counted(self):
        self.sympy()
        for model, sizes in [
            ("mistral-7b", {"b": 1, "n": 40}),
            ("swin-t", {"b": 2}),
            ("mha:c=8,h=2,mask=causal", {"b": 2, "n": 7}),
        ]:
            r = opledger.count(model)
            expression = r.formula("flops").sympy()
            at = {one: sizes[one.name] for one in expression.free_symbols}
            self.assertEqual(expression.subs(at).doit(), r.at(**sizes).flops, model)

    def sympy(self):
        try:
            import sympy
        except ImportError:
            self.skipTest("sympy is not installed")
        return sympy


class Modules(unittest.TestCase):
    QUANTITIES = ("macs", "flops", "matmul_flops", "params", "bytes_read", "bytes_written", "exp")

    def test_formulas_of_modules_add_up_to_the_whole(self):
        for model in ("gpt2", "mistral-7b", "swin-t", "mha:c=512,h=8"):
            r = opledger.count(model)
            for quantity in self.QUANTITIES:
                self.assertEqual(r.formula(quantity, module=""), r.formula(quantity), (model, quantity))
                first = [m.path for m in r.by_module(depth=1)]
                parts = sum((r.formula(quantity, module=path) for path in first if path), Formula("0"))
                own = sum((m.flops for m in r.by_module(depth=1) if not m.path), Formula("0"))
                if quantity == "flops":
                    self.assertEqual(parts + own, r.formula(quantity), model)

    def test_a_formula_of_a_module_is_called_with_sizes(self):
        r = opledger.count("mistral-7b")
        attention = r.formula("flops", module="model.layers.*.self_attn")
        rows = {m.path: m.flops for m in r.at(b=1, n=5000).by_module(depth=4)}
        self.assertEqual(attention(b=1, n=5000), rows["model.layers.*.self_attn"])

    def test_a_module_that_is_not_there_is_told(self):
        r = opledger.count("gpt2")
        for module, told in [
            ("transformer.wtf", "there is no module `transformer.wtf`; did you mean `transformer.w"),
            ("transformer.h.0.attn", r'module="transformer\.h\.\*\.attn" has them all'),
            ("nothing", "there is no module `nothing`; there are"),
        ]:
            with self.assertRaisesRegex(opledger.OpledgerError, told):
                r.formula("flops", module=module)
        with self.assertRaisesRegex(opledger.OpledgerError, "of the whole model"):
            r.formula("trainable", module="")


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
