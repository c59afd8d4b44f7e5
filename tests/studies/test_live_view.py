"""What the live view shows, on terminals of several sizes."""

import io

import pytest
from live_events import confirm, event, params, search
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from rich.cells import cell_len
from rich.console import Console
from toy import SPEC, Toy, make_plan
from toy_trail import quiet, run  # noqa: F401

from studies.ledger.leaderboard import leaderboard
from studies.report.live import LiveView
from studies.report.progress import Progress, progress_of

WIDTHS = (60, 80, 120, 200)


def shown(events, *, width=120, height=None, choice="optim.name", now=1030.0, **options):
    """Return the lines of the panel after ``events``."""
    progress = Progress(metric="val_accuracy", choice=choice)
    file = options.pop("file", io.StringIO())
    console = Console(file=file, width=width, force_terminal=True, **options)
    view = LiveView(progress, console, title="toy on " + "a long place " * 20, hint="Ctrl-C: stop")
    for one in events:
        view(one)
    with console.capture() as captured:
        console.print(view.render(now, height=height))
    return captured.get().splitlines()


def plain(events, **options):
    return shown(events, color_system=None, **options)


def row(lines, first):
    """Return the words of the table's line that starts with ``first``."""
    found = [line.strip("│").split() for line in lines if line.strip("│ ").startswith(first)]
    assert len(found) == 1, lines
    return found[0]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("height", [None, 12, 24, 60])
@pytest.mark.parametrize("events", [search, confirm])
def test_the_panel_is_whole(events, width, height):
    told = [*events(), event("message", text="word " * 60)]
    lines = plain(told, width=width, height=height)
    assert {cell_len(line) for line in lines} == {width}
    assert lines[0][0] + lines[0][-1] + lines[-1][0] + lines[-1][-1] == "╭╮╰╯"
    assert all(line[0] == line[-1] == "│" for line in lines[1:-1])
    assert height is None or len(lines) <= height
    assert "Ctrl-C: stop" in lines[-2] and "best so far" in "".join(lines)


@pytest.mark.parametrize("width", WIDTHS)
def test_numbers_are_never_cut(width):
    text = " ".join(plain(search(), width=width))
    best = ("91.80", "91.60", "91.10", "91.80 %", "trial 8")
    assert all(number in text for number in best)
    for word in text.replace("│", " ").split():
        if "=" in word:
            assert word in {f"lr={0.001 * n:.3g}" for n in range(1, 11)}


def test_the_leaderboard_is_by_choice():
    lines = plain(search(trials=12))
    # trials 0, 3, 6, 9: complete, pruned, complete, failed
    assert row(lines, "sgd  ")[:6] == ["sgd", "91.60", "4", "1", "1", "1"]
    assert row(lines, "rmsprop  ")[:4] == ["rmsprop", "91.80", "4", "1"]
    head = next(index for index, line in enumerate(lines) if "optim.name" in line)
    assert [line.strip("│ ").split()[0] for line in lines[head + 1 :][:3]] == [
        "adam",
        "rmsprop",
        "sgd",
    ]


def test_without_choices_it_is_of_trials():
    lines = plain(search(), choice="")
    head = next(line for line in lines if "best trials" in line)
    ranked = [line.strip("│ ").split()[:2] for line in lines[lines.index(head) + 1 :]][:5]
    assert ranked == [
        ["8", "91.80"],
        ["6", "91.60"],
        ["5", "91.50"],
        ["2", "91.20"],
        ["1", "91.10"],
    ]


def test_confirm_has_a_row_for_each_configuration():
    lines = plain(confirm())
    head = next(line for line in lines if "lowest to highest" in line)
    first, second = (line.strip("│ ").split() for line in lines[lines.index(head) + 1 :][:2])
    assert first[:5] == ["3", "95.50", "95.00", "to", "96.00"] and first[-2:] == ["sgd", "lr=0.001"]
    assert second[:6] == ["2", "93.50", "93.00", "to", "94.00", "1"] and "adam" in second
    assert "best so far  95.50 %  mean of 3 seeds" in "".join(lines)


