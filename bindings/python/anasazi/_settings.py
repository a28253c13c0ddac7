"""Settings as Python has them become those of the library, which are strings."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypeAlias

from . import _errors
from ._anasazi import Config

Settings: TypeAlias = Mapping[str, Any] | str | os.PathLike[str] | None
"""A mapping of keys to values, in which tables may be mappings again; or a TOML file's path."""


def make(settings: Settings, further: Mapping[str, Any] | None = None) -> Config:
    """ConfigError names a key that is not known, or a value that is not allowed."""
    config = Config()
    if isinstance(settings, str | os.PathLike):
        config.load(os.fspath(settings))
    elif isinstance(settings, Mapping):
        put(config, settings, "")
    elif settings is not None:
        raise TypeError(f"settings are a mapping or a path, not {type(settings).__name__}")
    put(config, further or {}, "")
    return config


def put(config: Config, settings: Mapping[str, Any], above: str) -> None:
    for name, value in settings.items():
        if not isinstance(name, str):
            raise TypeError(f"a key is a string, not {name!r}")
        key = above + name
        if isinstance(value, Mapping):
            put(config, value, key + ".")
        else:
            config.set(key, text(key, value))


def text(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if isinstance(value, os.PathLike):
        return str(os.fspath(value))
    if isinstance(value, list | tuple):
        return ",".join(text(key, one) for one in value)
    raise _errors.ConfigError(
        f"{key} is {value!r}: allowed are strings, numbers, booleans, and lists of them"
    )
