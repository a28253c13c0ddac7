"""Builds the wheel: first libanasazi.so.1, which goes into the package, then what links it.

A PEP 517 backend in front of maturin's. ANASAZI_LIB_DIR: take the library that is there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import maturin

HERE = Path(__file__).resolve().parent.parent
TOP = HERE.parent.parent
LIBRARY = "libanasazi.so.1"

get_requires_for_build_wheel = maturin.get_requires_for_build_wheel
get_requires_for_build_editable = maturin.get_requires_for_build_editable
prepare_metadata_for_build_wheel = maturin.prepare_metadata_for_build_wheel


def build_wheel(*arguments: Any, **keywords: Any) -> Any:
    put_library()
    return maturin.build_wheel(*arguments, **keywords)


def build_editable(*arguments: Any, **keywords: Any) -> Any:
    put_library()
    return maturin.build_editable(*arguments, **keywords)


def get_requires_for_build_sdist(config_settings: Any = None) -> list[str]:
    return []


def build_sdist(*arguments: Any, **keywords: Any) -> Any:
    raise RuntimeError("the library that belongs to this package is built in its source tree: "
                       "make a wheel, there is no source distribution")


def put_library() -> None:
    """Makes the library and puts it into the package, without what only debuggers read."""
    folder = os.environ.get("ANASAZI_LIB_DIR")
    made = Path(folder).resolve() if folder else make_library()
    source = made / LIBRARY
    if not source.exists():
        raise RuntimeError(f"no {source}: unset ANASAZI_LIB_DIR, or run `make lib` at the top")
    # The link step looks there, too; and the bindings' workspace has a folder of its own.
    os.environ["ANASAZI_LIB_DIR"] = str(made)
    os.environ["CARGO_TARGET_DIR"] = str(target_folder() / "bindings")
    target = HERE / "anasazi" / LIBRARY
    shutil.copyfile(source, target)
    subprocess.run(["strip", "--strip-unneeded", target], check=True)


def make_library() -> Path:
    cargo = os.environ.get("CARGO", "cargo")
    if shutil.which(cargo) is None:
        raise RuntimeError(f"no {cargo}: building from source needs Rust (see rustup.rs)")
    command = [cargo, "build", "--release", "--locked", "-p", "anasazi-ffi"]
    subprocess.run(command, cwd=TOP, check=True)
    made = target_folder() / "release"
    subprocess.run([TOP / "ffi" / "link.sh", made], check=True)
    return made


def target_folder() -> Path:
    return Path(os.environ.get("CARGO_TARGET_DIR", TOP / "target")).resolve()
