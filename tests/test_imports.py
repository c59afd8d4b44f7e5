"""Imports between packages point one way; docs/architecture.md says which."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

ALLOWED = {
    "studies": {"objectives", "mnist_core", "search_spaces"},
    "objectives": {"mnist_core", "search_spaces"},
    "search_spaces": set(),
    "mnist_core": set(),
}
"""Which of the local packages each one may import, besides itself."""

NEVER_IMPORTED = {"tests", "benchmarks"}
STUDY_TOOLS = {"optuna", "optuna_dashboard", "ray", "wandb", "mlflow", "tensorboard"}
"""Only ``studies/``, ``objectives/*optuna*.py``, ``*ray*.py`` there and ``SPACES`` know these."""
TRACKERS = {"wandb", "mlflow", "tensorboard"}
"""``mnist_core/tracking/`` knows these, too: a single training can be tracked."""
SPACES = "search_spaces/conversion.py"
"""Turns spaces into those of Ray Tune."""


def imported(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and top-level name of all absolute imports, lazy ones included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module.split(".")[0]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func).split(".")[-1]
            name = node.args[0].value
            if called in ("import_module", "__import__") and isinstance(name, str):
                yield node.lineno, name.split(".")[0]


def violations(path: str, source: str) -> list[str]:
    """Return a line for every import in ``path`` (from the root, with /) that points backwards."""
    package, _, rest = path.partition("/")
    adapter = path == SPACES or (package == "objectives" and ("optuna" in rest or "ray" in rest))
    wrong = []
    for line, name in imported(source):
        backwards = name in ALLOWED and name != package and name not in ALLOWED[package]
        tracker = path.startswith("mnist_core/tracking/") and name in TRACKERS
        tool = name in STUDY_TOOLS and package != "studies" and not adapter and not tracker
        if backwards or tool or name in NEVER_IMPORTED:
            wrong.append(f"{path}:{line} imports {name}")
    return wrong


FILES = sorted(
    path.relative_to(ROOT).as_posix() for name in ALLOWED for path in (ROOT / name).rglob("*.py")
)


def test_all_packages_are_looked_at():
    assert {path.split("/")[0] for path in FILES} == set(ALLOWED)


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_point_one_way(package):
    found = []
    for path in FILES:
        if path.startswith(f"{package}/"):
            found += violations(path, (ROOT / path).read_text(encoding="utf-8"))
    assert found == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("mnist_core/train.py", "import optuna"),
        ("mnist_core/tracking/base.py", "import optuna"),
        ("mnist_core/train.py", "from studies.ledger.opening import TrialBook"),
        ("mnist_core/train.py", "from search_spaces import space"),
        ("mnist_core/train.py", "def f():\n    import ray.tune as t"),
        ("mnist_core/train.py", "try:\n    import wandb\nexcept ImportError:\n    pass"),
        ("mnist_core/train.py", "import numpy, objectives.base"),
        ("mnist_core/train.py", "import importlib\nimportlib.import_module('studies.spec')"),
        ("mnist_core/train.py", "if TYPE_CHECKING:\n    from objectives.base import Task"),
        ("search_spaces/space.py", "from mnist_core.errors import UserError"),
        ("search_spaces/space.py", "from optuna.distributions import FloatDistribution"),
        ("objectives/classification.py", "from studies.planning.plan import Plan"),
        ("objectives/classification.py", "import optuna"),
        ("studies/ledger/opening.py", "from tests.conftest import thing"),
    ],
)
def test_the_check_sees_an_arrow_that_turned_round(path, source):
    assert len(violations(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (
            "studies/ledger/pages.py",
            "import optuna\nfrom objectives.base import Task\nimport mnist_core",
        ),
        ("studies/search/optuna_bridge.py", "from search_spaces.space import Space"),
        ("objectives/classification.py", "from search_spaces.space import Space"),
        ("objectives/optuna_objective.py", "import optuna"),
        ("objectives/base.py", "from mnist_core.config import TrainConfig"),
        ("mnist_core/train.py", "from . import config\nfrom mnist_core import data\nimport torch"),
        ("search_spaces/optimizers.py", "from search_spaces.space import Space"),
    ],
)
def test_the_check_lets_the_right_ones_through(path, source):
    assert violations(path, source) == []


TRAINER = "objectives.trainer"
SETTINGS = "studies/planning/settings.py"
"""The one module of ``studies/`` that names the trainer's settings: ``conf.toml`` has them."""


def of_the_trainer(source: str) -> list[str]:
    """Return what ``source`` names of the trainer's settings or of its adapter."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Name | ast.Attribute):
            found.append(node.id if isinstance(node, ast.Name) else node.attr)
    wanted = (TRAINER, "mnist_core.config.TrainConfig", "TrainConfig", "TrainerAdapter")
    return [name for name in found if name.startswith(wanted)]


def test_studies_know_the_settings_of_an_objective_only_by_its_adapter():
    naming = [
        path
        for path in FILES
        if path.startswith("studies/") and of_the_trainer((ROOT / path).read_text(encoding="utf-8"))
    ]
    assert naming == [SETTINGS]


@pytest.mark.parametrize(
    "source",
    [
        "from objectives.trainer.adapter import TrainerAdapter",
        "from objectives.trainer import settings",
        "from objectives import trainer",
        "import objectives.trainer.settings as mine",
        "if TYPE_CHECKING:\n    from mnist_core.config import TrainConfig",
        "def f():\n    from mnist_core import config\n    return config.TrainConfig()",
    ],
)
def test_the_settings_of_the_trainer_are_seen_however_they_are_named(source):
    assert of_the_trainer(source)
