"""Commands that are printed to be pasted into a shell, whatever stands in their words."""

import os
import shlex
from pathlib import Path

from mnist_core.files import from_here


def command(module: str, *words: object) -> str:
    """Return ``python -m MODULE WORD …``, each word quoted for a shell, on one line."""
    return " ".join(["python", "-m", module, *(quoted(str(word)) for word in words)])


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
