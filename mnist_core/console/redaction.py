"""Hides passwords in URLs before they are printed."""

import re

# Greedy: a password may hold nearly everything, and better too much is hidden than too little.
_USER = re.compile(r"(://[^:/?#\s]*):.*@")
_QUERY = re.compile(r"(?i)([?&][^=&\s]*(?:pass|pwd|secret|token)[^=&\s]*=)[^&'\"]*")


def masked(text: str) -> str:
    """Return ``text`` with ``***`` for every password of an address in it.

    That is what stands between ``:`` and ``@`` before a host, and the query's values whose names
    speak of a password, a secret or a token.
    """
    return _QUERY.sub(r"\1***", _USER.sub(r"\1:***@", text))
