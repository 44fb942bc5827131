#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The gate's arithmetic: what is worse, what is better, what is missing."""
import unittest

import plan
import report
import targets


def log(clock, *samples, family="devices"):
    return report.Log(f"fact cpus 2\nfact clock {clock}\nfact family {family}\nfact complete yes\n"
                      + "".join(f"sample {s}\n" for s in samples))


def verdicts(seen, committed, same_tools=True, columns=("file",)):
    """Cells are (ratio, us); of one row."""
    def table(cells):
        return {"randread-4k-qd1": {c: [r, r, r, us] for c, (r, us) in cells.items()}}
    return [v for v, _ in report.compare_tables("icount-2", table(seen), table(committed),
                                                same_tools, columns)]


class Judge(unittest.TestCase):
    def test_two_percent_is_the_border(self):
        for seen, wanted in ((1.0, "same"), (1.019, "same"), (1.021, "worse"), (0.981, "same"),
                             (0.979, "better")):
            self.assertEqual(report.judge(seen, 1.0), wanted, seen)
        self.assertEqual(report.judge(30.7, 30.0), "worse")
        self.assertEqual(report.judge(30.5, 30.0), "same")

    def test_less_time_per_io_is_better(self):
        self.assertEqual(report.judge(20.0, 30.0), "better")


class Compare(unittest.TestCase):
    def test_a_worse_ratio_fails(self):
        self.assertEqual(verdicts({"file": (1.05, 30.0)}, {"file": (1.0, 30.0)}), ["worse"])

    def test_a_worse_time_fails_where_the_tools_are_the_same(self):
        # The reference got slower as well, so the ratio does not show it.
        self.assertEqual(verdicts({"file": (1.0, 33.0)}, {"file": (1.0, 30.0)}), ["worse"])

    def test_a_worse_time_says_nothing_where_other_tools_measured(self):
        self.assertEqual(verdicts({"file": (1.0, 33.0)}, {"file": (1.0, 30.0)}, False), ["same"])
        self.assertEqual(verdicts({"file": (1.03, 30.0)}, {"file": (1.0, 30.0)}, False), ["worse"])

    def test_worse_outweighs_better(self):
        self.assertEqual(verdicts({"file": (0.9, 33.0)}, {"file": (1.0, 30.0)}), ["worse"])
        self.assertEqual(verdicts({"file": (1.1, 20.0)}, {"file": (1.0, 30.0)}), ["worse"])
        self.assertEqual(verdicts({"file": (0.9, 29.9)}, {"file": (1.0, 30.0)}), ["better"])

    def test_what_is_no_longer_measured_is_said(self):
        self.assertEqual(verdicts({}, {"file": (1.0, 30.0)}), ["gone"])

    def test_what_is_not_committed_is_new(self):
        self.assertEqual(verdicts({"file": (1.0, 30.0)}, {}), ["new"])

    def test_other_columns_are_not_judged(self):
        self.assertEqual(verdicts({"loop": (1.0, 30.0)}, {"loop": (1.0, 20.0)}), [])


class Tables(unittest.TestCase):
    SAMPLES = ("0 loop randread-4k-qd1 10", "0 file randread-4k-qd1 12",
               "1 file randread-4k-qd1 30", "1 loop randread-4k-qd1 20",
               "2 loop randread-4k-qd1 12", "2 file randread-4k-qd1 13.2")

    def test_by_the_clock_a_ratio_is_to_the_loop_of_its_round(self):
        seen = log("wall", *self.SAMPLES)
        self.assertEqual(seen.table()["randread-4k-qd1"]["file"], [1.1, 1.2, 1.5, 13.2])
        self.assertEqual(seen.table()["randread-4k-qd1"]["loop"], [1.0, 1.0, 1.0, 12.0])
        self.assertEqual(seen.machine, "wall")

    def test_by_instructions_it_is_of_medians(self):
        seen = log("icount", *self.SAMPLES)
        self.assertEqual(seen.table()["randread-4k-qd1"]["file"], [1.1, 1.1, 1.5, 13.2])
        self.assertEqual(seen.machine, "icount-2")

    def test_a_run_that_ended_early_is_no_result(self):
        with self.assertRaises(SystemExit):
            report.Log("fact cpus 2\nsample 0 loop randread-4k-qd1 10\n")

    def test_json_comes_back_as_it_was(self):
        result = {"tables": {"wall": {"randread-4k-qd1": {"file": [1.0, 1.1, 1.2, 30.0]}}},
                  "skipped": ["file-zc", "null-zc"], "command": "with [brackets], and\nlines"}
        self.assertEqual(report.json.loads(report.to_json(result)), result)


