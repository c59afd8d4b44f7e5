"""Every command that the product prints, pasted: each must do what it was printed for."""

import html
import re
from pathlib import Path

import pytest
from in_this_process import here  # noqa: F401
from toyland import commands, toyland  # noqa: F401

from mnist_core.runs import training_run
from mnist_core.web import server

RUN = ("--track", "none", "--plain", "--engine", "inline")
ODD = "my 'odd' results"
CONF = """
[results]
folder = "elsewhere"
[studies.toyland]
epochs = 2
"""


@pytest.fixture
def paste(here, monkeypatch):  # noqa: F811
    """Runs a printed command; a dashboard ends at once, and the trainer trains nothing."""
    asked = []

    def ended(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(server.ThreadedServer, "serve_forever", ended)
    monkeypatch.setattr(training_run, "run", lambda plan, console: asked.append(plan.config))

    def call(words):
        assert words[:2] == ("python", "-m")
        module, *rest = words[2:]
        extra = ["--port", "0", "--no-open"] if rest[0] == "dashboard" else []
        if rest[0] == "reproduce":  # trains, and compares with what it came to
            module, rest = "mnist_core", ["train", *rest[1:]]
        done = here(module, *rest, *extra)
        assert rest[0] != "train" or asked.pop()
        return done

    return call


def read(folder):
    """Yield the files of a study that people read, as text."""
    for name in ("report.md", "report.html", "best_config.toml"):
        if (folder / name).exists():
            text = (folder / name).read_text()
            yield html.unescape(re.sub("<[^>]*>", "\n", text)) if name.endswith("html") else text


# What is run, and the folder that it leaves.
SITUATIONS = {
    "set": ([["toyland", "--set", "label_smoothing=0.05"]], "results/toyland"),
    "quick": ([["toyland", "--quick", "--set", "epochs=2"]], "results/toyland-quick"),
    "dataset": ([["toyland", "--dataset", "fashion_mnist"]], "results/toyland"),
    "conf": ([["toyland", "--conf", "my conf.toml"]], "elsewhere/toyland"),
    "folder": (
        [["plainland", "--quick", "--set", f"results.folder={ODD}"]],
        f"{ODD}/plainland-quick",
    ),
    "journal": ([["toyland", "--set", "storage.url=journal:///a study.log"]], "results/toyland"),
    "front": (
        [["toyland", "--trials", "6", "--set", "search.objectives.parameters=minimize"]],
        "results/toyland",
    ),
    "fork": (
        [["toyland"], ["toyland", "--set", "epochs=2", "--fork", "wide"]],
        "results/toyland-wide",
    ),
    "fresh": ([["toyland"], ["toyland", "--fresh", "--set", "epochs=2"]], "results/toyland"),
    "interrupted": ([["toyland", "--set", "epochs=3", "--trials", "3"]], "results/toyland"),
    "learned": (
        [["toyland"], ["plainland", "--learn-from", "toyland"]],
        "results/plainland",
    ),
    "failed": ([["toyland", "--set", "label_smoothing=0.5"]], "results/toyland"),
}
CHEAP = ("set", "folder", "journal", "interrupted")
"""The others are like one of these, and are run in CI."""

REPORTED = ("set", "fresh", "failed", "front")
CODES = {"interrupted": 130, "failed": 1}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in CHEAP else pytest.mark.long) for name in SITUATIONS],
)
def test_all_that_is_printed_can_be_pasted(name, toyland, paste, here):  # noqa: F811
    Path("my conf.toml").write_text(CONF)
    runs, folder = SITUATIONS[name]
    said, code = [], CODES.get(name, 0)
    if name == "interrupted":
        Path("interrupt").touch()
    for words in runs:
        done = here("studies.run", *words, *RUN)
        assert done.returncode == code, done.stderr
        said += [done.stdout, done.stderr]
    finished = {"watch": 1, "status": 0, "export": int(code > 0)}
    finished |= {"report": 0} if name in REPORTED else {}
    for looking, expected in finished.items():
        done = here("studies", looking, folder)
        assert done.returncode == expected, (looking, done.stderr)
        said += [done.stdout, done.stderr]
    said += read(Path(folder))
    printed = {tuple(one) for text in said for one in commands(text)}
    kinds = {one[3] for one in printed if one[2] != "studies.run"}
    assert kinds >= ({"status"} if code else {"dashboard", "status", "train"})
    assert name != "front" or "export" in kinds
    for one in sorted(printed):
        again = paste(one)
        assert again.returncode == int(name == "failed" and one[2] == "studies.run"), again.stderr
        assert again.returncode or again.stderr == "", one
