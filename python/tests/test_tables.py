"""Tables: as wide as the terminal, with every column or a word of those that are left out."""

import os
import re
import unittest
from unittest import mock

import opledger
from opledger._table import Table, share

ROWS = [
    ["(itself)", "Block", "0", "0", "196,608", "< 0.1 %"],
    ["encoder.layers.attention.self.query", "MultiheadAttention", "2,362,368", "327,155,712", "655,193,088", "35.1 %"],
]
TABLE = Table(
    title="a model with a long name at b=1, n=128",
    head=["module", "class", "params", "macs", "flops", "share"],
    rows=ROWS,
    numbers=frozenset((2, 3, 4, 5)),
    total=["total", "", "7,086,336", "931,135,488", "1,866,003,712", "100.0 %"],
    below=["macs = 1536·b·n² + 7077888·b·n"],
    dispensable=("class", "params", "macs"),
)


def signs(text):
    return "".join(c for c in text if not c.isspace() and c != "─")


class Widths(unittest.TestCase):
    def test_no_line_is_wider_than_its_page_and_nothing_is_left_out_silently(self):
        for width in range(16, 140):
            text = TABLE.text(width)
            self.assertLessEqual(max(map(len, text.split("\n"))), width, text)
            told = signs(text.split("(no room for")[1].split(";")[0]) if "(no room for" in text else ""
            for at, title in enumerate(TABLE.head):
                left_out = title in told
                for row in TABLE.rows:
                    # A word may be broken over lines.
                    parts = re.findall(r"[^., ]+", row[at])
                    shown = all(part in text for part in parts if len(part) < width // 2 - 1)
                    self.assertTrue(shown or left_out, f"{width}, {title}:\n{text}")

    def test_words_are_broken_where_their_parts_meet(self):
        self.assertIn("\nencoder.      2,362,368", TABLE.text(60))
        self.assertIn("\nmodule  encoder.\n        layers.\n", TABLE.text(22))
        self.assertNotIn("MultiheadAttent\n", signs(TABLE.text(80)))

    def test_a_page_is_the_terminal(self):
        r = opledger.count("gpt2", sizes={"n": 16})
        for made in (r, r.by_module(), r.explain("fvcore"), opledger.train_cost("gpt2", sizes={"n": 16})):
            for width in (40, 60, 100):
                with mock.patch.dict(os.environ, {"COLUMNS": str(width)}):
                    self.assertLessEqual(max(map(len, repr(made).split("\n"))), width, repr(made))
        # What goes elsewhere is whole.
        with mock.patch.dict(os.environ), mock.patch("shutil.get_terminal_size", return_value=os.terminal_size((0, 0))):
            os.environ.pop("COLUMNS", None)
            self.assertNotIn("(no room", repr(r))


class Shares(unittest.TestCase):
    def test_what_is_not_nothing_is_not_told_as_nothing(self):
        self.assertEqual([share(part, 2000) for part in (0, 1, 2000, 701)], ["0.0 %", "0.1 %", "100.0 %", "35.1 %"])
        self.assertEqual([share(part, 10**9) for part in (1, -1, 0)], ["< 0.1 %", "-< 0.1 %", "0.0 %"])


if __name__ == "__main__":
    unittest.main()
