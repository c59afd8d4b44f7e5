"""Optuna's own acceptance suite for samplers, on each of ours.

The suite asks for parameters that our space lacks, or has in another range. A sampler must then
propose what is asked for. Our space has conditions, and names that the suite uses as well.
"""

import pytest
from optuna.testing.pytest_samplers import BasicSamplerTestCase
from test_samplers import WORKING

from search_spaces.space import Choice, Float, Space, When
from studies.search.samplers import Search, create_sampler

SPACE = Space(
    {
        "category": Choice(("x", "z")),
        "x": Float(0.0, 10.0),
        "y": Float(1e-3, 1.0, log=True, when=When("category", ("z",))),
    }
)
SEARCH = Search(space=SPACE, scientific="category", trials=16)
SHORT = (
    "test_conditional_sample_independent",
    "test_partial_fixed_sampling",
    "test_sample_single_distribution",
    "test_conditional_parameter_objective",
)


def maker(name):
    return lambda: create_sampler(name, {}, SEARCH, seed=0)


@pytest.mark.long
class TestWholeSuite(BasicSamplerTestCase):
    @pytest.fixture(params=WORKING)
    def sampler(self, request):
        return maker(request.param)


@pytest.mark.parametrize("name", WORKING)
def test_what_is_asked_for_is_proposed(name):
    suite = BasicSamplerTestCase()
    for case in SHORT:
        getattr(suite, case)(maker(name))
    suite.test_single_parameter_objective(maker(name), lambda trial: trial.suggest_int("x", 0, 10))