class Plan(unittest.TestCase):
    def test_the_short_plan_is_a_part_of_the_whole(self):
        self.assertLessEqual(set(plan.SHORT_ROWS), set(plan.ROWS))
        self.assertLessEqual(set(plan.SHORT_COLUMNS), set(plan.COLUMNS))
        self.assertIn(plan.REFERENCE, plan.SHORT_COLUMNS)
        self.assertTrue(any(plan.ours(c) for c in plan.SHORT_COLUMNS))

    def test_every_mode_of_a_column_is_in_the_table(self):
        for name, (_, kind, what) in plan.COLUMNS.items():
            if kind == "ours":
                self.assertIn(what[1], plan.MODES, name)


class Targets(unittest.TestCase):
    @staticmethod
    def seen(clock, *samples):
        return log(clock, *samples, family="targets")

    def test_each_ratio_is_to_the_rival_of_its_group(self):
        table = self.seen("icount", "0 dm-files randread-4k-qd32 20", "0 cow randread-4k-qd32 15",
                          "0 nbd-client randread-4k-qd32 40", "0 nbd randread-4k-qd32 30",
                          "0 nbd-client-4 randread-4k-qd32 60", "0 nbd-4 randread-4k-qd32 30").table()
        row = table["randread-4k-qd32"]
        self.assertEqual([row[c][1] for c in ("dm-files", "cow", "nbd", "nbd-4")], [1, 0.75, 0.75, 0.5])

    def test_a_rival_that_is_missing_leaves_no_ratio(self):
        seen = self.seen("wall", "0 image randread-4k-qd32 20", "1 image randread-4k-qd32 20",
                         "1 qemu-nbd randread-4k-qd32 40", "0 nbd randread-4k-qd32 9")
        self.assertEqual(seen.table(), {"randread-4k-qd32": {"image": [0.5, 0.5, 0.5, 20.0],
                                                             "qemu-nbd": [1.0, 1.0, 1.0, 40.0]}})

    def test_a_table_has_the_rows_of_its_group_and_says_what_ratios_are_to(self):
        seen = self.seen("icount", "0 dm-files fresh-randread-4k-qd1 20",
                         "0 cow fresh-randread-4k-qd1 15", "0 qemu-nbd randread-4k-qd1 40")
        text = "\n".join(report.machine_section("icount-2", "Title", {
            "tables": {"icount-2": seen.table()}, "rounds": {"icount-2": 1},
            "tools": {"kernel": "1"}}, report.FAMILIES["targets"]))
        self.assertIn("| fresh-randread-4k-qd1 | 20.0 (1.00) | 15.0 (0.75) |", text)
        self.assertIn("ratios are to dm-files.", text)
        self.assertIn("|  | qemu-nbd |", text)
        self.assertNotIn("nbd-client", text)

    def test_every_column_is_in_one_group_and_every_reference_in_its_own(self):
        named = [column for group in targets.GROUPS for column in group.columns]
        self.assertEqual(sorted(named), sorted(targets.COLUMNS))
        for group in targets.GROUPS:
            self.assertIn(group.reference, group.columns)
            self.assertTrue(any(targets.ours(column) for column in group.columns))
            self.assertFalse(targets.ours(group.reference))
            self.assertLessEqual(set(group.rows), set(targets.ROWS))

    def test_every_row_has_a_stage(self):
        for row, (_, _, _, stage) in targets.ROWS.items():
            self.assertIn(stage, targets.STAGES, row)


class Markers(unittest.TestCase):
    def test_what_people_wrote_stays(self):
        page = ("one\n<!-- tables: by tests/bench/report.py -->\nold\n<!-- end of tables -->\ntwo\n")
        text = report.between_markers(page, "tables", ["new"])
        self.assertTrue(text.startswith("one\n") and text.endswith("two\n"))
        self.assertIn("\nnew\n", text)
        self.assertNotIn("old", text)
        self.assertEqual(report.between_markers(text, "tables", ["new"]), text)
        with self.assertRaises(SystemExit):
            report.between_markers("no markers", "tables", [])


if __name__ == "__main__":
    unittest.main()
