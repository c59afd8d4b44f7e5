r"""Text from elsewhere, made safe to show: file names, failures, names in databases and studies.

Control characters, marks of writing direction and lone surrogates are shown as their escapes.
"""

import re


def counted(n: int, noun: str, plural: str = "") -> str:
    """Return ``n`` and the noun, e.g. ``1 trial``, ``2 trials``; ``plural`` if it is irregular."""
    return f"{n:,} {noun if n == 1 else plural or f'{noun}s'}"


def has(n: int) -> str:
    """Return the verb of ``n`` things that have something: ``has`` for one, else ``have``."""
    return "has" if n == 1 else "have"


def are(n: int) -> str:
    """Return the verb after ``n`` things: ``is`` for one, else ``are``."""
    return "is" if n == 1 else "are"


_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff]"
)
_MARKDOWN = re.compile(r"[\\|<]|(?<=\])\(")  # what makes a column, HTML or a link of text


def safe_lines(text: str) -> str:
    """Return ``text`` with escapes for what a terminal acts on; line ends and tabs stay."""
    return _UNSAFE.sub(_escape, text)


def one_line(text: str) -> str:
    """Return ``text`` on one line, with escapes for what a terminal acts on."""
    return safe_lines(" ".join(text.split()))


def markdown(text: str) -> str:
    """Return ``text`` for one line or cell of Markdown, which shows it as it is."""
    return _MARKDOWN.sub(r"\\\g<0>", one_line(text))


def is_safe(text: str) -> bool:
    """Return whether ``text`` is one line without anything that a terminal acts on."""
    return not _UNSAFE.search(text) and not re.search(r"[\t\n]", text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
