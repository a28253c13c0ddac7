"""Holds what a wrapper's benchmark prints to what is promised: the last number of each line."""

from __future__ import annotations

import re
from collections.abc import Mapping


def missed(
    shown: str, least: Mapping[str, float], most: Mapping[str, float]
) -> list[str]:
    """What is not reached, in words; a line that is not there is not reached either."""
    found: dict[str, float] = {}
    for line in shown.splitlines():
        told = re.match(r"\s*(.*?),?\s+([\d.,]*\d)\s*$", line)
        if told:
            found[told.group(1)] = float(told.group(2).replace(",", ""))
    reasons = []
    for words, bound in least.items():
        if words not in found or found[words] < bound:
            reasons.append(f"{words}: {found.get(words)}, at least {bound:,} are promised")
    for words, bound in most.items():
        if words not in found or found[words] > bound:
            reasons.append(f"{words}: {found.get(words)}, at most {bound:,} are promised")
    return reasons
