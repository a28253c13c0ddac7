"""Loops that are closed or cancelled under a connection."""

from __future__ import annotations

import asyncio
from typing import Any

import anasazi
import pytest
from conftest import Place


def test_a_loop_that_is_closed_before_the_connection(place: Place) -> None:
    loop = asyncio.new_event_loop()

    async def begin() -> tuple[anasazi.Connection, list[asyncio.Task[Any]]]:
        conn = await anasazi.connect(**place.arguments())
        group = await conn.join("room")
        await group.recv()
        waiting = [asyncio.create_task(group.recv()), asyncio.create_task(conn.recv())]
        await asyncio.sleep(0)
        return conn, waiting

    conn, waiting = loop.run_until_complete(begin())
    loop.close()
    conn.close()
    assert conn.is_closed
    with pytest.raises(anasazi.ConnectionClosed):
        conn.stats()
    with anasazi.sync.connect(**place.arguments()) as other, other.join("room") as group:
        view = group.recv(5)
        assert isinstance(view, anasazi.View) and view.members == (other.member,)
    for task in waiting:
        task._log_destroy_pending = False  # type: ignore[attr-defined]
