"""What is easily mistaken, asyncio's way of writing for the plain one and the reverse, is told in a
sentence that says what to write. Type checkers are not to know of these methods: they tell it
before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn


class AsyncOnly:
    """What is for `async with` and `async for`, or is awaited."""

    if not TYPE_CHECKING:

        def __enter__(self) -> NoReturn:
            raise TypeError(
                f"write 'async with' in place of 'with': {self!r} is for asyncio and trio; plain "
                "programs use anasazi.sync"
            )

        def __exit__(self, *_: object) -> None: ...

        def __iter__(self) -> NoReturn:
            raise TypeError(
                f"write 'async for' in place of 'for': {self!r} is for asyncio and trio; plain "
                "programs use anasazi.sync"
            )


class Promised(AsyncOnly):
    """What is no connection or group before it was awaited."""

    if not TYPE_CHECKING:

        def __aiter__(self) -> NoReturn:
            raise TypeError(f"{self!r}: await it, and iterate over what that gives")

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_"):
                raise AttributeError(name)
            raise AttributeError(f"no {name!r} yet: {self!r}", name=name, obj=self)


class PlainOnly:
    """What waits by itself, and is for `with` and `for`."""

    if not TYPE_CHECKING:

        async def __aenter__(self) -> NoReturn:
            raise TypeError(
                f"write 'with' in place of 'async with': {self!r} is for plain programs; for "
                "asyncio and trio there is anasazi.connect()"
            )

        async def __aexit__(self, *_: object) -> None: ...

        def __aiter__(self) -> NoReturn:
            raise TypeError(
                f"write 'for' in place of 'async for': {self!r} is for plain programs; for "
                "asyncio and trio there is anasazi.connect()"
            )

        def __await__(self) -> NoReturn:
            raise TypeError(
                f"leave out 'await': {self!r} is there already, for plain programs; for asyncio "
                "and trio there is anasazi.connect()"
            )


def check_url(url: Any) -> None:
    if url is not None and not isinstance(url, str):
        raise TypeError(f"a URL is a string such as 'inproc:hello', or None, not {url!r}")


def check_name(name: Any) -> None:
    if not isinstance(name, str):
        advice = ": decode() it" if isinstance(name, bytes | bytearray) else ""
        raise TypeError(f"a group's name is a string, not {name!r}{advice}")


def check_json(json: Any) -> None:
    if isinstance(json, dict):
        raise TypeError("a query is JSON in a string: write query(json.dumps(...)), not a dict")
    if not isinstance(json, str):
        raise TypeError(f"a query is JSON in a string, not {json!r}")
