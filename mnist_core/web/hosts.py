"""Which requests a server without a login answers: those of its own pages, to its own addresses.

A site can give its own name any address (DNS rebinding) and send forms anywhere (cross-site request
forgery), so each request is checked for both.
"""

import ipaddress
import socket
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

READS = ("GET", "HEAD", "OPTIONS")


def own_names(host: str) -> set[str]:
    """Return the names under which a server that listens at ``host`` is opened."""
    names = {"localhost", host.lower()}
    if host in ("", "0.0.0.0", "::"):  # all addresses of this machine
        names.add(socket.gethostname().lower())
    return names


def is_own(host: str, names: Collection[str]) -> bool:
    """Return whether ``host``, of a request, is an address or one of ``names``."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name in names:
        return True
    # A site can give its own name any address, but it cannot be named like an address.
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_of_another_site(environ: Mapping[str, Any]) -> bool:
    """Return whether a WSGI request would change something and comes from another site's page."""
    # A form on another site sends its own origin, or none.
    if environ["REQUEST_METHOD"] in READS:
        return False
    origin = str(environ.get("HTTP_ORIGIN", ""))
    return urlsplit(origin).netloc != str(environ.get("HTTP_HOST", ""))


def not_own(host: str) -> str:
    """Return the line that a request to ``host`` is answered with."""
    return (
        f"the address {host!r} is not one of this server's; open it as localhost, by its"
        " IP address, or by the name that --host gives"
    )
