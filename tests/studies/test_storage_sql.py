"""Trials read by plain queries are those that Optuna reads."""

import time
import uuid
from datetime import datetime, timedelta

import optuna
import pytest
from hypothesis import given, settings
from made_studies import contents
from optuna.storages import RDBStorage

from studies.storage.contents import Content, difference, read_content
from studies.storage.open import close_storage, open_storage, sqlite_url


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same database, opened by this program and by plain Optuna."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = sqlite_url(tmp_path_factory.mktemp("sql") / "study.db")
    ours = open_storage(url, create=True)
    plain = RDBStorage(url)
    yield ours, plain
    close_storage(ours)
    plain.remove_session()
    plain.engine.dispose()


@settings(max_examples=25)
@given(content=contents())
def test_trials_of_any_kind(both, content):
    ours, plain = both
    study = plain.create_new_study(content.directions, f"study {uuid.uuid4()}")
    made = [plain.create_new_trial(study, trial) for trial in content.trials]
    name = plain.get_study_name_from_id(study)
    assert difference(read_content(ours, name), read_content(plain, name)) == ""
    for identity in made:
        assert difference(one(ours, identity), one(plain, identity)) == ""
    assert [t._trial_id for t in ours.get_all_trials(study)] == made
    # What Optuna's cache asks for: the ones that were open, and all later ones.
    first = made[len(made) // 2] if made else -1
    found = ours._get_trials(study, None, set(made[:1]), first)
    wanted = plain._get_trials(study, None, set(made[:1]), first)
    assert [t._trial_id for t in found] == [t._trial_id for t in wanted]


def one(storage, identity):
    return Content(
        name="one",
        directions=[],
        user_attrs={},
        system_attrs={},
        trials=[storage.get_trial(identity)],
    )


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the time zone cannot be changed")
def test_times_are_those_of_this_place(both, monkeypatch):
    ours, _ = both
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        study = optuna.create_study(study_name="in Tokyo", storage=ours)
        begun = ours.get_trial(study.ask()._trial_id).datetime_start
        now = datetime.now()
    time.tzset()
    assert abs(now - begun) < timedelta(hours=1)


def test_many_trials(both):
    ours, plain = both
    study = optuna.create_study(study_name="many", storage=ours)
    study.add_trials(
        optuna.trial.create_trial(
            value=float(n),
            params={"x": n / 1000},
            distributions={"x": optuna.distributions.FloatDistribution(0, 1)},
        )
        for n in range(230)  # more than are asked for by their identities
    )
    assert difference(read_content(ours, "many"), read_content(plain, "many")) == ""
    states = (optuna.trial.TrialState.WAITING,)
    assert ours.get_all_trials(study._study_id, states=states) == []
    same = ours.get_all_trials(study._study_id, deepcopy=False)
    assert same[0].distributions["x"] is same[-1].distributions["x"]


def test_no_such_trial(both):
    with pytest.raises(KeyError):
        both[0].get_trial(10**6)


def test_braces_in_a_path(tmp_path):
    url = sqlite_url(tmp_path / "{x} {0}.db")
    storage = open_storage(url, create=True)
    assert storage.url == url
    close_storage(storage)
    assert (tmp_path / "{x} {0}.db").exists()
