"""What `docs/python.md` and the README show is what is printed."""

import doctest
import os
import re
import unittest
from pathlib import Path

ROOT = Path(os.environ.get("OPLEDGER_REPOSITORY", Path(__file__).parents[2]))


def sections(page):
    """The sections of a page with the examples in each."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for section in re.split(r"^## ", text, flags=re.MULTILINE):
        examples = "\n".join(re.findall(r"```pycon\n(.*?)```", section, flags=re.DOTALL))
        if examples:
            yield section.splitlines()[0], examples


class Pages(unittest.TestCase):
    def check(self, page):
        names = {}
        for title, examples in sections(page):
            needs_torch = "torch" in examples or "Block" in examples
            if needs_torch and not installed():
                continue
            test = doctest.DocTestParser().get_doctest(examples, names, title, page, 0)
            runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
            told = []
            runner.run(test, out=told.append, clear_globs=False)
            names = test.globs
            self.assertEqual(runner.failures, 0, "".join(told))
            self.assertGreater(runner.tries, 0)

    def test_the_page(self):
        self.check("docs/python.md")

    def test_the_readme(self):
        self.check("README.md")


def installed():
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError:
        if os.environ.get("OPLEDGER_TORCH") == "1":
            raise
        return False
    return True


if __name__ == "__main__":
    unittest.main()
