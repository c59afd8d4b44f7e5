"""The house's own rules: the fixed top level, a README and pins that tell the truth."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

from needs import missing

ROOT = Path(__file__).parents[1]
TOP_LEVEL = {
    "studies",
    "search_spaces",
    "objectives",
    "mnist_core",
    "results",
    "conf.toml",
    "pyproject.toml",
    "README.md",
    "tests",
    "benchmarks",
    "docs",
    "notebooks",
    "LICENSE",
    "MANIFEST.in",
    "Makefile",
    "constraints.txt",
}


def tracked() -> list[str]:
    try:
        listing = subprocess.run(
            ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        missing("not a git checkout, so nothing says what is tracked")
    return listing.stdout.splitlines()


def test_the_top_level_is_the_agreed_one() -> None:
    names = {path.partition("/")[0] for path in tracked()}
    assert {name for name in names if not name.startswith(".")} == TOP_LEVEL


def test_results_holds_only_its_page() -> None:
    assert [path for path in tracked() if path.startswith("results/")] == ["results/README.md"]


def test_the_embedded_data_is_small() -> None:
    files = [ROOT / path for path in tracked() if "/embedded/" in path]
    assert len(files) == 7
    assert sum(path.stat().st_size for path in files) < 2_000_000


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    names = {re.split(r"[\[<>=]", line)[0] for line in wanted}
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {normal(line.partition("==")[0]) for line in pins if "==" in line}
    assert {normal(name) for name in names} <= pinned


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_pages_name_files_that_exist() -> None:
    """README and the architecture page name no module or folder that is gone."""
    gone = []
    for page in ("README.md", "docs/architecture.md"):
        text = re.sub(r"```python.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
        for name in re.findall(r"\b((?:studies|mnist_core|tests|benchmarks|docs)/[\w./]+)", text):
            if not (ROOT / name).exists():
                gone.append(f"{page}: {name}")
    assert gone == []


def test_readme_shows_commands_that_exist() -> None:
    readme = (ROOT / "README.md").read_text()
    targets = set(re.findall(r"^make ([a-z-]+)", readme, re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text()
    assert {"study", "test"} <= targets
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def code_of(readme_heading: str) -> str:
    readme = (ROOT / "README.md").read_text()
    section = readme.partition(f"## {readme_heading}\n")[2]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found
    return found[1]


def test_the_readmes_study_is_one() -> None:
    names: dict[str, Any] = {}
    exec(code_of("A study of your own"), names)
    study = names["STUDY"]
    assert study.choices == (32, 64, 128)
    assert study.default_of(study.baseline) == {"batch_size": 64, "optim.lr": 1e-3}
