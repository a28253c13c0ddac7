"""Rows of the ledger are complete, or they are not written."""

import contextlib
import io
import pathlib
import re
import sys
import tempfile
import unittest
from unittest import mock

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(TOP / "tests" / "soak"))
import soak  # noqa: E402

# Where the last line of each campaign's command is made.
SOURCES = {"simulator": "tests/sim/src/campaign.rs", "planted": "tests/sim/src/planted.rs",
           "determinism": "tests/sim/src/main.rs", "idle": "tests/sim/src/main/idle.rs",
           "chaos": "tests/chaos/src/main.rs", "quiet": "tests/chaos/src/main.rs",
           "keys": "tests/chaos/src/main.rs",
           "explore": "tests/sim/src/explore/mod.rs", "fuzz": "tests/fuzz/run.py",
           "signals": "tests/abi/c/storm.c", "domains": "tests/sim/src/main/domains.rs",
           "fuzz-seal": "tests/fuzz/run.py"}


class Words(unittest.TestCase):
    def test_every_column_is_a_word_of_its_command(self):
        for campaign, columns in soak.TABLES.items():
            text = (TOP / SOURCES[campaign]).read_text()
            for word in set(columns) - set(soak.GIVEN.get(campaign, {})):
                self.assertRegex(text, rf'\b{word}=|"{word}", ', campaign)

    def test_the_ledger_has_these_tables(self):
        for campaign, columns in soak.TABLES.items():
            section = soak.LEDGER.read_text().split(f"\n### {campaign}\n")[1]
            head = re.search(r"^\|.*$", section, re.MULTILINE).group()
            self.assertEqual(head, "| " + " | ".join(["date", "commit", *columns]) + " |")

    def run_with(self, line):
        with tempfile.TemporaryDirectory() as directory:
            ledger = pathlib.Path(directory) / "ledger.md"
            ledger.write_text("### quiet\n\n| date |\n|---|\n")
            commands = {"quiet": ["sh", "-c", f"echo '{line}'"]}
            with mock.patch.multiple(soak, LEDGER=ledger, commands=lambda _: commands,
                                     readme=lambda _: 0, build=lambda _: None), \
                    mock.patch.object(sys, "argv", ["soak.py", "quiet"]), \
                    contextlib.redirect_stdout(io.StringIO()), \
                    contextlib.redirect_stderr(io.StringIO()) as errors:
                return soak.main(), ledger.read_text().count("\n"), errors.getvalue()

    def test_a_missing_word_is_a_failure_and_no_row(self):
        self.assertEqual(self.run_with("changes=0 gap_max_ms=7"), (0, 5, ""))
        code, lines, errors = self.run_with("changes=0 gap_worst_ms=7")
        self.assertEqual((code, lines), (1, 4))
        self.assertIn("no gap_max_ms", errors)

    def test_nothing_tried_is_a_failure_and_no_row(self):
        code, lines, errors = self.run_with("changes=0 gap_max_ms=7 rounds=0")
        self.assertEqual((code, lines), (1, 4))
        self.assertIn("rounds=0", errors)


if __name__ == "__main__":
    unittest.main()
