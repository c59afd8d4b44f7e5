"""The files of a folder and of the folders in it, without those that no person put there."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

# Notebooks, desktops and archives leave copies of pictures and files of their own in folders.
_HIDDEN: Final = (".", "__MACOSX")
_CLUTTER: Final = ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r")


def is_shown(name: str) -> bool:
    """Return whether a file or folder of that name is looked at."""
    return not name.startswith(_HIDDEN) and name.lower() not in _CLUTTER


def files(top: Path) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """Yield each file in ``top`` with its path below it, in no order.

    Links to folders are followed, except those that lead back into a folder that they lie in.

    Raises:
        OSError: if a folder cannot be read.
    """
    pending: list[tuple[str, tuple[str, ...]]] = [("", ())]
    while pending:
        inner, links = pending.pop()
        with os.scandir(os.path.join(top, inner)) as entries:
            for entry in entries:
                if not is_shown(entry.name):
                    continue
                name = f"{inner}{entry.name}"
                if not entry.is_dir():
                    yield name, entry
                elif not entry.is_symlink():
                    pending.append((f"{name}/", links))
                elif (real := os.path.realpath(entry.path)) not in links:
                    here = os.path.realpath(os.path.dirname(entry.path))
                    if not f"{here}{os.sep}".startswith(f"{real.rstrip(os.sep)}{os.sep}"):
                        pending.append((f"{name}/", (*links, real)))
