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
