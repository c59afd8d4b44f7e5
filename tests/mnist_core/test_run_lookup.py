"""What a user names is found, or refused in one line that says what there is."""

import pytest

from mnist_core.errors import UserError
from mnist_core.runs import run_lookup
from mnist_core.runs.run_lookup import Found, find_model, find_run


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def make(here):
    """Make the folder of a run that has ended."""

    def call(name, *, models=("last", "best"), environment="cpu"):
        folder = run_lookup.RUNS / environment / name
        folder.mkdir(parents=True)
        for file in ("run.json", "config.toml", *(f"{model}.safetensors" for model in models)):
            (folder / file).write_text("")
        return folder

    return call


@pytest.fixture
def study(here):
    """Make what a study leaves."""

    def call(record, *, model=None):
        folder = here / "results" / "some study"
        folder.mkdir(parents=True)
        (folder / "best_config.toml").write_text(f"epochs = 1\n{record}")
        if model is not None:
            (folder / "checkpoints" / "confirm").mkdir(parents=True)
            (folder / "checkpoints" / "confirm" / model).write_text("")
        return folder

    return call


def refused(what, **options):
    with pytest.raises(UserError) as caught:
        find_model(what, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize("name", ["a", "A-1.b_c+d", "0" * 100, "20261121-094345-net-d63c0f"])
def test_names(name):
    run_lookup.check_name(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".a", "-a", "_a", "a/b", "a b", "a\n", "ä", "0" * 101, "cpu", "cuda"]
)
def test_what_is_no_name(name):
    with pytest.raises(UserError, match="letters, digits") as caught:
        run_lookup.check_name(name)
    assert str(caught.value).endswith(f"but got {name!r}")


@pytest.mark.parametrize(
    "what",
    [
        "20261121-1-net",
        "20261121-1",
        "cpu/20261121-1-net",
        "cpu/20261121-1",
        "results/runs/cpu/20261121-1-net",
        "results/runs/cpu/20261121-1-net/",
        "results/runs/cpu/20261121-1-net/config.toml",
        "results/runs/cpu/20261121-1-net/run.json",
    ],
)
def test_a_run(make, what):
    folder = make("20261121-1-net")
    make("20261121-2-net")
    assert find_model(what) == Found(folder / "last.safetensors", folder, "last")
    best = find_model(what, checkpoint="best")
    assert best == Found(folder / "best.safetensors", folder, "best")


@pytest.mark.parametrize("name", run_lookup.CHECKPOINTS)
def test_a_file_of_a_run_is_of_that_run(make, name):
    folder = make("x")
    file = folder / f"{name}.safetensors"
    assert find_model(str(file)) == Found(file, folder, name)
    assert find_model(str(file), checkpoint=name).name == name
    other = {"last": "best", "best": "last"}[name]
    assert "leave it out" in refused(str(file), checkpoint=other)


def test_other_files_are_of_no_run(make, here):
    folder = make("x")
    for path in (here / "last.safetensors", folder / "mine.safetensors", folder / "last.backup"):
        path.write_text("")
        assert find_model(str(path)) == Found(path)
    assert "--checkpoint last: last.safetensors" in refused("last.safetensors", checkpoint="last")


def test_the_whole_id_comes_before_its_beginning(make):
    folder = make("a")
    make("a-2")
    assert find_run("a") == folder
    assert find_run("a-") == run_lookup.RUNS / "cpu" / "a-2"


def test_a_run_comes_before_a_folder_of_its_name(make, here):
    folder = make("net")
    (here / "net").mkdir()
    assert find_run("net") == folder


def test_ambiguous(make):
    for number in range(7):
        make(f"2026-{number}")
    said = refused("2026")
    assert "is not one run but 7 (cpu/2026-0, " in said and "cpu/2026-4 …)" in said
    make("other")
    make("other", environment="cuda")
    assert refused("other").endswith("is not one run but 2 (cpu/other, cuda/other): name one")
    assert find_run("cuda/other").parent.name == "cuda"


def test_elsewhere(make, here):
    moved = make("x").rename(here / "kept")
    (here / "place" / "cpu").mkdir(parents=True)
    assert find_run("kept") == moved.relative_to(here)
    moved.rename(here / "place" / "cpu" / "y")
    found = find_model("y", runs=here / "place")
    assert found.run == here / "place" / "cpu" / "y"


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("cpu/netty", "no such file, and none of the 2 runs in results/runs; did you mean 'cpu/ne"),
        ("nett", "; did you mean 'net"),
        ("", "no such file"),
        (".", "run.json"),
        ("results", "run.json"),
        ("§" * 10, "the latest of which is results/runs/cpu/net2"),
        ("x" * 5_000, "no such file"),
        ("a\0b", "no such file"),
        ("gone/model.safetensors", "no such file"),
    ],
)
def test_what_is_not_there(make, what, said):
    make("net1")
    make("net2")
    assert said in refused(what)


def test_no_run_at_all(here):
    assert refused("x") == "'x': no such file, and no run in results/runs"


def test_a_run_that_has_no_model_yet(make):
    make("x", models=())
    said = refused("x")
    assert "has no last.safetensors" in said
    assert said.endswith("python -m mnist_core train --resume results/runs/cpu/x")


def test_no_such_checkpoint(make):
    make("x")
    assert refused("x", checkpoint="first") == (
        "--checkpoint: must be last or best, but got 'first'"
    )


@pytest.mark.parametrize("what", ["results/some study", "results/some study/best_config.toml"])
def test_a_study(study, what):
    study("[record]\nconfirm_trial = 3", model="3.safetensors")
    kept = "results/some study/checkpoints/confirm/3.safetensors"
    assert str(find_model(what).checkpoint) == kept
    assert find_model(what).run is None
    assert "--checkpoint best" in refused(what, checkpoint="best")


def test_a_study_whose_model_is_gone(study):
    study("[record]\nconfirm_trial = 3", model="4.safetensors")
    said = refused("results/some study")
    assert "the model that it records is gone" in said
    assert said.endswith("python -m mnist_core train 'results/some study/best_config.toml'")


@pytest.mark.parametrize("record", ["", "[record]", "[record]\nconfirm_trial = 'x'"])
def test_a_configuration_of_no_study(study, record):
    study(record)
    assert "names no trained model" in refused("results/some study/best_config.toml")


def test_runs_by_age(make):
    for name, environment in (("b", "cpu"), ("a", "cuda"), ("b", "cuda"), ("c", "cpu")):
        make(name, environment=environment)
    found = [f"{path.parent.name}/{path.name}" for path in run_lookup.all_runs(run_lookup.RUNS)]
    assert found == ["cuda/a", "cpu/b", "cuda/b", "cpu/c"]
