"""Which images a model got right: nothing is lost on the way through JSON, nonsense is refused."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_core.evaluation.right_answers import RightAnswers


@given(st.lists(st.booleans(), min_size=0, max_size=70))
def test_what_is_kept_is_read_again(right: list[bool]):
    kept = json.loads(json.dumps(RightAnswers(of="x", right=np.array(right, bool)).to_json()))
    again = RightAnswers.from_json(kept)
    assert again.of == "x" and again.right.tolist() == right


@given(st.lists(st.tuples(st.integers(0, 70_000), st.integers(0, 9)), max_size=20))
def test_the_images_of_pairs_are_read_again(pairs):
    images = np.array(pairs, np.int64).reshape(-1, 2)
    one = RightAnswers(of="pairs", right=np.ones(len(pairs), bool), pairs=images)
    again = RightAnswers.from_json(json.loads(json.dumps(one.to_json())))
    assert again.pairs is not None and again.pairs.tolist() == images.tolist()
    assert again.asked == one.asked


def test_other_pairs_are_another_question():
    first, second = (
        RightAnswers(of="x", right=np.ones(2, bool), pairs=np.array(of))
        for of in ([[0, 1], [2, 3]], [[0, 1], [2, 4]])
    )
    assert first.asked != second.asked


def test_five_thousand_answers_are_small():
    kept = RightAnswers(of="confirm images", right=np.ones(5_000, bool)).to_json()
    assert len(json.dumps(kept)) < 900


@pytest.mark.parametrize(
    "kept",
    [
        {},
        {"n": 8, "of": "x", "bits": "%"},
        {"n": 9, "of": "x", "bits": "/w=="},
        {"n": -1, "of": "x", "bits": "/w=="},
        {"n": None, "of": "x", "bits": "/w=="},
        {"n": float("inf"), "of": "x", "bits": "/w=="},
        {"n": 10**13, "of": "x", "bits": "/w=="},
        {"n": 8, "of": "x", "bits": "/w==", "pairs": "/w=="},
        {"n": 8, "of": "x", "bits": "/w==", "pairs": 3},
        3,
    ],
)
def test_nonsense_is_refused(kept):
    with pytest.raises(ValueError):
        RightAnswers.from_json(kept)


@pytest.mark.parametrize("kept", [3, [], "text", {"n": 0, "of": "x", "bits": ""}])
def test_an_attribute_of_that_name_may_hold_anything(kept):
    assert RightAnswers.of_trial({"right": kept}) is None
    assert RightAnswers.of_trial({}) is None
