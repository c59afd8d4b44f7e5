"""A folder of one's own, used as a user would: ``studies init``, by name, by file, moved."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN = ("--plain", "--workers", "1", "--track", "none", "--set", "data.test_set=true")


class Shell:
    """Runs the programs in a folder, as from a terminal."""

    def __init__(self, folder):
        self.folder = folder
        self.environment = {
            key: value for key, value in os.environ.items() if key != "STUDIES_PROJECT"
        }
        self.environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def __call__(self, *words, code=0):
        done = subprocess.run(
            [sys.executable, "-m", *map(str, words)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stderr + done.stdout
        assert "Traceback" not in done.stderr
        return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a new project in an empty folder, and what ``init`` printed."""
    outside = tmp_path_factory.mktemp("empty")
    said = Shell(outside)("studies", "init", "my project")
    return outside / "my project", said


@pytest.fixture
def project(made, tmp_path):
    """Return a copy of the new project."""
    return Path(shutil.copytree(made[0], tmp_path / "my project"))


@pytest.fixture(scope="module")
def ran(made, tmp_path_factory):
    """Return a project whose study has been run."""
    folder = Path(shutil.copytree(made[0], tmp_path_factory.mktemp("ran") / "my project"))
    Shell(folder)("studies.run", "my_study", "--quick", *RUN)
    return folder


def test_init_names_its_files_and_overwrites_nothing(made):
    folder, said = made
    names = sorted(path.name for path in folder.iterdir())
    assert names == re.findall(r"my project/(\S+)", said) and "conf.toml" in names
    assert len((folder / "README.md").read_text().splitlines()) <= 10
    assert "'my project'" in said
    before = {path: path.read_bytes() for path in folder.iterdir()}
    refused = Shell(folder.parent)("studies", "init", "my project", code=1)
    assert len(refused.splitlines()) == 1 and "my_study.py" in refused
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_the_list_and_show_say_where_own_things_are(project):
    (project / "wrong.py").write_text("STUDY = (")
    (project / "nothing.py").write_text("STUDY = 3\n")
    (project / "raises.py").write_text("from studies.spec import StudySpec\nSTUDY = StudySpec(1)\n")
    listed = json.loads(Shell(project)("studies", "list", "--json"))
    studies = {one["name"]: one for one in listed["catalog"]}
    assert studies["my_study"]["file"] == "my_study.py" and not studies["my_study"]["broken"]
    assert "STUDY" in studies["nothing"]["broken"]
    assert "raises.py, line 2: TypeError" in studies["raises"]["broken"]
    (line,) = listed["broken_files"]
    assert "wrong.py, line 1: SyntaxError" in line
    shown = Shell(project)("studies", "list")
    assert "my_study.py" in shown and "wrong.py" in shown
    plan = json.loads(Shell(project)("studies", "show", "my_study", "--json"))
    assert plan["settings"]["train.model.name"]["source"] == "my_study.py (fixed)"


PEAK = """
from search_spaces.space import Float, Space
from studies.spec import StudySpec

def height(params):
    return -(params["x"] ** 2)

STUDY = StudySpec(
    name="peak", goal="Where is the peak?", space=Space({"x": Float(-1.0, 1.0)}),
    default={"x": 0.5}, objective=height, metric="score", trials=3,
)
"""


@pytest.mark.long
def test_commands_of_a_study_that_only_its_file_names_can_be_pasted(tmp_path):
    (tmp_path / "peak.py").write_text(PEAK)
    shell = Shell(tmp_path)
    once = ["--track", "none", "--engine", "inline", "--plain"]
    output = shell("studies.run", "./peak.py", *once)
    (again,) = [line for line in output.splitlines() if "studies reproduce" in line]
    assert "--study ./peak.py" in again
    shell(*shlex.split(again)[-5:])
    refused = shell("studies", "reproduce", "results/peak/best_config.toml", code=1)
    assert "--study" in refused and len(refused.splitlines()) == 1
    copied = shell("studies", "copy", "results/peak", "--to", f"sqlite:///{tmp_path}/copy.db")
    words = shlex.split(copied.partition("python -m ")[2])
    assert words[:2] == ["studies.run", "./peak.py"]
    assert "had finished before" in shell(*words)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("STUDY = (", "line 1: SyntaxError"),
        ("x = 1", "STUDY"),
        ("STUDY = 1", "STUDY"),
        ("STUDY = 1\nimport no_such_module", "line 2: ModuleNotFoundError"),
        (None, "does not exist"),
    ],
)
def test_a_wrong_study_file_is_one_line(project, text, said):
    if text is not None:
        (project / "wrong.py").write_text(text)
    refused = Shell(project)("studies.run", "./wrong.py", code=1)
    assert len(refused.splitlines()) == 1
    assert "wrong.py" in refused and said in refused


