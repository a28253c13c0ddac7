"""The judge of the demo finds what is wrong: python3 -m unittest demo/test_verdict.py"""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import verdict  # noqa: E402

ALL = ["1/a", "2/a", "3/a"]


def story(who, views, last):
    """What a member prints: views are (id, members, together), last is (count, hash) per view."""
    events, before = [{"event": "ready", "t": 0, "self": [who]}], None
    for t, ((view, members, together), figures) in enumerate(zip(views, last), start=1):
        event = {"event": "view", "t": t, "id": view, "cause": "join", "members": members,
                 "together": together}
        if before:
            event["before"] = before
        events.append(event)
        before = {"id": view, "count": figures[0], "hash": figures[1]}
    report = {"t": 9, "view": before, "sent": 1, "settled": 1, "lost": 0, "delivered": 5}
    return events, report


def judge(**stories):
    return verdict.judge({name: events for name, (events, _) in stories.items()},
                         {name: report for name, (_, report) in stories.items()})


class Verdict(unittest.TestCase):
    def together(self, of_ada, of_ben, who_of_ben=("1/a", "2/a")):
        return judge(
            ada=story("1/a", [("v", ALL, []), ("w", ALL[:2], ["1/a", "2/a"])], of_ada),
            ben=story("2/a", [("v", ALL, []), ("w", ALL[:2], list(who_of_ben))], of_ben))

    def test_the_same_is_right(self):
        found = self.together([(3, "x"), (4, "y")], [(3, "x"), (4, "y")])
        self.assertEqual((found.differences, found.comparisons), ([], 2))

    def test_another_order_is_found(self):
        found = self.together([(3, "x"), (4, "y")], [(3, "z"), (4, "y")])
        self.assertEqual(len(found.differences), 1)

    def test_a_missing_message_is_found(self):
        found = self.together([(3, "x"), (4, "y")], [(3, "x"), (3, "q")])
        self.assertEqual(len(found.differences), 1)

    def test_who_came_another_way_may_differ(self):
        found = self.together([(3, "x"), (4, "y")], [(2, "z"), (4, "y")], who_of_ben=["2/a"])
        self.assertEqual((found.differences, found.comparisons), ([], 1))

    def test_one_view_with_two_memberships_is_found(self):
        found = judge(ada=story("1/a", [("v", ALL, [])], [(1, "x")]),
                      ben=story("2/a", [("v", ALL[:2], [])], [(1, "x")]))
        self.assertEqual(len(found.differences), 1)

    def test_a_message_without_an_end_is_found(self):
        events, report = story("1/a", [("v", ALL, [])], [(1, "x")])
        report["sent"] = 2
        found = judge(ada=(events, report), ben=story("2/a", [("v", ALL, [])], [(1, "x")]))
        self.assertEqual(len(found.differences), 1)

    def test_nothing_to_compare_is_no_success(self):
        found = judge(ada=story("1/a", [("v", ALL, [])], [(1, "x")]))
        self.assertEqual(len(found.differences), 1)

    def test_what_is_shown_has_every_view_and_member(self):
        found = self.together([(3, "x"), (4, "y")], [(3, "x"), (4, "y")])
        for text in (verdict.picture(found), verdict.table(found)):
            for word in ("ada", "ben", "A", "B"):
                self.assertIn(word, text)


if __name__ == "__main__":
    unittest.main()
