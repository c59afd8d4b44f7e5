"""Enqueued configurations: files, mistakes, and a study that runs each once over all resumes."""

from pathlib import Path

import pytest
import tomli_w
from toy import SPACE as TOY_SPACE
from toy import Toy, make_plan

from mnist_core.errors import ConfigError
from studies.core.attributes import ENQUEUED
from studies.engines.inline import Inline
from studies.ledger.opening import open_search
from studies.planning.plan import resolve
from studies.search.enqueued import (
    EnqueuedConfig,
    from_attribute,
    merged,
    read_enqueued,
    to_attribute,
)
from studies.search.search_checks import check_search
from studies.storage.open import close_storage, open_storage


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        'optim.name = "adam"\nadam.lr = 0.004\n',
        '"optim.name" = "adam"\n"adam.lr" = 4e-3\n',
        '[params]\n"optim.name" = "adam"\n[params.adam]\nlr = 0.004\n',
        'model.name = "net"\n[record]\ntrial = 3\n[record.params]\n'
        '"optim.name" = "adam"\n"adam.lr" = 0.004\n',
    ],
)
def test_the_forms_of_a_file(tmp_path, text):
    known = read_enqueued(write(tmp_path / "a.toml", text), TOY_SPACE)
    assert dict(known.params) == {"optim.name": "adam", "adam.lr": 0.004}
    assert known.source == str(tmp_path / "a.toml")


def test_a_whole_number_is_the_same_configuration(tmp_path):
    one = read_enqueued(write(tmp_path / "1", 'optim.name = "sgd"\nsgd.lr = 1\n'), TOY_SPACE)
    two = read_enqueued(write(tmp_path / "2", 'sgd.lr = 1.0\noptim.name = "sgd"\n'), TOY_SPACE)
    assert one.point == two.point and type(one.params["sgd.lr"]) is float
    assert merged([one], [two]) == [one]
    assert from_attribute(to_attribute([one])) == [one]
    assert from_attribute(None) == []


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('optim.name = "adm"\n', "optim.name: must be one of sgd, adam, adagrad, but got 'adm'"),
        ('optim.name = "adam"\nadam.rl = 0.1\n', "unknown parameter 'adam.rl'; did you mean"),
        ('optim.name = "adam"\nadam.lr = 5.0\n', r"adam.lr: must lie in \[0.0001, 0.1\]"),
        ('optim.name = "adam"\nadam.lr = "a"\n', "adam.lr: must be a finite number"),
        ('optim.name = "adam"\nadam.lr = nan\n', "adam.lr: must be a finite number"),
        (
            'optim.name = "adam"\nadam.lr = 0.1\nsgd.lr = 0.1\n',
            "sgd.lr: exists only when optim.name is sgd, but optim.name is 'adam'",
        ),
        ("", "holds no parameters"),
        ("[record]\nparams = 3\n", "unknown parameter 'record.params'"),
        (
            'optim.name = "adam"\noptim.lr = 0.02\n[record.params]\n'
            '"optim.name" = "adam"\n"adam.lr" = 0.004\n',
            r"optim.lr is 0.02 in the settings, but 0.004 in \[record.params\], which is read",
        ),
        ("optim.name = \n", "is not valid TOML"),
    ],
)
def test_mistakes_are_one_line_with_the_file(tmp_path, text, part):
    file = write(tmp_path / "a.toml", text)
    with pytest.raises(ConfigError, match=part) as caught:
        read_enqueued(file, TOY_SPACE)
    assert str(caught.value).startswith(f"--enqueue {file}: ") and "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "b.toml").write_bytes(b"a = '\xff'\n")
    for name, part in (("no.toml", "No such file"), ("b.toml", "UTF-8"), (".", "Is a directory")):
        with pytest.raises(ConfigError, match=part):
            read_enqueued(tmp_path / name, TOY_SPACE)


