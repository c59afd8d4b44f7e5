"""best_config.toml: what the trainer reads is what was trained."""

import dataclasses
import shlex
import tomllib

import optuna
import pytest
from rich.console import Console
from test_protocol import StopAfter, run
from toy import make_plan

from mnist_core.config import TrainConfig
from mnist_core.errors import UserError
from mnist_core.files import write_atomically
from mnist_core.version import TRAINER_VERSION
from studies import catalog
from studies.analysis import reproduction, stored_study
from studies.analysis.export import best_config, write_best_config, write_trial
from studies.cli import foreground
from studies.core.attributes import CONFIRM, FINGERPRINT
from studies.core.seeds import confirm_seeds
from studies.planning.fingerprint import FingerprintMismatch
from studies.protocol import phases
from studies.protocol.control import StudyInterrupted
from studies.storage.open import close_storage, open_storage

ENVIRONMENT = {
    "versions": {"python": "3", "torch": "2", "optuna": "5", "mnist-studies": "0"},
    "data": {"fingerprint": "abc", "sha256": {"images": "def"}},
}


@pytest.fixture(autouse=True)
def _no_data(monkeypatch):
    monkeypatch.setattr(phases.fingerprint, "describe", lambda plan: ENVIRONMENT)


def read(path):
    return tomllib.loads(path.read_text())


def test_a_folder_of_any_name_leaves_files_that_can_be_read(tmp_path, capsys):
    """Its name stands in the comments, where TOML allows no control characters."""
    plan = make_plan(tmp_path / "a\nb = 1\x1b[31m\r\x7f\u2028 'c'")
    result = run(plan)
    found = stored_study.read(plan)
    number = next(record.number for record in found.search if record.state == "COMPLETE")
    for path in (write_best_config(result), write_trial(found, number)):
        tables, text = read(path), path.read_bytes().decode()
        assert "b" not in tables and "\x1b" not in text and "\r" not in text


def test_the_command_that_is_printed_can_be_typed(tmp_path, capsys):
    plan = make_plan(tmp_path / "it's a b; c")
    foreground.finish(run(plan), Console(width=200))
    (line,) = [one for one in capsys.readouterr().out.splitlines() if "mnist_core train" in one]
    words = shlex.split(line.partition(":")[2])
    assert words[-1] == str(plan.folder / "best_config.toml") and len(words) == 5


def test_round_trip_through_the_trainer(tmp_path):
    plan = make_plan(tmp_path)
    result = run(plan)
    tables = read(write_best_config(result))
    record = tables.pop("record")
    config = TrainConfig.from_mapping(tables, source="file")
    recorded = result.confirm["adam"][0]
    seed = confirm_seeds(0, 3)[0]
    assert recorded.seed == seed
    params = result.best_row.candidate.params
    expected = plan.config_for(params, seed).override({"precision": "fp32"})
    assert config.model_copy(update={"optim": expected.optim}) == expected
    # Nothing is left to guess: the optimizer's own defaults are written out.
    assert config.optim.lr == params["adam.lr"]
    assert (config.optim.beta1, config.optim.eps) == (0.9, 1e-8)
    assert record["val_accuracy"] == recorded.value
    assert record["params"] == params
    assert record["trial"] == result.best_row.candidate.search_trial
    assert record["confirm"]["seeds"] == list(confirm_seeds(0, 3))
    assert record["confirm"]["mean"] == result.best_row.confirm.mean
    assert record["test"]["n"] == 3
    assert record["versions"] == ENVIRONMENT["versions"]
    assert record["data_sha256"] == {"images": "def"}
    assert (record["torch"], record["data_fingerprint"]) == ("2", "abc")


def test_export_from_the_database_is_the_same(tmp_path):
    plan = make_plan(tmp_path)
    written = write_best_config(run(plan))
    again = write_best_config(stored_study.read(plan).result, tmp_path / "elsewhere" / "again.toml")
    assert read(written) == read(again)


