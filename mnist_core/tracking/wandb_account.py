"""Whether runs can be sent to W&B: whether somebody is logged in, and the server answers."""

import netrc
import os
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from mnist_core.console.redaction import masked
from mnist_core.tracking.wandb_internals import server

SECONDS = 5
"""Seconds that the server may take to answer."""


class AccountProblem(Exception):
    """No one is logged in, or the server cannot be reached; the message says so in a line."""


def check_account() -> None:
    """Check that runs can be sent.

    Raises:
        AccountProblem: if they cannot.
    """
    address = server()
    if not logged_in(address):
        raise AccountProblem("not logged in to W&B (wandb login)")
    if not reachable(address):
        raise AccountProblem(f"no network: {address} cannot be reached")
    import wandb

    try:
        wandb.Api(timeout=SECONDS)  # it asks the server whose key this is
    except wandb.errors.Error as error:
        reason = " ".join(masked(str(error)).split())
        raise AccountProblem(f"W&B refuses, or does not answer: {reason[:200]}") from None


def logged_in(address: str) -> bool:
    """Whether there is a key for the server at ``address``: in the environment, or in netrc."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urllib.parse.urlsplit(address).hostname or address
    given = os.environ.get("NETRC")
    files = [Path(given)] if given else [Path.home() / ".netrc", Path.home() / "_netrc"]
    for file in files:
        try:
            if netrc.netrc(file).authenticators(host) is not None:
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False


def reachable(address: str, *, seconds: float = SECONDS) -> bool:
    """Whether anything answers at ``address``, through a proxy if one is set."""
    try:
        urllib.request.urlopen(address, timeout=seconds).close()
    except urllib.error.HTTPError:
        return True  # it answers
    except (OSError, ValueError):
        return False
    return True