def test_the_last_ended_trials_and_errors_are_in_words():
    lines = plain(search(trials=11))
    ended = [
        line.strip("│ ").split()
        for line in lines[next(index for index, line in enumerate(lines) if "ended" in line) :]
    ]
    assert ended[1][:4] == ["10", "complete", "92.00", "%"]
    assert ended[2][:3] == ["9", "failed", "-"] and "NonFiniteLoss:" in ended[2]
    assert ended[4][:5] == ["7", "pruned", "at", "step", "1"]
    # Only the numbers differ: one line, with the latest of them.
    said = [line for line in lines if "times, last trial" in line]
    assert len(said) == 1
    assert "2 times, last trial 9: NonFiniteLoss: the loss is nan at step 9 of the" in said[0]


def test_time_left_and_its_bar():
    lines = plain(search(trials=10), now=1040.0)
    assert "Search 10/20" in lines[1] and "15/min" in lines[1] and "40 s left" in lines[1]
    # Without colours, too, it is seen how far the bar is.
    assert abs(lines[1].count("━") - lines[1].count("─")) <= 1
    assert "time left: not known yet" in plain([event("phase", name="search", total=9)])[1]


def test_a_resumed_search_has_its_leaderboard_at_once():
    choices = [
        {"choice": "adam", "complete": 3, "pruned": 1, "failed": 0, "best": _result(0.97, 4)},
        {"choice": "sgd", "complete": 0, "pruned": 0, "failed": 2, "best": None},
    ]
    lines = plain(search(trials=0, done=6, choices=choices, best=_result(0.97, 4)))
    assert row(lines, "adam  ")[:4] == ["adam", "97.00", "4", "1"]
    assert row(lines, "sgd  ")[:4] == ["sgd", "-", "2", "2"]


def _result(value, number):
    return {"value": value, "trial": number, "params": params(number)}


@pytest.mark.usefixtures("quiet")
def test_what_a_phase_tells_is_what_its_events_gave(tmp_path):
    events = []
    run(make_plan(tmp_path, trials=8), Toy(failing=("adagrad",)), listeners=[events.append])
    more = []
    run(make_plan(tmp_path, trials=12), Toy(failing=("adagrad",)), listeners=[more.append])
    told, seen = progress_of(SPEC), progress_of(SPEC)
    for one in events:
        if one.phase == "search":
            seen.add(one)
    told.add(next(one for one in more if one.kind == "phase"))
    assert told.leaderboard.ranked() == seen.leaderboard.ranked()
    assert {choice for choice, _ in told.leaderboard.ranked()} == {"sgd", "adam", "adagrad"}


def test_the_best_trials_of_a_study_that_compares_nothing():
    trials = [create_trial(value=value) for value in (0.3, 0.1, 0.2)]
    trials.append(create_trial(state=TrialState.FAIL))
    found = leaderboard(trials, "", StudyDirection.MINIMIZE)["leaders"]
    assert [one["value"] for one in found] == [0.1, 0.2, 0.3]
    progress = Progress(metric="loss", direction="minimize")
    progress.add(event("phase", name="search", total=9, leaders=found))
    progress.add(event("complete", 8, value=0.15))
    assert [best.value for best in progress.leaderboard.leaders] == [0.1, 0.15, 0.2, 0.3]


@pytest.mark.parametrize("choice", ["optim.name", "", None])
def test_nothing_ended_tells_nothing(choice):
    assert leaderboard([], choice, StudyDirection.MAXIMIZE) == {}


def test_no_colour_where_none_is_wanted(monkeypatch):
    assert any("\x1b[" in line for line in shown(search(), color_system="standard"))
    monkeypatch.setenv("NO_COLOR", "1")
    lines = shown(search(), color_system="standard")
    assert not any(f"\x1b[{code}" in line for line in lines for code in ("3", "1;3", "9"))


def test_a_terminal_without_unicode():
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    lines = plain([*search(), event("message", text="word " * 60)], width=80, file=file)
    assert all(line.isascii() and len(line) == 80 for line in lines)
    assert not any("curve" in line for line in lines)
