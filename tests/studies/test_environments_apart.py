"""A study is of a CPU or of CUDA: its trials never mix them, and a CPU's fingerprint is as ever."""

import dataclasses

import optuna
import pytest

from studies.planning import plan
from studies.planning.fingerprint import FingerprintMismatch, check_environment, check_fingerprint
from studies.protocol.carry_over import carry

CPU = plan.resolve("optim_search", sets={"device": "cpu", "results.folder": "/nowhere"})


def on(device):
    return dataclasses.replace(CPU, train=CPU.train.override({"device": device}))


def test_the_fingerprint_knows_the_environment():
    hashes = {device: on(device).fingerprint()[0] for device in ("cpu", "cuda:0", "cuda:1")}
    assert hashes["cuda:0"] == hashes["cuda:1"] != hashes["cpu"]
    values = CPU.fingerprint()[1]
    assert "environment" not in values  # as in studies of before, which go on
    assert on("cuda:0").fingerprint()[1] == values | {"environment": "cuda"}


@pytest.mark.parametrize(("then", "now"), [("cpu", "cuda:0"), ("cuda:1", "cpu")])
def test_another_environment_is_refused(then, now):
    study = optuna.create_study()
    for device in (then, then):
        check_environment(study, on(device).fingerprint()[1])
        check_fingerprint(study, on(device).fingerprint())
    with pytest.raises(FingerprintMismatch) as caught:
        check_environment(study, on(now).fingerprint()[1])
    message = str(caught.value)
    assert "--device" in message and "results.folder" in message and "\n" not in message


def test_a_fork_takes_no_trial_of_the_other_one():
    trial = optuna.trial.create_trial(state=optuna.trial.TrialState.COMPLETE, value=0.5)
    values = CPU.fingerprint()[1]
    found = carry(on("cuda:0"), study="optim_search", values=values, trials=[trial])
    assert found.count == 0 and "environment" in found.left[0][0]
