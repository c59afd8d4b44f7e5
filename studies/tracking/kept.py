"""Which trials a tracker has kept: a file of its own, a line each, ``trackers/<name>.kept``."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from studies.core.event_log import FILE, Contents, survey
from studies.storage.belonging import KEPT, kept_line


class Kept:
    """What a tracker has kept, over all processes that ran it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        content = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        *lines, rest = content.split("\n")
        self._lines = set(lines)
        self._whole = not rest  # a line that was cut short does not count: its trial is kept again
        self.study = ""

    def __contains__(self, what: tuple[object, ...]) -> bool:
        return _written(what) in self._lines

    def whole(self, contents: Contents, *, runs: bool) -> bool:
        """Whether everything in a log is kept; ``runs``: trials as runs of their own, too."""
        trials = contents.over if runs else ()
        keys = [kept_as(key, contents.retried) for key in trials]
        return all(key in self for key in [*keys, mark(contents)])

    def add(self, *what: object) -> None:
        """Write down that ``what`` is kept.

        Raises:
            OSError: if the file cannot be written.
        """
        line = _written(what)
        with self._path.open("a", encoding="utf-8") as file:
            # The study's identity comes first: the list of another study is never continued.
            if self.study and file.tell() == 0:
                file.write(f"{kept_line(self.study)}\n")
            file.write(f"{'' if self._whole else chr(10)}{line}\n")
        self._whole = True
        self._lines.add(line)


def lack(names: Iterable[str], folder: Path, *, runs: bool) -> list[str]:
    """Return the trackers that have not kept all that the log in ``folder`` tells.

    Raises:
        OSError: if the log, or what a tracker has kept, cannot be read.
    """
    contents = survey(folder / FILE)
    return [
        name
        for name in names
        if not Kept(folder / "trackers" / f"{name}{KEPT}").whole(contents, runs=runs)
    ]


def mark(contents: Contents) -> tuple[object, ...]:
    """Return the line for a study whose log had ``contents`` when it was kept."""
    retried = sum(contents.retried.values())
    return "study", len(contents.over), int(contents.concluded), *([retried] if retried else [])


def kept_as(key: tuple[str, int], retried: Mapping[tuple[str, int], int]) -> tuple[object, ...]:
    """Return the line for a kept trial, which may have been run again after it had failed."""
    times = retried.get(key, 0)
    return (*key, "retry", times) if times else key


def _written(what: tuple[object, ...]) -> str:
    return " ".join(map(str, what))
