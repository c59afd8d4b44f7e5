"""Names of forks: ``optim_search-wide`` is the fork ``wide`` of the study ``optim_search``.

With ``--quick`` it is ``optim_search-quick-wide``. The name of a study in the catalog has no ``-``.
"""

import re
from collections.abc import Collection

from mnist_core.errors import ConfigError

QUICK = "quick"
LONGEST = 100  # letters of a fork's name, which is part of a folder's name of at most 255 bytes

_FORK = re.compile(r"[A-Za-z0-9_]+")


def split(name: str, studies: Collection[str]) -> tuple[str, str]:
    """Return the study and the fork that ``name`` means; the fork is "" if there is none.

    ``studies`` are the names of all studies in the catalog.

    Raises:
        ConfigError: if the fork's name is not allowed.
    """
    study, dash, fork = name.partition("-")
    if name in studies or not dash or study not in studies:
        return name, ""
    check(fork, study)
    return study, fork


def check(fork: str, study: str) -> None:
    """Check that ``fork`` can be the name of a fork; raise ``ConfigError`` if it cannot."""
    if fork.partition("-")[0] == QUICK:
        raise ConfigError(
            f"{study}-{fork}: for the small run write {study}{fork.removeprefix(QUICK)} --quick"
        )
    if len(fork) > LONGEST:
        raise ConfigError(
            f"the name of a fork has at most {LONGEST} letters, but got {len(fork)}; a good one is"
            " wide"
        )
    if not _FORK.fullmatch(fork):
        raise ConfigError(
            f"the name of a fork is made of letters, digits and _, but got {fork!r}; a good one is"
            " wide"
        )


def full(study: str, *, quick: bool = False, fork: str = "") -> str:
    """Return the name of a study in the storage, and of its folder."""
    return "-".join([study, *([QUICK] if quick else []), *([fork] if fork else [])])


def parts(name: str, study: str) -> tuple[bool, str]:
    """Return whether ``name`` is a small run of ``study``, and its fork ("" if there is none)."""
    words = name.removeprefix(study).split("-")[1:]
    quick = words[:1] == [QUICK]
    return quick, "-".join(words[1:] if quick else words)
