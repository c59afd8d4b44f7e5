"""Which requests the dashboard's server answers, and how it sends files.

The server has no login, so pages of other sites must not reach it: not by a name of their own that
leads here (DNS rebinding), not by a form or script (cross-site request forgery), and not by a file
that a browser takes for a page of this server.
"""

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from mnist_core.web import hosts
from mnist_core.web.hosts import READS as READS

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_SHOWN_INLINE = ("image/", "audio/", "video/", "text/plain", "text/csv", "application/json")
"""Kinds of files whose type the browser is told; all others are bytes."""
Headers = list[tuple[str, str]]


class Guard:
    """A WSGI application around the dashboard's, which listens at ``host``."""

    def __init__(self, application: "WSGIApplication", *, host: str) -> None:
        self._application = application
        self._names = hosts.own_names(host)

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer a request, or refuse it with one line."""
        host = environ.get("HTTP_HOST", "")
        if not hosts.is_own(host, self._names):
            return refuse(start_response, hosts.not_own(host))
        method = environ["REQUEST_METHOD"]
        if hosts.is_of_another_site(environ):
            return refuse(start_response, "notes and files are added from the dashboard's own page")
        if environ.get("PATH_INFO", "").startswith("/artifacts/"):
            start_response = _as_file(start_response)
        if method != "HEAD":
            return self._application(environ, start_response)
        answer = self._application({**environ, "REQUEST_METHOD": "GET"}, start_response)
        for _ in answer:  # the application starts to answer with its first part
            break
        if hasattr(answer, "close"):
            answer.close()
        return []


def refuse(start_response: "StartResponse", reason: str) -> list[bytes]:
    """Answer 403 with a reason, as the dashboard's page shows it."""
    body = json.dumps({"reason": reason}).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response("403 Forbidden", headers)
    return [body]


def _as_file(start_response: "StartResponse") -> "StartResponse":
    """Return a ``start_response`` whose answers a browser keeps as files and never runs."""

    def start(status: str, headers: Headers, *rest: Any) -> Callable[[bytes], object]:
        given = {name.lower(): value for name, value in headers}
        kind = given.get("content-type", "")
        replaced = {
            "content-type": kind if kind.startswith(_SHOWN_INLINE) else "application/octet-stream",
            "content-disposition": given.get("content-disposition", "attachment"),
            "content-security-policy": "sandbox",
            "x-content-type-options": "nosniff",
        }
        dropped = (*replaced, "access-control-allow-origin")
        kept = [(name, value) for name, value in headers if name.lower() not in dropped]
        titled = [(name.title(), value) for name, value in replaced.items()]
        return start_response(status, [*kept, *titled], *rest)

    return start
