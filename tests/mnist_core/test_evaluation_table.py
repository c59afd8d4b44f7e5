"""What is printed of an evaluation: no number of the confusion matrix is lost."""

import io
import re

import pytest
import torch
from rich.console import Console

from mnist_core.checkpoints import evaluation_table
from mnist_core.tasks.class_metrics import Evaluation


def found(n):
    """An evaluation of ``n`` classes with counts that are all different."""
    confusion = 10_000 + torch.arange(n * n).reshape(n, n)
    nothing = torch.zeros(0)
    return Evaluation(0.1, {"accuracy": 0.5}, confusion, nothing, nothing, nothing)


def printed(evaluation, width):
    file = io.StringIO()
    console = Console(file=file, width=width, soft_wrap=True)
    evaluation_table.print_evaluation(console.print, evaluation)
    return file.getvalue()


@pytest.mark.parametrize("n", [2, 10, 20])
@pytest.mark.parametrize("width", [40, 80, 160])
def test_all_counts_are_printed_whatever_the_width(n, width):
    said = set(map(int, re.findall(r"\b1\d{4}\b", printed(found(n), width))))
    assert said == {*range(10_000, 10_000 + n * n)}


@pytest.mark.parametrize("n", [27, 100])
def test_of_many_classes_the_most_frequent_confusions_are_listed(n):
    evaluation = found(n)
    said = printed(evaluation, 80)
    assert "…" not in said and f"{n * (n - 1):,} kinds of confusion" in said
    rows = [line.split() for line in said.splitlines() if line.split()]
    assert [str(n - 1), str(n - 2), str(10_000 + n * n - 2)] in rows  # the most frequent one
    assert sum(len(row) == 5 and row[0].isdecimal() for row in rows) == n  # each class
    lines = evaluation_table.confusion_csv(evaluation).splitlines()
    assert [list(map(int, line.split(",")))[1:] for line in lines[1:]] == (
        evaluation.confusion.tolist()
    )
