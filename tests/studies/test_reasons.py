"""Reasons of failures that differ in their numbers only are one."""

from studies.core.trials import tally


def test_the_same_with_other_numbers():
    reasons = ["nan after step 3 (lr 1e-05)", "b", "nan after step 4 (lr 0.1)", "b 1", "b"]
    assert tally(reasons) == (("b", 2), ("nan after step 3 (lr 1e-05)", 2), ("b 1", 1))
    assert tally([]) == ()
