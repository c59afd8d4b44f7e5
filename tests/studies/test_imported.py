"""Results from elsewhere: read with care, shown to samplers, never trials of the study."""

from pathlib import Path

import optuna
import pytest
from toy import SPACE, Toy, make_plan

from mnist_core.errors import ConfigError
from studies.analysis.candidates import candidates
from studies.core.attributes import IMPORTED
from studies.engines.inline import Inline
from studies.ledger.opening import open_search
from studies.search.imported import as_trials, from_attribute, merged, read_results, to_attribute
from studies.search.optuna_bridge import suggest
from studies.search.samplers import Search, create_sampler
from studies.storage.open import close_storage, open_storage

CSV = """optim.name,sgd.lr,adam.lr,val_accuracy
sgd,0.1,,0.91
adam,,0.004,0.97

adam,,0.004,0.97
"""
HEAD = "optim.name,adam.lr,val_accuracy\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_each_result_once_with_its_file_and_line(tmp_path):
    file = write(tmp_path / "r.csv", CSV)
    found = merged(read_results(file, SPACE, ["val_accuracy"]))
    assert [(dict(r.params), list(r.values), r.source) for r in found] == [
        ({"optim.name": "sgd", "sgd.lr": 0.1}, [0.91], f"{file}:2"),
        ({"optim.name": "adam", "adam.lr": 0.004}, [0.97], f"{file}:3"),
    ]
    assert merged(from_attribute(to_attribute(found)), found) == found
    seen = as_trials(found, SPACE)
    assert [trial.number for trial in seen] == [-2, -1]
    assert all(IMPORTED in trial.user_attrs and trial.value for trial in seen)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "holds no results"),
        ("optim.name,val_accuracy\n", "holds no results"),
        ("optim.name,adam.rl,val_accuracy\nadam,0.1,0.9\n", "adam.lr"),
        ("optim.name,adam.lr\nadam,0.1\n", "val_accuracy"),
        ("optim.name,optim.name,val_accuracy\nadam,adam,0.9\n", "optim.name"),
        (HEAD + "adam,0.1\n", "line 2"),
        (HEAD + "adam,0.1,0.9\nadam,5,0.9\n", "line 3: adam.lr"),
        (HEAD + "adam,fast,0.9\n", "line 2: adam.lr"),
        (HEAD + "adam,,0.9\n", "line 2: adam.lr"),
        (HEAD + "sgd,0.1,0.9\n", "line 2"),
        (HEAD + "adm,0.1,0.9\n", "line 2: optim.name"),
        (HEAD + "adam,0.1,nan\n", "line 2: val_accuracy"),
        (HEAD + "adam,0.1,\n", "line 2: val_accuracy"),
        (HEAD + "adam,0.1,98.5\n", "line 2: val_accuracy"),
        (HEAD + '"adam,0.1,98.5\n', "not CSV"),
    ],
)
def test_mistakes_are_one_line_with_the_file(tmp_path, text, part):
    file = write(tmp_path / "r.csv", text)
    with pytest.raises(ConfigError, match=part) as caught:
        read_results(file, SPACE, ["val_accuracy"])
    assert str(caught.value).startswith(f"--import {file}") and "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(ConfigError, match="cannot be read"):
            read_results(path, SPACE, ["val_accuracy"])


@pytest.mark.parametrize("name", ["tpe", "nsga2", "cmaes", "random"])
def test_tpe_is_taught_and_what_learns_from_its_own_generations_is_not(tmp_path, name):
    def proposals(results):
        search = Search(
            space=SPACE, scientific="optim.name", trials=20, imported=as_trials(results, SPACE)
        )
        study, found = optuna.create_study(direction="maximize"), []
        options = {"population_size": 2} if name == "nsga2" else {}
        for number in range(3):
            study.sampler = create_sampler(name, options, search, seed=number)
            study.enqueue_trial({} if name == "cmaes" else {"optim.name": "adam"})
            found.append(suggest(SPACE, trial := study.ask()))
            study.tell(trial, 0.5 + number / 10)
        return found

    lines = [f"adam,{0.001 * n},{1 - n / 30}" for n in range(1, 25)]
    file = write(tmp_path / "r.csv", "\n".join([HEAD.strip(), *lines]))
    results = read_results(file, SPACE, ["val_accuracy"])
    assert (proposals(results) == proposals([])) is (name != "tpe")


class TestStudy:
    def run(self, tmp_path, files, until=None):
        search = {"imports": [str(file) for file in files], "pruner": "none"}
        plan = make_plan(tmp_path, search=search)
        storage = open_storage(plan.storage_url, create=True)
        engine, said = Inline(), []

        def listen(event):
            if event.kind == "message":
                said.append(event.data["text"])
            if event.kind == "complete" and event.trial == until:
                engine.stop()

        with open_search(plan, storage, listeners=[listen]) as book:
            engine.run(book, Toy())
            records, kept = book.records(), book.study.user_attrs.get(IMPORTED)
            trials = book.study.get_trials(deepcopy=False)
        close_storage(storage)
        return plan, records, kept, said, trials

    def test_they_are_kept_and_are_no_trials(self, tmp_path):
        file = write(tmp_path / "r.csv", "optim.name,sgd.lr,val_accuracy\nsgd,0.5,1.0\n")
        self.run(tmp_path, [file], until=4)
        file.unlink()
        plan, records, kept, said, trials = self.run(tmp_path, [])
        assert [one["source"] for one in kept] == [f"{file}:2"]
        assert len(records) == len(trials) == 9 and len(said) == 1
        assert not any(record.params.get("sgd.lr") == 0.5 for record in records)
        chosen = candidates(plan.spec, plan.goals, records, front=8)
        assert not any(candidate.params.get("sgd.lr") == 0.5 for candidate in chosen)