def test_a_study_of_an_older_trainer_is_read_and_not_gone_on_with(tmp_path):
    plan = make_plan(tmp_path)
    written = read(write_best_config(run(plan)))
    storage = open_storage(plan.storage_url, create=False)
    for name in (plan.name, f"{plan.name}{CONFIRM}"):
        study = optuna.load_study(study_name=name, storage=storage)
        data = study.user_attrs[FINGERPRINT]["values"]["data"]
        digest, values = plan.with_data(data).fingerprint("older")
        study.set_user_attr(FINGERPRINT, {"hash": digest, "values": values})
    close_storage(storage)

    assert read(write_best_config(stored_study.read(plan).finished())) == written
    with pytest.raises(FingerprintMismatch, match=r"trainer: older -> \d"):
        run(plan)


def test_a_trial_of_the_search(tmp_path):
    plan = make_plan(tmp_path)
    run(plan)
    found = stored_study.read(plan).comparable()
    chosen = next(record for record in found.search if record.state == "COMPLETE")
    file = write_trial(found, chosen.number)
    assert file == plan.folder / f"trial_{chosen.number}.toml"
    tables = read(file)
    record = tables.pop("record")
    config = TrainConfig.from_mapping(tables, source="file")
    assert config.seed == chosen.seed
    assert config.optim.name == chosen.params["optim.name"]
    assert record["val_accuracy"] == chosen.value and record["params"] == chosen.params
    assert record["data_fingerprint"] == "abc" and "confirm" not in record
    claimed = reproduction.read(file)
    assert (claimed.metric, claimed.value, claimed.interval()) == (
        "val_accuracy",
        chosen.value,
        None,
    )


def test_a_trial_that_has_no_final_value(tmp_path):
    plan = make_plan(tmp_path)
    run(plan)
    found = stored_study.read(plan)
    with pytest.raises(UserError, match=rf"99.*\b{len(found.search) - 1}\b"):
        write_trial(found, 99)
    stopped = dataclasses.replace(found.search[0], state="PRUNED", value=None)
    with pytest.raises(UserError, match=r"trial 0 .*PRUNED"):
        write_trial(dataclasses.replace(found, search=[stopped, *found.search[1:]]), 0)


def test_the_best_config_is_a_claim_that_can_be_judged(tmp_path):
    result = run(make_plan(tmp_path))
    claimed = reproduction.read(write_best_config(result))
    values = [trial.value for trial in result.confirm[result.best]]
    assert (claimed.metric, claimed.value) == ("val_accuracy", values[0])
    assert claimed.values == tuple(values)
    assert claimed.facts["torch"] == "2" and claimed.facts["data_fingerprint"] == "abc"


def test_nothing_confirmed_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "names", lambda: ["toy"])
    result = run(make_plan(tmp_path))
    bare = type(result)(**{**vars(result), "best": None})
    with pytest.raises(UserError, match=r"confirmed nothing yet; .* python -m studies\.run toy"):
        best_config(bare)


def test_unwritable_target_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_atomically(tmp_path / "file" / "x.toml", "")


def test_a_write_leaves_nothing_else_behind(tmp_path):
    write_atomically(tmp_path / "a.toml", "one")
    write_atomically(tmp_path / "a.toml", "two")
    assert [path.name for path in tmp_path.iterdir()] == ["a.toml"]
    assert (tmp_path / "a.toml").read_text() == "two"


def test_before_a_confirmation_a_trial_names_data_and_trainer(tmp_path):
    plan, stop = make_plan(tmp_path), StopAfter(4)
    with pytest.raises(StudyInterrupted):
        run(plan, listeners=[stop], control=stop.control)
    found = stored_study.read(plan)
    record = read(write_trial(found, 1))["record"]
    assert record["data_fingerprint"] == "toy-data"
    assert record["versions"] == {"trainer": TRAINER_VERSION}
