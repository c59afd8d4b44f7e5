"""Commands that are printed to be pasted into a shell, whatever stands in their words."""

import os
import re
import shlex
import sys
from pathlib import Path

from mnist_core.files import from_here

_SCRIPTS = {"studies.run": "studies run", "studies": "studies", "mnist_core": "mnist-core"}
"""What ``pip install`` starts each module as."""

_MODULE = re.compile(rf"python -m ({'|'.join(map(re.escape, _SCRIPTS))})(?!\.?\w)")


def by_script() -> bool:
    """Return whether this program was started as ``studies`` or ``mnist-core``, not as a module."""
    # `python -m` puts a file there that ends in .py; a program that embeds Python may put nothing.
    name = Path(sys.argv[0]).name if sys.argv else ""
    return name.removesuffix(".exe") in _SCRIPTS.values()


def python() -> list[str]:
    """Return Python's command for a process that finds the modules that this one finds."""
    # `python -m` looks in the working directory first, where a user's random.py would break it; a
    # script does not look there, and neither may what it starts.
    return [sys.executable, *(["-P"] if by_script() else [])]


def program(module: str) -> str:
    """Return how to start ``module``, in the form in which this program was started."""
    return _SCRIPTS[module] if by_script() else f"python -m {module}"


def command(module: str, *words: object) -> str:
    """Return ``python -m MODULE WORD …``, each word quoted for a shell, on one line.

    A program that was started as ``studies`` or ``mnist-core`` returns it in that form.
    """
    return " ".join([program(module), *(quoted(str(word)) for word in words)])


def as_started(text: str) -> str:
    """Return ``text`` with its commands in the form in which this program was started."""
    return _MODULE.sub(lambda found: program(found[1]), text)


def quoted(word: str) -> str:
    """Return ``word`` quoted for a shell."""
    # Control characters and runs of spaces are escaped in bash's $'…': a terminal would act on
    # them, a comment in TOML cannot hold them, and an error's text, which is one line, loses them.
    if word.isprintable() and "  " not in word:
        return shlex.quote(word)
    return "$'" + "".join(map(_escaped, word)).replace("  ", r"\x20\x20") + "'"


def argument(path: Path | str) -> str:
    """Return ``path``, from the working directory if it lies there, as a word of a command."""
    text = str(from_here(Path(path)))
    return os.path.join(os.curdir, text) if text.startswith("-") else text


def _escaped(letter: str) -> str:
    if letter in "\\'":
        return f"\\{letter}"
    if letter.isprintable():
        return letter
    return "".join(f"\\x{byte:02x}" for byte in letter.encode("utf-8", "surrogateescape"))
