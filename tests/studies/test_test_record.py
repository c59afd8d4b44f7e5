"""The record of the test set's readings."""

import json

import pytest

from studies.analysis.holdout_record import HoldoutReading, HoldoutRecord

ONE = {"test_accuracy": 0.5}


def test_an_opening_is_written_before_it_ends():
    reading = HoldoutRecord().started("t0", [2, 1])
    assert reading.readings == (HoldoutReading(time="t0", trials=(1, 2), kept=False),)
    assert reading.values == {} and reading.why_again() == ()
    ended = reading.ended({1: ONE, 2: ONE})
    assert ended.readings[0].kept and set(ended.values) == {1, 2} and ended.times == ("t0",)


@pytest.mark.parametrize(
    ("openings", "causes"),
    [
        ([], []),
        ([((0, 1), True)], []),
        ([((0, 1), False), ((0, 1), True)], ["1 broken off before the values were kept"]),
        ([((0, 1), True), ((2, 3, 4), True)], ["3 models were confirmed after a reading"]),
        ([((1, 2), True), ((0,), True)], ["1 model was not there before"]),
        ([((), True), ((), True)], ["for what was confirmed after a reading"]),
        (
            [((0, 2), False), ((0, 2), True), ((1, 3), True)],
            [
                "1 broken off before the values were kept",
                "1 model was confirmed after a reading",
                "1 model was not there before",
            ],
        ),
    ],
)
def test_why_again_names_the_true_cause(openings, causes):
    reading = HoldoutRecord(
        readings=tuple(HoldoutReading(time="t", trials=t, kept=k) for t, k in openings)
    )
    assert list(reading.why_again()) == causes
    assert HoldoutRecord.from_attribute(json.loads(json.dumps(reading.to_attribute()))) == reading


def test_a_fork_inherits_what_was_seen_and_by_whom():
    reading = HoldoutRecord().started("t0", [1]).started("t1", [1]).ended({1: ONE})
    fork = reading.inherited("old")
    assert fork.values == {} and fork.seen
    broken, whole = fork.readings
    assert whole == HoldoutReading(time="t1", trials=(1,), study="old")
    assert broken == HoldoutReading(time="t0", trials=(1,), study="old", kept=False)
    assert HoldoutRecord.from_attribute(json.loads(json.dumps(fork.to_attribute()))) == fork
    again = fork.started("t2", [0]).ended({0: ONE})
    assert again.why_again() == ("2 by old, which this study was forked from",)
    assert again.inherited("new").readings[0].study == "old"
    assert not HoldoutRecord().started("t0", [1]).inherited("old").seen


def test_what_was_read_of_other_data_counts_where_a_study_returns_to_it():
    reading = HoldoutRecord().started("t0", [1]).ended({1: ONE})
    other = reading.inherited("old", data="mnist", into="fashion")
    assert not other.seen and other.times == () and not other.empty
    assert HoldoutRecord.from_attribute(json.loads(json.dumps(other.to_attribute()))) == other
    own = other.started("t1", [0]).ended({0: ONE})
    back = own.inherited("mid", data="fashion", into="mnist")
    assert [(one.study, one.time) for one in back.readings] == [("old", "t0")]
    assert [(one.study, one.time) for one in back.of_other_data] == [("mid", "t1")]


def test_records_that_overlap_are_counted_once():
    first = HoldoutRecord().started("t0", [1]).ended({1: ONE}).inherited("old")
    second = first.started("t1", [1]).inherited("mid")
    assert first.joined(second) == second == second.joined(first)


def test_what_may_have_happened_is_no_reading():
    reading = HoldoutRecord.unknown("old").started("t0", [1]).ended({1: ONE})
    assert reading.times == ("t0",) and reading.uncertain == ("old",)
    assert reading.why_again() == () and not HoldoutRecord.unknown("old").seen
    assert HoldoutRecord.from_attribute(json.loads(json.dumps(reading.to_attribute()))) == reading
