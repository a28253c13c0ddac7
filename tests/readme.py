#!/usr/bin/env python3
"""Builds the program on the first page of the README as a reader would, and compares what it prints
with what the README says. As root it does so once more with the README's own commands, from
`make install` on, in a mount namespace whose /usr/local and /etc are not this machine's.

    python3 tests/readme.py DIRECTORY     where what is installed was built, such as target/release"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent
SECONDS_MAX = 30
OTHER_MOUNTS = ["unshare", "--mount", "--propagation", "private"]

# $1: a directory for this alone, in which hello.c is. ldconfig replaces /etc/ld.so.cache, so that
# /etc has to be another one as a whole, and keeps notes in /var/cache.
NAMESPACE = """set -eu
mount -t tmpfs tmpfs /usr/local
cp -a /etc "$1/etc" && mount --bind "$1/etc" /etc
mount -t tmpfs tmpfs /var/cache
make() { command make --no-print-directory -C "$TOP" "$@" >&2; }
sudo() { "$@"; }
cd "$1"
"""


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    library = pathlib.Path(sys.argv[1]).resolve()
    text = (TOP / "README.md").read_text(encoding="utf-8")
    program, promised = re.search(r"```c\n(.*?)```.*?prints:\n\n```\n(.*?)```", text,
                                  re.DOTALL).groups()
    with tempfile.TemporaryDirectory() as place:
        source, binary = pathlib.Path(place, "hello.c"), pathlib.Path(place, "hello")
        source.write_text(program, encoding="utf-8")
        subprocess.run([os.environ.get("CC", "cc"), "-Wall", "-Wextra", "-Werror", source, "-o", binary,
                        f"-I{TOP / 'include'}", f"-L{library}", "-lanasazi",
                        f"-Wl,-rpath,{library}"], check=True, timeout=SECONDS_MAX * 2)
        compare([binary], promised)
        print("the first program of the README prints what it says")
        binary.unlink()
        reason = obstacle()
        if reason:
            print(f"skipped: the README's own commands ({reason})")
            return
        # With the paths that a reader's shell has, not those of whoever runs this.
        variables = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TOP": str(TOP),
                     "CARGO_TARGET_DIR": str(library.parent)}
        script = NAMESPACE + commands(text)
        compare([*OTHER_MOUNTS, "bash", "-c", script, "bash", place], promised, variables)
        print("so it does after the README's own commands")


def commands(text):
    """What the README says to type, from the installation on; what is before was done."""
    blocks = re.findall(r"(?:^    .*\n)+", text, re.MULTILINE)
    typed = next(block for block in blocks if "cc hello.c" in block)
    lines = [line.strip() for line in typed.splitlines()]
    first = next(at for at, line in enumerate(lines) if "make install" in line)
    return "\n".join(lines[first:]) + "\n"


def compare(command, promised, variables=None):
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX, check=False,
                          env=variables)
    if done.returncode or done.stdout != promised:
        sys.exit(f"ended with {done.returncode}, and printed:\n{done.stdout}{done.stderr}"
                 f"where the README promises:\n{promised}")


def obstacle():
    """Why the README's commands cannot be run here without changing this machine, if so."""
    if os.geteuid() != 0:
        return "not root"
    for tool in ("bash", "cc", "make", "mount", "pkg-config", "unshare"):
        if not shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin"):
            return f"no {tool} outside of /usr/local"
    tried = subprocess.run([*OTHER_MOUNTS, "mount", "-t", "tmpfs", "tmpfs", "/usr/local"],
                           capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    return f"no mount namespaces: {tried.stderr.strip()}" if tried.returncode else None


if __name__ == "__main__":
    main()
