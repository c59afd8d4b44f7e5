"""Numbers with their nouns: ``1 epoch``, ``2 epochs``, ``1,000 images``."""


def counted(n: int, noun: str, plural: str = "") -> str:
    """Return ``n`` and the noun, e.g. ``1 trial``, ``2 trials``.

    Args:
        n: how many, >= 0.
        noun: of one.
        plural: of several; "": the noun and an s.
    """
    return f"{n:,} {noun if n == 1 else plural or f'{noun}s'}"


def are(n: int) -> str:
    """Return the verb after ``n`` things: ``is`` for one, else ``are``."""
    return "is" if n == 1 else "are"