@pytest.mark.long
def test_a_name_in_two_places_is_refused_with_both(project):
    shutil.copy(project / "my_model.py", project / "cnn.py")
    refused = Shell(project)("mnist_core", "summary", "--set", "model.name=cnn", code=1)
    assert "cnn.py" in refused and "mnist_core/models" in refused
    shutil.copy(project / "my_study.py", project / "optim_search.py")
    refused = Shell(project)("studies", "show", "optim_search", code=1)
    assert "optim_search.py" in refused and "studies/catalog" in refused


@pytest.mark.long
def test_no_code_of_a_foreign_place_is_run(project, tmp_path):
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    trap = f"open({str(tmp_path / 'ran')!r}, 'w')\ndef build(config, n_classes): ...\n"
    (foreign / "trap.py").write_text(trap)
    config = project / "best_config.toml"
    for name in (str(foreign / "trap.py"), "../foreign/trap.py"):
        config.write_text(f"model.name = {json.dumps(name)}\n")
        refused = Shell(project)("mnist_core", "train", config, code=1)
        assert "project" in refused and len(refused.splitlines()) == 1
    (foreign / "conf.toml").write_text('[project]\npath = ["."]\n')
    refused = Shell(project)("studies", "show", "my_study", "--conf", foreign / "conf.toml", code=1)
    assert "project.path" in refused
    assert not (tmp_path / "ran").exists()


@pytest.mark.long
def test_a_study_of_ones_own_runs_is_found_and_made_again(ran):
    shell = Shell(ran)
    assert "finished" in shell("studies", "status", "my_study", "--quick")
    shell("studies", "reproduce", "results/my_study-quick/best_config.toml")
    shell("mnist_core", "train", "results/my_study-quick/best_config.toml")
    record = json.loads(shell("studies", "status", "my_study", "--quick", "--json"))
    assert record["result"]["winner"]["settings"]["model"]["name"] == "my_model"
    said = shell("studies", "refine", "my_study", "--quick")
    assert (ran / "my_study_refined.py").is_file() and "my_study_refined" in said
    shell("studies", "show", "my_study_refined")


@pytest.mark.long
def test_a_study_is_read_and_resumed_where_its_folder_has_moved(ran, tmp_path):
    moved = Path(shutil.copytree(ran, tmp_path / "elsewhere"))
    shell = Shell(moved)
    assert "finished" in shell("studies", "status", "my_study", "--quick")
    resumed = shell("studies.run", "my_study", "--quick", *RUN)
    assert "finished" in resumed or "Best" in resumed
    events = (moved / "results/my_study-quick/events.jsonl").read_text()
    assert str(ran.parent) not in json.loads(events.splitlines()[0]).get("code", "")
    # A change of the code is seen, and looking needs no code at all.
    model = moved / "my_model.py"
    model.write_text(model.read_text().replace("nn.ReLU", "nn.Tanh"))
    refused = shell("studies.run", "my_study", "--quick", *RUN, code=1)
    assert "my_model.py" in refused and len(refused.splitlines()) == 1
    for name in ("conf.toml", "my_model.py", "my_study.py"):
        (moved / name).unlink()
    assert "finished" in shell("studies", "status", "results/my_study-quick")
    refused = shell("mnist_core", "train", "results/my_study-quick/best_config.toml", code=1)
    assert "my_model" in refused


@pytest.mark.long
def test_a_study_is_run_by_its_file_from_another_folder(project, tmp_path):
    shell = Shell(tmp_path)
    (project / "conf.toml").unlink()
    said = shell("studies.run", "my project/my_study.py", "--quick", *RUN)
    commands = re.findall(r"python -m (studies dashboard .*)", said)
    assert commands and "my project/my_study.py" in commands[0]
    assert "finished" in shell("studies", "status", "my project/my_study.py", "--quick")
    script = "import studies; print(studies.load('my project/my_study.py', quick=True).phase)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=shell.environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "finished", done.stderr
