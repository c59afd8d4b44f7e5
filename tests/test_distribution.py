"""The wheel and the source distribution: complete, and the installed programs work without make."""

import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import tomllib
import urllib.request
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import torch
from needs import missing

from studies import catalog

ROOT = Path(__file__).parents[1]
ENVIRONMENT = {"LC_ALL": "C", "OMP_NUM_THREADS": "1"}


def tracked() -> list[str]:
    """Return the files that git tracks, from the top."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True)
    if listing.returncode:
        missing("not a git checkout, so nothing says what belongs into a distribution")
    return [name for name in listing.stdout.decode().split("\0") if name]


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """The source distribution, and the wheel that is built from it, of what git tracks."""
    place = tmp_path_factory.mktemp("built")
    source = place / "source"
    for name in tracked():
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_symlink():
            target.symlink_to(os.readlink(ROOT / name))
        elif (ROOT / name).is_file():
            target.write_bytes((ROOT / name).read_bytes())
    _build(source, "sdist", place)
    sdist = next(place.glob("*.tar.gz"))
    with tarfile.open(sdist) as archive:
        archive.extractall(place, filter="data")
    _build(place / sdist.name.removesuffix(".tar.gz"), "wheel", place)
    return sdist, next(place.glob("*.whl"))


def _build(source, kind, target):
    # Without pip, which would download setuptools; torch has brought it here.
    code = f"from setuptools import build_meta as b; b.build_{kind}({str(target)!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def content(built):
    """The files in the wheel, by name."""
    with zipfile.ZipFile(built[1]) as wheel:
        return {name: wheel.read(name) for name in wheel.namelist()}


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_packages(content):
    packages = ("studies", "mnist_core", "objectives", "search_spaces")
    assert {name for name in tracked() if name.partition("/")[0] in packages} <= set(content)
    assert {f"{package}/py.typed" for package in packages} <= set(content)
    project = {name for name in tracked() if name.startswith("studies/cli/project/")}
    assert project and project <= set(content)
    assert content["studies/conf.toml"] == (ROOT / "conf.toml").read_bytes()
    demo = {f"mnist_core/demo/page/demo.{end}" for end in ("html", "css", "js")}
    demo |= {f"mnist_core/demo/models/{name}.safetensors" for name in ("digits", "pairs")}
    for name in demo:
        assert content[name] == (ROOT / name).read_bytes()
    embedded = ROOT / "mnist_core/data/embedded"
    for file in embedded.glob("*.gz"):
        assert content[f"mnist_core/data/embedded/{file.name}"] == file.read_bytes()


@pytest.mark.slow
def test_the_wheel_says_what_it_is(content):
    about = next(name for name in content if name.endswith(".dist-info/METADATA"))
    said = Parser().parsestr(content[about].decode())
    assert said["License-Expression"] == "MIT AND CC-BY-SA-3.0"
    assert set(said.get_all("License-File")) == {"LICENSE", "mnist_core/data/embedded/LICENSE.md"}
    licences = about.replace("METADATA", "licenses/")
    assert licences + "LICENSE" in content
    assert licences + "mnist_core/data/embedded/LICENSE.md" in content
    assert said.get_all("Project-URL") and "Typing :: Typed" in said.get_all("Classifier")
    starts = content[about.replace("METADATA", "entry_points.txt")].decode()
    assert "studies = studies.__main__:main" in starts
    assert "mnist-core = mnist_core.__main__:main" in starts


@pytest.mark.slow
def test_the_source_can_be_run_and_tested(built):
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    left = [name for name in tracked() if name not in names]
    assert [name for name in left if not name.startswith(".")] == []


@pytest.fixture(scope="session")
def installed(built, tmp_path_factory):
    """A virtual environment with the wheel; what it depends on is taken from this one."""
    place = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    python = place / "bin/python"
    site = subprocess.run(
        [python, "-c", "import site; print(site.getsitepackages()[0])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    (Path(site) / "needed.pth").write_text(f"{Path(torch.__file__).parents[1]}\n")
    pip = [python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
    # What is installed here is seen there, but must be left alone.
    subprocess.run([*pip, "--ignore-installed", built[1]], check=True, capture_output=True)
    return place / "bin"


@pytest.fixture
def shell(installed, tmp_path):
    """Runs a line in a shell, in an empty folder, with the installed programs and no others."""
    folder = tmp_path / "a folder of mine"
    folder.mkdir()
    # Not a module of this program, whatever its name is.
    (folder / "random.py").write_text("raise RuntimeError('a file of mine was imported')")
    kept = {name: os.environ[name] for name in ("HOME", "TMPDIR") if name in os.environ}

    def call(line, *, start=False):
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {line}" if start else line],
            cwd=folder,
            env={**kept, **ENVIRONMENT, "PATH": str(installed)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if start:
            return process
        said, problem = process.communicate()
        assert process.returncode == 0, f"{line}: {said}\n{problem}"
        assert "Traceback" not in problem and "python -m" not in said + problem
        return said

    call.folder = folder
    return call


@pytest.mark.long
def test_the_installed_programs_work_in_an_empty_folder(shell):
    assert shell("studies --version") == shell("mnist-core --version")
    assert "optim_search" in shell("studies list")
    shell("studies config > conf.toml")
    written = (shell.folder / "conf.toml").read_text(encoding="utf-8")
    shipped = (ROOT / "conf.toml").read_text(encoding="utf-8")
    # Its comments name commands in the form in which it was written.
    for module, script in (("studies", "studies"), ("mnist_core", "mnist-core")):
        shipped = shipped.replace(f"python -m {module}", script)
    assert written == shipped and tomllib.loads(written)
    shell("studies show optim_search --quick")
    done = shell("studies run optim_search --quick --plain --track none")
    assert "studies dashboard optim_search --quick" in done
    folder = shell.folder / "results/optim_search-quick"
    assert {"report.md", "result.json", "best_config.toml"} <= {f.name for f in folder.iterdir()}
    listed = json.loads(shell("studies list --json"))
    assert [(one["name"], one["state"]) for one in listed["results"]] == [
        ("optim_search-quick", "finished")
    ]
    assert [one["name"] for one in listed["catalog"]] == list(catalog.names())
    stood = json.loads(shell("studies status optim_search --quick --json"))
    assert stood["result"] == json.loads((folder / "result.json").read_text())
    shell("studies report optim_search --quick")
    shell("studies export results/optim_search-quick --out again.toml")
    shell("studies reproduce results/optim_search-quick/best_config.toml")
    assert (shell.folder / "again.toml").is_file()


@pytest.mark.long
def test_a_project_of_the_installed_programs_runs(shell):
    shell("studies init my-project")
    made = shell.folder / "my-project"
    templates = ROOT / "studies/cli/project"
    assert {file.name for file in made.iterdir()} == {file.name for file in templates.iterdir()}
    shell("cd my-project && studies run my_objective --plain --track none")
    shell("cd my-project && studies run my_study --quick --plain --track none")
    shell("cd my-project && studies reproduce results/my_study-quick/best_config.toml")
    shell("cd my-project && mnist-core export results/my_study-quick/best_config.toml --out m.pt2")
    for study in ("my_objective", "my_study-quick"):
        assert {"report.md", "result.json"} <= {
            f.name for f in (made / "results" / study).iterdir()
        }
    assert (made / "m.pt2").is_file()


@pytest.mark.long
def test_the_installed_dashboard_starts_and_ends(shell):
    shell("studies run optim_search --quick --plain --track none")
    serving = shell("studies dashboard optim_search --quick --port 0 --no-open", start=True)
    try:
        address = re.search(r"http://\S+", serving.stdout.readline())
        assert address
        with urllib.request.urlopen(address[0] + "dashboard/") as page:
            assert page.status == 200
    finally:
        serving.send_signal(signal.SIGINT)
        said, problem = serving.communicate()
    assert serving.returncode == 0 and problem == "" and "ended" in said


@pytest.mark.long
def test_the_installed_trainer_works_in_an_empty_folder(shell):
    assert "mnist-10pct" in shell("mnist-core data show")
    assert "ok" in shell("mnist-core data verify mnist-10pct")
    shell("mnist-core train --set epochs=1 --name first")
    assert (shell.folder / "results/runs").is_dir()
    shell("mnist-core evaluate first")


@pytest.mark.long
@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_a_shell_can_be_told_to_complete(shell, name):
    hidden = "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION=1"
    for program in ("studies", "mnist-core"):
        script = shell(f"{hidden} {program} --show-completion {name}")
        assert f"{program.upper().replace('-', '_')}_COMPLETE" in script
    shell(f"HOME=$PWD {hidden} studies --install-completion {name}")
    assert any(path.is_file() for path in shell.folder.rglob("*studies*"))


@pytest.mark.long
def test_bash_completes_studies(shell):
    words = "COMP_WORDS='studies run opt' COMP_CWORD=2 _STUDIES_COMPLETE=complete_bash"
    assert shell(f"{words} studies").split() == ["optim_search"]
    words = "COMP_WORDS='mnist-core tr' COMP_CWORD=1 _MNIST_CORE_COMPLETE=complete_bash"
    assert shell(f"{words} mnist-core").split() == ["train"]