class TestStudy:
    """The search of a toy study, run in this process."""

    def run(self, tmp_path, files, *, trials=9, until=None):
        plan = make_plan(
            tmp_path,
            trials=trials,
            search={"enqueue": [str(file) for file in files], "pruner": "none"},
        )
        storage = open_storage(plan.storage_url, create=True)
        said = []
        engine = Inline()

        def listen(event):
            if event.kind == "message":
                said.append(event.data["text"])
            if event.kind == "complete" and event.trial == until:
                engine.stop()

        with open_search(plan, storage, listeners=[listen]) as book:
            engine.run(book, Toy())
            records = book.records()
            fingerprint = book.study.user_attrs["fingerprint"]
        close_storage(storage)
        return records, said, fingerprint

    def files(self, tmp_path):
        (tmp_path / "in").mkdir(exist_ok=True)
        return [
            write(tmp_path / "in" / "a.toml", 'optim.name = "sgd"\nsgd.lr = 0.123\n'),
            write(tmp_path / "in" / "b.toml", 'optim.name = "adam"\nadam.lr = 0.0123\n'),
        ]

    def test_first_after_the_defaults_marked_and_kept_out_of_the_fingerprint(self, tmp_path):
        files = self.files(tmp_path)
        records, said, fingerprint = self.run(tmp_path, files)
        assert [r.attributes.get(ENQUEUED) for r in records[:6]] == [
            *[None] * 3,
            *map(str, files),
            None,
        ]
        assert records[3].params == {"optim.name": "sgd", "sgd.lr": 0.123}
        assert records[4].params == {"optim.name": "adam", "adam.lr": 0.0123}
        assert said == []
        plain = self.run(tmp_path / "plain", [])[2]
        assert plain == fingerprint

    def test_once_over_all_resumes_also_without_the_file(self, tmp_path):
        files = self.files(tmp_path)
        self.run(tmp_path, files, until=3)
        for file in files:
            file.unlink()
        records, _, _ = self.run(tmp_path, [])
        assert [r.params.get("sgd.lr") for r in records].count(0.123) == 1
        assert records[4].params == {"optim.name": "adam", "adam.lr": 0.0123}
        assert len(records) == 9

        again, said, _ = self.run(tmp_path, self.files(tmp_path), trials=12)
        assert len(again) == 12
        assert [r.params.get("sgd.lr") for r in again].count(0.123) == 1
        assert len(said) == 2 and all("it is run once" in text for text in said)

    def test_trials_are_added_where_there_is_no_room_left(self, tmp_path):
        self.run(tmp_path, [])
        records, said, _ = self.run(tmp_path, self.files(tmp_path))
        assert len(records) == 11 and records[9].params["sgd.lr"] == 0.123
        assert len(said) == 1 and "2 trials more than search.trials" in said[0]
        assert len(self.run(tmp_path, self.files(tmp_path))[0]) == 11

    def test_trials_are_added_so_that_each_choice_has_its_turns(self, tmp_path):
        files = self.files(tmp_path)[:1]
        files.append(write(tmp_path / "in" / "c.toml", 'optim.name = "sgd"\nsgd.lr = 0.2\n'))
        assert len(self.run(tmp_path, files, trials=6)[0]) == 7

    def test_a_part_is_filled_in_by_the_sampler_and_run_once(self, tmp_path):
        (tmp_path / "in").mkdir()
        file = write(tmp_path / "in" / "part.toml", "adam.lr = 0.0123\n")
        known = read_enqueued(file, TOY_SPACE)
        assert dict(known.params) == {"optim.name": "adam", "adam.lr": 0.0123}
        file.write_text('optim.name = "sgd"\n')
        records, _, _ = self.run(tmp_path, [file], until=3)
        assert records[3].attributes[ENQUEUED] == str(file)
        assert records[3].params.keys() == {"optim.name", "sgd.lr"}
        again, said, _ = self.run(tmp_path, [file])
        assert sum(ENQUEUED in record.attributes for record in again) == 1
        assert len(again) == 9 and len(said) == 1 and "trial 3" in said[0]


def test_an_export_is_read_by_a_real_study(tmp_path):
    params = {"optim.name": "sgd", "sgd.lr": 0.25, "l2": 0.0, "schedule.name": "cosine"}
    file = tmp_path / "best_config.toml"
    file.write_text(tomli_w.dumps({"epochs": 5, "record": {"trial": 7, "params": params}}))
    plan = resolve("optim_search", sets={"search.enqueue": [str(file)]})
    check_search(plan)
    bare = resolve("optim_search", sets={})
    assert plan.fingerprint()[0] == bare.fingerprint()[0]
    known = read_enqueued(file, plan.spec.space)
    assert known == EnqueuedConfig(params=params, source=str(file))
