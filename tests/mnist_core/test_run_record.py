"""run.json and metrics.csv: what is written is read, what is damaged is said."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnist_core.errors import UserError
from mnist_core.runs import run_record

ROWS = "step,epoch,seconds,val_accuracy\n1,0.5,1.25,0.8\n2,1.0,2.5,0.9\n"


def test_what_is_written_is_read(tmp_path):
    facts = {"id": "ü", "data": {"name": "x"}, "confusion": [[1, 2], [3, 4]], "test_readings": []}
    run_record.write(tmp_path, facts)
    assert run_record.read(tmp_path) == facts
    text = (tmp_path / "run.json").read_text(encoding="utf-8")
    assert "[ 1, 2 ]" in text and "ü" in text  # for people to read, too
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


@settings(max_examples=20)
@given(
    st.dictionaries(
        st.text().map("x".__add__),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        ),
    )
)
def test_rows_side_by_side_change_no_value(facts):
    text = run_record.to_text(facts)
    found = json.loads(text)
    assert found == facts


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is damaged"),
        (b'{"id": ', "is damaged"),
        (b"[]", "is damaged: it must be a table, but is '[]'"),
        (b"\xff", "is damaged"),
        (b"[" * 100_000, "is damaged"),
        (b'{"data": 1}', "is damaged: data must be a table, but is '1'"),
        (b'{"versions": null}', "is damaged: versions must be a table"),
        (b'{"process": []}', "is damaged: process must be a table"),
        (b'{"test_readings": {}}', "is damaged: test_readings must be a list of tables"),
        (b'{"test_readings": [1]}', "is damaged: test_readings must be a list of tables"),
        (None, "cannot be read: No such file"),
    ],
)
def test_damage(tmp_path, content, said):
    if content is not None:
        (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(UserError) as caught:
        run_record.read(tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'run.json'}: {said}")
    assert len(message.splitlines()) == 1


def test_readings_are_added_in_order(tmp_path):
    run_record.write(tmp_path, {"id": "x"})
    for name in ("last", "best"):
        run_record.add_test_reading(tmp_path, {"checkpoint": name})
    facts = run_record.read(tmp_path)
    assert facts["id"] == "x"
    assert [reading["checkpoint"] for reading in facts["test_readings"]] == ["last", "best"]
    assert all(reading["time"].endswith("+00:00") for reading in facts["test_readings"])


@pytest.mark.parametrize("cut", range(len(ROWS) + 1))
def test_the_half_of_a_row_that_a_kill_left_is_no_row(tmp_path, cut):
    (tmp_path / "metrics.csv").write_text(ROWS[:cut])
    rows = run_record.read_metrics(tmp_path)
    assert len(rows) == max(0, ROWS[:cut].count("\n") - 1)
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    if rows:
        assert rows[0] == {"step": 1, "epoch": 0.5, "seconds": 1.25, "val_accuracy": 0.8}


def test_no_metrics_yet(tmp_path):
    assert run_record.read_metrics(tmp_path) == []


@pytest.mark.parametrize(
    "content", ["step,epoch\n1,x\n", "step,epoch\n1\n", "epoch\n1\n", "step\n1,2\n", "\0\n\0\n"]
)
def test_damaged_metrics(tmp_path, content):
    (tmp_path / "metrics.csv").write_text(content)
    with pytest.raises(UserError, match=r"metrics\.csv: is damaged"):
        run_record.read_metrics(tmp_path)
