"""TOML and JSON that others wrote: every reader of a TOML file takes the same and refuses the same.

The four readers: a training's settings, a preset, conf.toml, and what is enqueued.
"""

from pathlib import Path

import pytest
from toy import SPACE

from mnist_core import parsing, presets
from mnist_core.config import read_settings
from mnist_core.errors import ConfigError, UserError
from mnist_core.runs import run_record
from mnist_core.table import parse_assignment
from studies.planning.layers import read_conf
from studies.search.enqueued import read_known
from studies.storage.open import open_storage

READERS = {
    "settings": read_settings,
    "preset": presets.read,
    "conf": lambda path: read_conf(path, studies=[]),
    "enqueue": lambda path: read_known(path, SPACE),
}
WHOLE = {
    "settings": "epochs = 3\n",
    "preset": "[preset]\ntitle = 'a'\nsource = 'b'\nclaim = 'c'\n",
    "conf": "epochs = 3\n",
    "enqueue": '"optim.name" = "adam"\n"adam.lr" = 0.01\n',
}
BAD = {
    "digits": b"epochs = " + b"1" * 5000,
    "many digits": b"epochs = " + b"1" * 400,
    "arrays": b"epochs = " + b"[" * 5000 + b"]" * 5000,
    "tables": b"epochs = " + b"{a=" * 500 + b"1" + b"}" * 500,
    "dotted keys": b"a" + b".a" * 200 + b" = 1",
    "headers": b"[a" + b".a" * 200 + b"]",
    "no end": b"epochs = ",
    "not UTF-8": b"\xff\xfe",
    "large": b"#" * (1 << 21),
}


@pytest.fixture
def refused(tmp_path):
    def call(reader, path):
        with pytest.raises(ConfigError) as caught:
            READERS[reader](path)
        message = str(caught.value)
        assert len(message) < 1000 and len(message.splitlines()) == 1
        return message

    return call


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("bad", BAD)
def test_what_no_reader_takes_is_one_line_with_the_file(refused, tmp_path, reader, bad):
    path = tmp_path / "c.toml"
    path.write_bytes(BAD[bad])
    assert str(path) in refused(reader, path)


@pytest.mark.parametrize("reader", READERS)
def test_places_that_hold_no_settings(refused, tmp_path, reader):
    for path in (tmp_path, tmp_path / "gone", Path("/dev/zero"), Path("a\0b"), Path("x" * 300)):
        refused(reader, path)


@pytest.mark.parametrize("reader", READERS)
def test_a_byte_order_mark_and_the_ends_of_lines_of_windows(tmp_path, reader):
    path, other = tmp_path / "with.toml", tmp_path / "without.toml"
    text = WHOLE[reader]
    other.write_text(text)
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())

    def read(file):
        return str(READERS[reader](file)).replace(str(file), "FILE").replace(file.stem, "NAME")

    assert read(path) == read(other)


def test_a_setting_of_the_command_line_is_text_where_it_is_not_a_value():
    for raw in ("1" * 400, "[" * 5000, "1" * 5000):
        assert parse_assignment(f"epochs={raw}") == ("epochs", raw)


def test_json_is_no_deeper_and_no_longer_than_ours():
    assert parsing.json_text('{"a": [1, -9223372036854775808, 1.5]}') == {"a": [1, -(2**63), 1.5]}
    for text in ("[" * 5000 + "]" * 5000, "1" * 400, "1" * 5000, "{"):
        with pytest.raises(ValueError):
            parsing.json_text(text)


def test_the_record_of_a_run_that_was_made_to_break_its_reader(tmp_path):
    for text in ("[" * 5000 + "]" * 5000, '{"seed": ' + "1" * 5000 + "}"):
        (tmp_path / "run.json").write_text(text)
        with pytest.raises(UserError, match="is damaged") as caught:
            run_record.read(tmp_path)
        assert len(str(caught.value)) < 500


@pytest.mark.parametrize("lines", [1, 2])
def test_a_journal_that_nests_too_deep(tmp_path, lines):
    path = tmp_path / "log"
    first = '{"op_code": 0, "worker_id": "a", "study_name": "s", "directions": [1]}\n'
    path.write_text(first * (lines - 1) + "[" * 5000 + "]" * 5000 + "\n")
    with pytest.raises(UserError) as caught:
        open_storage(f"journal:///{path}", create=False)
    assert len(str(caught.value)) < 500
