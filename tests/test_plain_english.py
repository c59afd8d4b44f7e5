"""Plain English: turns that make a reader stop, in everything that a person reads."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
READ = re.compile(
    r"(README\.md|conf\.toml|Makefile|pyproject\.toml|docs/.*\.md"
    r"|(studies|mnist_core|objectives|search_spaces)/.*\.(py|toml|j2|css|js))"
)
"""Files whose text, comments, docstrings and messages a person reads."""

DENIED = {
    r"anew|afresh": "again; from the start",
    r"whoever|whom|nobody": "name the thing, or 'no process', 'a user who'",
    r"so many": "at most N; the number of",
    r"(is|are|was|were) no (?!longer|more|better|worse|less|other|such)[a-z]+": "is not a",
    r"of before": "earlier; of an older version",
    r"(is|are|was|were) said": "one line says; is reported",
    r"(go|goes|went|gone|going) on": "continue; resume",
    r"(?<!\")begun(?!\")": "started",
    r"puts? back": "restore",
    r"it is so": "say when",
    r"known to be": "say how it is detected",
}
"""Turns that are not to be used, and what to write instead."""


def texts() -> list[tuple[str, str]]:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    names = listing.stdout.splitlines() or [
        path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.*") if path.is_file()
    ]
    return [(n, (ROOT / n).read_text(encoding="utf-8")) for n in names if READ.fullmatch(n)]


def found(pattern: str, text: str) -> list[int]:
    """Return the lines on which ``pattern`` starts; it may be broken over two lines."""
    flat = re.sub(r"\"?[ \t]*\n[ \t]*(#|f?\")?", lambda m: " " * len(m[0]), text)
    spaced = re.compile(rf"\b(there +)?({pattern})\b".replace(" ", " +"), re.IGNORECASE)
    return [
        text.count("\n", 0, match.start()) + 1
        for match in spaced.finditer(flat)
        if not match[1]  # "there is no trial" is plain
    ]


@pytest.mark.parametrize("pattern", DENIED)
def test_no_text_uses_a_denied_turn(pattern: str) -> None:
    hits = [f"{name}:{line}" for name, text in texts() for line in found(pattern, text)]
    assert hits == [], f"write instead: {DENIED[pattern]}"


@pytest.mark.parametrize(
    "text",
    ["It begins anew.", "for whom", "so\n# many trials", '"X is no"\n    " run"', "they go on"],
)
def test_a_denied_turn_is_seen(text: str) -> None:
    assert any(found(pattern, text) for pattern in DENIED)


@pytest.mark.parametrize("text", ["there is no trial", "is no longer", "Logo on", "somany"])
def test_plain_words_are_let_through(text: str) -> None:
    assert not any(found(pattern, text) for pattern in DENIED)
