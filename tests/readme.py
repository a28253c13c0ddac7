#!/usr/bin/env python3
"""Builds the program on the first page of the README as a reader would, and compares what it prints
with what the README says.

    python3 tests/readme.py DIRECTORY     where libanasazi.so is, such as target/release"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent
SECONDS_MAX = 30


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    library = pathlib.Path(sys.argv[1]).resolve()
    text = (TOP / "README.md").read_text(encoding="utf-8")
    program, promised = re.search(r"```c\n(.*?)```.*?```\n(.*?)```", text, re.DOTALL).groups()
    with tempfile.TemporaryDirectory() as place:
        source, binary = pathlib.Path(place, "hello.c"), pathlib.Path(place, "hello")
        source.write_text(program, encoding="utf-8")
        subprocess.run([os.environ.get("CC", "cc"), "-Wall", "-Wextra", "-Werror", source, "-o", binary,
                        f"-I{TOP / 'include'}", f"-L{library}", "-lanasazi",
                        f"-Wl,-rpath,{library}"], check=True, timeout=SECONDS_MAX * 2)
        done = subprocess.run([binary], capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    if done.returncode or done.stdout != promised:
        sys.exit(f"ended with {done.returncode}, and printed:\n{done.stdout}{done.stderr}"
                 f"where the README promises:\n{promised}")
    print("the first program of the README prints what it says")


if __name__ == "__main__":
    main()
