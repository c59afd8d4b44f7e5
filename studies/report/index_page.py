"""The page over all studies of a folder of results, ``index.html``.

It is made of what lies beside each study's database, so it is quick whatever the studies' size.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mnist_core.console.plain_text import safe_lines
from mnist_core.files import write_atomically
from studies.core.event_log import FILE as EVENTS
from studies.core.event_log import last_study
from studies.report.page import REPORT, environment
from studies.report.result_json import FILE as RESULT

INDEX = "index.html"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One study of the index.

    Attributes:
        link: address of its page from the index; "" if it has no page.
        answer: its verdict, or why there is none.
        written: date and time of its result; "": there is none.
    """

    folder: str
    name: str
    question: str
    answer: str
    written: str = ""
    link: str = ""


def write_index(results: Path) -> Path:
    """Write the index of ``results`` into it, whole or not at all; return its path.

    Raises:
        UserError: if it cannot be written.
    """
    path = results / INDEX
    template = environment().get_template("index.html.j2")
    write_atomically(path, safe_lines(template.render(entries=list(entries(results)))))
    return path


def entries(results: Path) -> Iterator[Entry]:
    """Yield the studies in ``results``, the latest result first, then those without one."""
    found = []
    for folder in sorted(path for path in results.iterdir() if path.is_dir()):
        entry = _entry(folder)
        if entry is not None:
            found.append(entry)
    yield from sorted(found, key=lambda entry: entry.written, reverse=True)


def _entry(folder: Path) -> Entry | None:
    link = f"{quote(folder.name)}/{REPORT}" if (folder / REPORT).is_file() else ""
    found, written = _result(folder / RESULT)
    if found is not None:
        verdict = found.get("verdict")
        sentences = verdict.get("sentences") if isinstance(verdict, Mapping) else None
        first = sentences[0] if isinstance(sentences, list) and sentences else "no verdict"
        return Entry(
            folder=folder.name,
            name=str(found.get("study", folder.name)),
            question=str(found.get("goal", "")),
            answer=str(first),
            written=written,
            link=link,
        )
    try:
        about = last_study(folder / EVENTS)
    except OSError:
        about = {}
    if not about and not link:
        return None
    return Entry(
        folder=folder.name,
        name=str(about.get("name", folder.name)),
        question=str(about.get("goal", "")),
        answer="No result yet.",
        link=link,
    )


def _result(path: Path) -> tuple[Mapping[str, Any] | None, str]:
    """Return what ``result.json`` holds, and when it was written; None: it cannot be read."""
    try:
        found = json.loads(path.read_bytes())
        written = datetime.fromtimestamp(path.stat().st_mtime).astimezone()
    except (OSError, ValueError, RecursionError):
        return None, ""
    return (found if isinstance(found, dict) else None), f"{written:%Y-%m-%d %H:%M}"
