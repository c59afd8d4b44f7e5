"""The pairs of classes that are confused most, against the whole matrix."""

import json
from types import SimpleNamespace

import numpy as np

from mnist_core.evaluation import worst_pairs
from mnist_core.evaluation.worst_pairs import WorstPairs
from studies.analysis import figure_data, summary
from studies.report.sections.mistakes import confused


def matrix(n, seed=0):
    return np.random.default_rng(seed).integers(0, 30, (n, n)).tolist()


def test_few_classes_keep_the_whole_matrix():
    whole = matrix(worst_pairs.MOST_CLASSES)
    assert worst_pairs.to_keep(whole) == {"confusion": whole}


def test_many_classes_keep_what_is_confused_most():
    whole = matrix(1000)
    kept = worst_pairs.to_keep(whole)
    assert list(kept) == [worst_pairs.NAME]
    assert len(json.dumps(kept)) < 4_000
    found = WorstPairs.from_json(json.loads(json.dumps(kept))[worst_pairs.NAME])
    counts = np.array(whole)
    assert (found.judged, found.right) == (counts.sum(), counts.trace())
    for true, said, count, size in found.pairs:
        assert counts[true, said] == count and counts[true].sum() == size and true != said
    np.fill_diagonal(counts, 0)
    assert [pair[2] for pair in found.pairs] == sorted(counts.ravel())[::-1][: worst_pairs.KEPT]


def test_the_sum_over_models():
    several = [matrix(9, seed) for seed in range(3)]
    for one in several:  # models are judged by the same images
        for row, first in zip(one, several[0], strict=True):
            row[0] += 1000 if row is first else sum(first) - sum(row)
    found = WorstPairs.summed(map(WorstPairs.of, several))
    assert found == WorstPairs(
        **{**vars(WorstPairs.of(np.sum(several, axis=0).tolist())), "models": 3}
    )


def test_a_study_shows_them():
    names = tuple(f"class{k}" for k in range(60))
    whole = matrix(60)
    records = [
        SimpleNamespace(attributes=worst_pairs.to_keep(whole), class_names=names) for _ in range(2)
    ]
    result = SimpleNamespace(best="best", confirm={"best": records}, plan=None)
    assert figure_data.confusion(result) is None
    table = confused(*figure_data.worst_pairs(result))
    assert "2 models" in table.caption
    true, said, count, size = WorstPairs.of(whole).pairs[0]
    share = f"{count / size:.1%}"
    assert table.rows[0] == (f"class{true} taken for class{said}", f"{2 * count}", share)
    step = summary.metric_step("val_accuracy", records)
    assert step == 1 / np.sum(whole)
