"""A count and its noun agree: "1 epoch", "2 epochs", in whatever is printed with counts of one."""

import re

import pytest
from toy import Toy, make_plan
from toy_trail import quiet, run  # noqa: F401

from mnist_core.console.plain_text import are, counted
from mnist_core.errors import UserError
from objectives.preparation import Preparation
from studies.analysis import stored_study
from studies.core.trials import Forked
from studies.protocol.control import StudyInterrupted
from studies.protocol.preflight import describe
from studies.report import overview
from studies.report.live import PlainView
from studies.report.progress import Progress
from studies.report.table import markdown
from studies.search.stopping import Stop

NOUNS = (
    "trial epoch seed time model image file worker thread training pair report step run class"
    " choice row line column configuration point batch reading prediction parameter mistake"
    " core node"
)
_SEVERAL = "|".join(
    re.escape(noun) + ("es" if noun in ("class", "batch") else "s") for noun in NOUNS.split()
)
WRONG = re.compile(rf"(?<![\d.,:/x-])1 (?:[a-zA-Z-]+ ){{0,2}}(?:{_SEVERAL})\b|\(s\)")


def test_a_noun_has_the_number_of_its_count():
    assert [counted(n, "trial") for n in (0, 1, 2, 1000)] == [
        "0 trials",
        "1 trial",
        "2 trials",
        "1,000 trials",
    ]
    assert counted(1, "study", "studies") == "1 study" and counted(2, "study", "studies")[2:] == (
        "studies"
    )
    assert [are(0), are(1), are(2)] == ["are", "is", "are"]


def test_the_pattern_finds_what_was_wrong():
    for text in ("1 epochs", "1 search trials failed", "read 1 time(s)", "1 workers x 1 threads"):
        assert WRONG.search(text)
    for text in (
        "0.1 images",
        "11 trials",
        "1 of 3 trials",
        "3/1 runs",
        "1 trial",
        "1 classes"[:7],
    ):
        assert not WRONG.search(text)


@pytest.mark.usefixtures("quiet")
def test_a_study_of_one_trial(tmp_path, capsys):
    failing = make_plan(tmp_path / "a", trials=1)
    with pytest.raises(UserError) as error:
        run(failing, Toy(failing=("adam",)))
    plan = make_plan(tmp_path / "b", trials=1, seeds=2)
    lines: list[str] = [str(error.value)]
    view = PlainView(Progress(metric="val_accuracy"), lines.append)
    result = run(plan, Toy(), listeners=[view])
    lines += [markdown(result), str(StudyInterrupted("search", 0, 1))]
    lines.append(str(Forked(study="a", carried=1, left=())))
    lines.append(str(Stop(rule="target", why="it was met", trials=1, planned=1)))
    one = Preparation(
        fingerprint="", seconds=(1.0,), parameters=(2,), flops=(1,), epochs=(1,), memory=1
    )
    lines.append(describe(plan.trainings / plan.workers, [one]))
    for found in (stored_study.read(failing), stored_study.read(plan)):
        overview.print_status(found)
        overview.print_failures(found)
    lines += capsys.readouterr().out.splitlines()
    assert len(lines) > 20
    wrong = [line for text in lines for line in text.splitlines() if WRONG.search(line)]
    assert not wrong
