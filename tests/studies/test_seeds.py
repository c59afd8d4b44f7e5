"""Seeds: fixed for ever, distinct, in range."""

from studies.core.seeds import confirm_seeds, sampler_seed, trial_seed


def test_the_values_never_change():
    # A changed value would silently break every reproduction of an old study.
    assert trial_seed(0, 0) == 3553290084364136482
    assert sampler_seed(0, 0) == 3723885038
    assert confirm_seeds(0, 2) == (5959398120707386340, 5622492362076747146)


def test_trials_and_confirmations_share_no_seed():
    trials = {trial_seed(7, number) for number in range(2000)}
    fresh = confirm_seeds(7, 200)
    assert len(trials) == 2000
    assert len(set(fresh)) == 200
    assert all(0 <= seed < 2**62 for seed in trials)
    assert all(2**62 <= seed < 2**63 for seed in fresh)


def test_more_confirmations_keep_the_first():
    assert confirm_seeds(3, 5)[:3] == confirm_seeds(3, 3)


def test_studies_differ():
    assert trial_seed(0, 1) != trial_seed(1, 0)
    assert confirm_seeds(0, 3) != confirm_seeds(1, 3)
