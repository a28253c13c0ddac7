"""`python -m anasazi`: versions and features; `chat` and `bench`."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence

from . import AnasaziError, __version__, _bench, _chat, features, library_path, library_version


def show() -> int:
    print(f"anasazi {__version__} for Python, running on {platform.python_version()}")
    print(f"library: C API {library_version()}, {library_path()}")
    print(f"features: {', '.join(features())}")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m anasazi", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    chat = commands.add_parser("chat", help="talk in a group")
    chat.add_argument("room")
    chat.add_argument("--name", help="put before each line")
    chat.add_argument("--url", help="the engine; default: ANASAZI_URL, a local daemon, or our own")
    bench = commands.add_parser("bench", help="how fast this package is here")
    bench.add_argument("--seconds", type=float, default=2.0, help="for each figure, about")
    bench.add_argument("--reference", help="a C program that prints its median round trip in us")
    bench.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    try:
        if options.command == "chat":
            return _chat.run(options)
        if options.command == "bench":
            return _bench.run(options)
    except AnasaziError as error:
        print(f"{error.name}: {error}", file=sys.stderr)
        return 1
    return show()


if __name__ == "__main__":
    sys.exit(main())
