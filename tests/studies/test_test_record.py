"""The record of the test set's readings."""

import json

import pytest

from studies.test_record import Opening, Reading

ONE = {"test_accuracy": 0.5}


def test_an_opening_is_written_before_it_ends():
    reading = Reading().begun("t0", [2, 1])
    assert reading.openings == (Opening(time="t0", trials=(1, 2), kept=False),)
    assert reading.values == {} and reading.why_again() == ()
    ended = reading.ended({1: ONE, 2: ONE})
    assert ended.openings[0].kept and set(ended.values) == {1, 2} and ended.times == ("t0",)


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
    reading = Reading(openings=tuple(Opening(time="t", trials=t, kept=k) for t, k in openings))
    assert list(reading.why_again()) == causes
    assert Reading.from_attribute(json.loads(json.dumps(reading.to_attribute()))) == reading


def test_a_study_of_an_older_version_can_be_read():
    old = {"times": ["t0", "t1"], "values": {"3": ONE}}
    reading = Reading.from_attribute(old)
    assert reading.times == ("t0", "t1") and reading.values == {3: ONE}
    assert len(reading.why_again()) == 1
