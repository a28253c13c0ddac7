"""More instructions fail, fewer do not, and what cannot be compared is said to be so."""

import contextlib
import io
import json
import pathlib
import sys
import tempfile
import unittest
from unittest import mock

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import counts  # noqa: E402

HERE = "a compiler, a library, a processor"


def fake(features, instructions):
    """In the place of commands: valgrind counts so many for each of 100 messages."""
    def output(command):
        if command[0] != "valgrind":
            return "a compiler"
        if command[-1] == "features":
            return features
        return f"100 messages, 5 ns each\nCollected : {100 * instructions}"
    return output


class Counts(unittest.TestCase):
    def run_with(self, instructions, *arguments, features="a processor", before=1000):
        """Exit status and what is printed, and the baseline that is left."""
        with tempfile.TemporaryDirectory() as directory:
            baseline = pathlib.Path(directory) / "counts.json"
            names = [f"{what} {length}" for what, length, _ in counts.CASES]
            baseline.write_text(json.dumps({HERE: dict.fromkeys(names, before)}))
            with mock.patch.multiple(counts, BASELINE=baseline,
                                     output=fake(features, instructions)), \
                    mock.patch("os.confstr", return_value="a library"), \
                    mock.patch("sys.argv", ["counts.py", "--release", "x", *arguments]), \
                    contextlib.redirect_stdout(io.StringIO()) as printed, \
                    contextlib.redirect_stderr(io.StringIO()):
                return counts.main(), printed.getvalue(), json.loads(baseline.read_text())

    def test_five_percent_more_are_borne_and_six_are_not(self):
        status, text, _ = self.run_with(1050)
        self.assertEqual((status, "note:" in text), (0, False))
        status, text, _ = self.run_with(1060)
        self.assertEqual(status, 1)
        self.assertIn("order 64 takes 1,060 instructions, 6.0 % more than the baseline's 1,000; "
                      "take the cause away, or take it as the new baseline: make counts UPDATE=1",
                      text)

    def test_fewer_are_told(self):
        status, text, _ = self.run_with(900)
        self.assertEqual(status, 0)
        self.assertIn("10.0 % fewer than the baseline's 1,000; make counts UPDATE=1 keeps it so",
                      text)

    def test_another_processor_is_not_compared(self):
        status, text, _ = self.run_with(5000, features="another processor")
        self.assertEqual(status, 0)
        self.assertIn("no baseline for a compiler, a library, another processor", text)

    def test_an_update_leaves_the_other_entries(self):
        status, _, baseline = self.run_with(5000, "--update", features="another processor")
        self.assertEqual(status, 0)
        self.assertEqual({place: each["send 64"] for place, each in baseline.items()},
                         {HERE: 1000, "a compiler, a library, another processor": 5000})

    def test_what_is_not_counted_is_no_success(self):
        self.assertEqual(self.run_with(0)[0], 2)
        with mock.patch("subprocess.run", side_effect=OSError("no such file")):
            with self.assertRaises(counts.NotCounted):
                counts.output(["valgrind"])


if __name__ == "__main__":
    unittest.main()
