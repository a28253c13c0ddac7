"""Forks by, and beside, libraries of the application, which are told of forks before this one."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import HERE, Place, compile_c, python

START = """
import ctypes, faulthandler, os, sys, threading
faulthandler.dump_traceback_later(15, exit=True)
other = ctypes.CDLL(sys.argv[1])
assert other.watch() == 0
import anasazi
config = {"cluster": sys.argv[2], "transport.multicast": sys.argv[3]}
conn = anasazi.sync.connect("inproc:x", config=config)
group = conn.join("room")
group.mcast(b"ab" * 50000)
message = group.recv_many()[-1]
assert message.is_held
"""


@pytest.fixture
def library(tmp_path: Path) -> str:
    return str(compile_c(HERE / "forks.c", tmp_path / "forks.so", "-shared", "-fPIC"))


def run(library: str, place: Place, program: str) -> None:
    done = python(START + program, library, *place.config.values())
    assert done.returncode == 0, done.stderr


def test_who_is_told_before_the_fork_may_want_the_lock_of_python(
    library: str, place: Place
) -> None:
    """A fork without that lock, while threads that have it lend and take back."""
    run(library, place, """
before = ctypes.CFUNCTYPE(None)(lambda: None)
other.call_before(before)
is_over = threading.Event()
def work():
    while not is_over.is_set():
        memoryview(message).release()
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in range(100):
    assert other.fork_once() == 7
is_over.set()
for thread in threads:
    thread.join()
assert group.mcast(b"x") == 2
""")  # fmt: skip


def test_who_maps_memory_in_a_child_first(library: str, place: Place) -> None:
    """The child has the place of a view from its first moment."""
    run(library, place, """
view = memoryview(message)
place = ctypes.c_char * len(view)
address = ctypes.c_void_p()
get = ctypes.pythonapi.PyObject_GetBuffer
buffer = (ctypes.c_byte * 256)()
assert get(ctypes.py_object(message), ctypes.byref(buffer), 0) == 0
address = ctypes.cast(buffer, ctypes.POINTER(ctypes.c_void_p))[0]
assert ctypes.string_at(address, 4) == b"abab"
other.want(ctypes.c_void_p(address), ctypes.c_size_t(len(view)))
for _ in range(2):
    child = os.fork()
    if child == 0:
        is_well = view == b"ab" * 50000 and other.got() == 0
        os._exit(0 if is_well else 5)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert view == b"ab" * 50000 and group.mcast(b"x") == 2
# Afterwards children do not have the ring, as before.
ctypes.pythonapi.PyBuffer_Release(ctypes.byref(buffer))
view.release()
child = os.fork()
if child == 0:
    os._exit(0 if other.got() == 1 else 6)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
""")  # fmt: skip


def test_a_fork_at_the_very_end_of_a_program(library: str, place: Place) -> None:
    run(library, place, """
assert other.fork_once() == 7
assert other.fork_at_exit() == 0
""")  # fmt: skip
