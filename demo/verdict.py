"""Judges what the members of the demo have seen: who moved together from view to view has to have
delivered the same messages in the same order. Nothing here knows how the engines work; it reads
only what the C programs printed."""

import dataclasses

COLUMNS = 66


@dataclasses.dataclass
class Chapter:
    """What one member saw of one view."""
    view: str            # its id
    who: str             # the member's identity in it
    members: list
    cause: str
    start: int           # CLOCK_MONOTONIC, nanoseconds
    end: int = 0
    count: int = 0
    hash: str = ""
    next: str = ""       # the id of the view that follows; empty: cut off, or the last one
    together: tuple = ()  # who came along into the next view
    is_last: bool = False


@dataclasses.dataclass
class Found:
    chapters: dict       # member name -> its chapters, in order
    letters: dict        # view id -> letter, in order of appearance
    differences: list    # in words
    comparisons: int     # pairs of members and views that were compared
    messages: int        # the longest sequence of deliveries of one member
    lost: int            # messages whose sender was told that they were lost


def judge(events, reports):
    """`events`: member name -> what it printed. `reports`: member name -> its last report."""
    chapters = {name: read(events[name], reports[name]) for name in events}
    everything = [chapter for those in chapters.values() for chapter in those]
    shown = sorted((chapter for chapter in everything if chapter.count),
                   key=lambda chapter: chapter.start)
    letters = {}
    for chapter in shown:
        letters.setdefault(chapter.view, name_of(len(letters)))
    differences, comparisons = compare(chapters)
    differences += [f"{name}: {report['sent'] - report['settled']} of {report['sent']} messages were "
                    "neither delivered to their sender nor reported lost"
                    for name, report in reports.items() if report["sent"] != report["settled"]]
    if not comparisons:
        differences.append("no two members ever moved together: nothing could be compared")
    return Found(chapters, letters, differences, comparisons,
                 max(report["delivered"] for report in reports.values()),
                 sum(report["lost"] for report in reports.values()))


def read(events, report):
    """A member's chapters."""
    chapters, who, now = [], "", None

    def close(event, following="", together=()):
        before = event.get("before") or event.get("view")
        now.end, now.count, now.hash = event["t"], before["count"], before["hash"]
        now.next, now.together = following, tuple(together)
        chapters.append(now)

    for event in events:
        if event["event"] in ("ready", "resumed"):
            who = event["self"][0]
        elif event["event"] == "suspended" and now:
            close(event)
            now = None
        elif event["event"] == "view":
            if now:
                close(event, event["id"], event["together"])
            now = Chapter(event["id"], who, event["members"], event["cause"], event["t"])
    if now:
        close(report)
        now.is_last = True
    return chapters


def compare(chapters):
    """Every two members, in every view from which they moved on together, or in which both are now."""
    differences, comparisons = [], 0
    names = list(chapters)
    for index, first in enumerate(names):
        for second in names[index + 1:]:
            others = {chapter.view: chapter for chapter in chapters[second]}
            for one in chapters[first]:
                other = others.get(one.view)
                if not other:
                    continue
                if one.members != other.members:
                    differences.append(f"{first} and {second} have view {one.view} with different "
                                       f"members: {one.members}, {other.members}")
                if not went_together(one, other):
                    continue
                comparisons += 1
                if (one.count, one.hash) != (other.count, other.hash):
                    differences.append(
                        f"{first} and {second} went together through view {one.view}, but delivered "
                        f"{one.count} messages ({one.hash}) and {other.count} ({other.hash})")
    return differences, comparisons


def went_together(one, other):
    if one.is_last and other.is_last:
        return True
    return (one.next != "" and one.next == other.next
            and other.who in one.together and one.who in other.together)


def picture(found):
    """Time from left to right; who has the same letter at the same time is in the same view."""
    start = min(found_start(found, name) for name in found.chapters)
    end = max(chapter.end for those in found.chapters.values() for chapter in those)
    lines = [f"Who was in which view, over {(end - start) / 1e9:.1f} s "
             "(same letter: same view; blank: no view):", ""]
    for name, chapters in found.chapters.items():
        row = [" "] * COLUMNS
        for chapter in chapters:
            letter = found.letters.get(chapter.view)
            if not letter:
                continue
            first = (chapter.start - start) * COLUMNS // (end - start + 1)
            last = (chapter.end - start) * COLUMNS // (end - start + 1)
            for column in range(first, last + 1):
                row[column] = letter
        lines.append(f"    {name:4} {''.join(row).rstrip()}")
    return "\n".join(lines) + "\n"


def found_start(found, name):
    return min((chapter.start for chapter in found.chapters[name]
                if chapter.view in found.letters), default=0)


def table(found):
    """Per view and member: how many messages, and a hash over their order."""
    names = list(found.chapters)
    lines = ["Messages delivered per view, and the hash of their order (sender, number, content):", "",
             "    view  cause       " + "".join(f"{name:23}" for name in names).rstrip()]
    for view, letter in found.letters.items():
        those = {name: next((c for c in found.chapters[name] if c.view == view), None)
                 for name in names}
        cause = next(chapter.cause for chapter in those.values() if chapter)
        cells = "".join(f"{cell(chapter):23}" for chapter in those.values())
        lines.append(f"    {letter:4}  {cause:12}{cells}".rstrip())
    lines.append("")
    lines.append("    +  cut off when its daemon was killed: it did not move on with the others")
    return "\n".join(lines) + "\n"


def cell(chapter):
    if not chapter:
        return "-"
    mark = " " if chapter.next or chapter.is_last else "+"
    return f"{chapter.count:>7,} {chapter.hash[:10]}{mark}"


def sentence(found):
    if found.differences:
        return "FAILED:\n" + "\n".join("    " + difference for difference in found.differences)
    lost = (f"\nNot back at their sender when its daemon was killed, and given up by it: {found.lost}."
            if found.lost else "")
    return (f"Shown: four members on four engines went through {len(found.letters)} views and up to "
            f"{found.messages:,} messages each,\nthrough a killed daemon, its return, a division and "
            "its healing, and all members that moved together saw\nthe same messages in the same "
            f"order in every view ({found.comparisons} comparisons, no difference).{lost}")


def figures(found):
    """For programs."""
    return {
        "views": [{
            "letter": letter, "id": view,
            "members": {name: {"count": chapter.count, "hash": chapter.hash,
                               "cut_off": not (chapter.next or chapter.is_last)}
                        for name, those in found.chapters.items() for chapter in those
                        if chapter.view == view},
        } for view, letter in found.letters.items()],
        "comparisons": found.comparisons, "differences": found.differences,
        "delivered_most": found.messages, "lost": found.lost,
    }


def name_of(index):
    return chr(ord("A") + index) if index < 26 else chr(ord("a") + index - 26) if index < 52 else "?"
