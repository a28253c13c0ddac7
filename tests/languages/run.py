#!/usr/bin/env python3
"""The examples of all languages in one group: three processes, one in C, one in Python, one in
Node, over two daemons; all must have the same history.

    python3 -B tests/languages/run.py DIRECTORY [--built]

DIRECTORY: where anasazid and the library were built. Wheel and tarball are built (`make wheel npm`;
--built: they are) and installed into fresh folders, from which the examples run. Exits with 1 if
histories differ, or something does not come within 20 s."""

import pathlib
import re
import subprocess
import sys
import tempfile
import venv

from programs import Cluster, Program

TOP = pathlib.Path(__file__).resolve().parents[2]
C_NAMES = {"dictionary": "kv"}
# Members of the group, by language, and the daemon of each.
LANGUAGES = {"c": "a", "python": "b", "node": "b"}


class Examples:
    """Installed, each as one command."""

    def __init__(self, place, release, are_built):
        self.place, self.release = place, release
        self.python, self.node = place / "venv" / "bin" / "python", place / "node"
        if not are_built:
            run("make", "--no-print-directory", "wheel", "npm", cwd=TOP)
        target = release.parent
        venv.create(place / "venv", with_pip=True)
        run(self.python, "-m", "pip", "install", "--quiet", "--no-index",
            newest(target / "wheels", "whl"))
        self.node.mkdir()
        (self.node / "package.json").write_text('{"private": true}\n', encoding="utf-8")
        run("npm", "install", "--silent", "--no-audit", "--no-fund", "--offline",
            newest(target / "npm", "tgz"), cwd=self.node)

    def command(self, language, name):
        if language == "c":
            return [self._compiled(C_NAMES.get(name, name))]
        if language == "python":
            return [self.python, "-u", TOP / "bindings/python/examples" / f"{name}.py"]
        return ["node", self.node / "node_modules/anasazi/examples" / f"{name}.mjs"]

    def _compiled(self, name):
        program = self.place / name
        if not program.exists():
            source = TOP / f"bindings/c-examples/{name}.c"
            run("cc", "-std=c99", "-O2", f"-I{TOP / 'include'}", source, "-o", program,
                f"-L{self.release}", "-lanasazi", f"-Wl,-rpath,{self.release}")
        return program


def newest(folder, ending):
    found = sorted(folder.glob(f"anasazi-*.{ending}"), key=lambda path: path.stat().st_mtime)
    return found[-1] if found else sys.exit(f"no anasazi-*.{ending} in {folder}: make wheel npm")


def run(*command, cwd=None):
    done = subprocess.run(list(map(str, command)), cwd=cwd, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def start(examples, cluster, name, arguments):
    """One of each language, in one group; `arguments` makes the command line of a URL."""
    return {language: Program([*examples.command(language, name), *arguments(cluster.url(daemon))])
            for language, daemon in LANGUAGES.items()}


def same(what, histories):
    """All have the same lines; returns them."""
    first, *others = histories.items()
    for language, lines in others:
        if lines != first[1]:
            sys.exit(f"{what}: {first[0]} and {language} differ:\n"
                     + "\n".join([*first[1], "---", *lines]))
    return first[1]


def chat(examples, cluster):
    members = start(examples, cluster, "chat", lambda url: ["-u", url, "-n", "15", "room"])
    same("the chat's view", {language: member.expect("* 3 here")[-1:]
                             for language, member in members.items()})
    for language, member in members.items():
        member.type("".join(f"{language} {number}\n" for number in range(5)))
    said = {language: [line for line in member.rest() if not line.startswith("*")]
            for language, member in members.items()}
    lines = same("chat", said)
    check("chat", len(lines) == 15 and len(set(line.split(": ")[0] for line in lines)) == 3, lines)
    return "15 messages"


def dictionary(examples, cluster):
    members = start(examples, cluster, "dictionary", lambda url: ["store", url])
    for language, member in members.items():
        sets = "".join(f"set key{number % 7} {language}-{number}\n" for number in range(20))
        member.type(f"await 3 0\n{sets}await 3 60\ndump\n")
    states = {language: member.expect("version 60", from_line="set ")
              for language, member in members.items()}
    lines = same("dictionary", states)
    check("dictionary", len(lines) == 8, lines)
    end(members)
    return "60 changes"


def leader(examples, cluster):
    members = start(examples, cluster, "leader", lambda url: ["office", url])
    for member in members.values():
        member.type("await 3\nleader\n")
    # The view, and the answer: it waits for nothing any more.
    seen = {language: [member.expect("of 3")[-1], member.expect("of 3")[-1]]
            for language, member in members.items()}
    same("leader", seen)
    for left, language in ((2, "c"), (1, "python")):
        end({language: members.pop(language)})
        same("leader", {language: [member.expect(f"of {left}")[-1]]
                        for language, member in members.items()})
    end(members)
    return "one leader, three times"


def work_queue(examples, cluster):
    members = start(examples, cluster, "work_queue", lambda url: ["chores", url])
    for language, member in members.items():
        work = "".join(f"work {language} {number}\n" for number in range(20))
        member.type(f"await 3\n{work}done 60\ndump\n")
    done = {language: member.expect(" by ", times=60, only=" by ")
            for language, member in members.items()}
    lines = same("work queue", done)
    workers = {re.search(r" by (\S+)$", line).group(1) for line in lines}
    check("work queue", len(workers) == 3 and "-" not in workers, lines)
    end(members)
    return "60 items, each of three did some"


def first_programs(examples):
    """Those of the README, in Python and Node; the one in C is for tests/readme.py."""
    text = (TOP / "README.md").read_text(encoding="utf-8")
    promised = re.search(r"prints:\n\n```\n(.*?)```", text, re.DOTALL).group(1)
    for language, mark, name in (("python", "python", "hello.py"), ("node", "js", "hello.mjs")):
        program = re.search(rf"```{mark}\n(.*?)```", text, re.DOTALL).group(1)
        file = examples.node / name
        file.write_text(program, encoding="utf-8")
        printed = run(examples.python if language == "python" else "node", file, cwd=examples.node)
        check(f"the README's program for {language}", printed == promised, printed.splitlines())
    print("the README's first programs print what it says, in Python and Node", flush=True)


def check(what, holds, lines):
    if not holds:
        sys.exit(f"{what}: not what was to come:\n" + "\n".join(lines))


def end(members):
    for member in members.values():
        member.rest()


def main():
    if len(sys.argv) < 2 or sys.argv[2:] not in ([], ["--built"]):
        sys.exit(__doc__)
    release = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(prefix="anasazi-languages-") as folder:
        place = pathlib.Path(folder)
        examples = Examples(place, release, bool(sys.argv[2:]))
        first_programs(examples)
        with Cluster(release, place, sorted(set(LANGUAGES.values()))) as cluster:
            for example in (chat, dictionary, leader, work_queue):
                print(f"{example.__name__.replace('_', ' ')}: the same for C, Python and Node: "
                      f"{example(examples, cluster)}", flush=True)


if __name__ == "__main__":
    main()
