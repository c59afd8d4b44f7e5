"""The former names of a renamed study: ``renamed.json`` in its folder."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "renamed.json"


@dataclass(frozen=True, kw_only=True)
class Former:
    """What a study was called."""

    names: tuple[str, ...]  # in its storage, the last one last
    folder: str  # the last name of its folder
    done: bool  # whether the old study is gone; if not, a kill left both

    def to_text(self) -> str:
        """Return the content of the file."""
        return json.dumps(asdict(self), indent=1) + "\n"


def former(folder: Path) -> Former | None:
    """Return the former names of the study in ``folder``; None: it was not renamed."""
    try:
        found = json.loads((folder / FILE).read_bytes())
        names = tuple(str(name) for name in found["names"])
        return Former(names=names, folder=str(found["folder"]), done=found["done"] is True)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
