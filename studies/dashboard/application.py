"""Optuna's dashboard with notes, pictures and figures of a study, none of which is written.

The dashboard's pages ask its server for a study in JSON. That answer is completed on its way out
from the study's own records, so the run pays nothing and remains the only writer.
"""

import copy
import json
import re
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from mnist_core.errors import UserError
from objectives.mistake_images import MistakeImages
from studies.analysis.stored_study import Stored
from studies.dashboard.completion import Completion, File, Json
from studies.dashboard.guard import READS, refuse
from studies.storage.open import Storage

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

FRESH_SECONDS = 2.0
"""A study that was read longer ago is read again; the pages ask every few seconds."""

_DETAIL = re.compile(r"/api/studies/\d+/?")
_FILE = re.compile(r"/artifacts/\d+/\d+/([0-9a-f-]+)/?")
_BY_PEOPLE = re.compile(r"/api/studies/\d+(/\d+)?/note/?|/api/artifacts/.*")
_REFUSED = (
    "A study is changed by its run alone; notes and files may be added here. To delete it, delete"
    " its folder, and its database if that lies elsewhere."
)


class StudyDashboard:
    """A WSGI application around the dashboard's, for the study that ``read`` returns.

    Other studies in the open ``storage`` are shown as they are.
    """

    def __init__(
        self, dashboard: "WSGIApplication", read: Callable[[Storage], Stored], storage: Storage
    ) -> None:
        self._dashboard = dashboard
        self._read = read
        self._storage = storage
        self._images = MistakeImages()
        self._lock = threading.Lock()
        # A page asks for all pictures at once. If several threads import matplotlib at a time, it
        # stays half imported, and no picture is drawn any more.
        self._drawing = threading.Lock()
        self._known: tuple[float, Completion] | None = None
        self._asked: dict[tuple[str, int], Json] = {}
        """Best trials as the dashboard has them, which do not change any more."""

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer one request."""
        path, method = environ.get("PATH_INFO", ""), environ["REQUEST_METHOD"]
        if method not in READS:
            # A note that somebody writes is kept in the study and replaces ours.
            if not _BY_PEOPLE.fullmatch(path):
                return refuse(start_response, _REFUSED)
        elif _DETAIL.fullmatch(path):
            return self._detail(environ, start_response)
        elif (asked := _FILE.fullmatch(path)) is not None:
            file = self._file(asked[1])
            if file is not None:
                with self._drawing:
                    content = file.make()
                return _send(start_response, "200 OK", file.mimetype, content)
        return self._dashboard(environ, start_response)

    def _detail(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        status, headers, body = self._ask(environ)
        if not status.startswith("200"):
            start_response(status, headers)
            return [body]
        detail = json.loads(body)
        trials = {trial["number"]: trial for trial in detail["trials"]}

        def trial_json(number: int) -> Json | None:
            key = (environ["PATH_INFO"], number)
            if key not in self._asked:
                if number not in trials:  # the page asks only for trials that it does not know
                    query = {**environ, "QUERY_STRING": f"after={number}"}
                    trials.update((one["number"], one) for one in self._json(query)["trials"])
                if number not in trials:
                    return None
                # The page's own list is completed in place; what is kept here must not be.
                self._asked[key] = copy.deepcopy(trials[number])
            return self._asked[key]

        completion = self._completion()
        if completion is not None:
            completion.complete(detail, trial_json)
        return _answer(start_response, status, detail)

    def _json(self, environ: "WSGIEnvironment") -> Json:
        return dict(json.loads(self._ask(environ)[2]))

    def _ask(self, environ: "WSGIEnvironment") -> tuple[str, list[tuple[str, str]], bytes]:
        """Return status, headers and body of the dashboard's own answer."""
        said: list[Any] = []

        def keep(*arguments: Any) -> Callable[[bytes], object]:
            said[:] = arguments
            return lambda _: None

        answer = self._dashboard(environ, keep)
        try:
            body = b"".join(answer)
        finally:
            if hasattr(answer, "close"):
                answer.close()
        return said[0], said[1], body

    def _file(self, name: str) -> File | None:
        completion = self._completion()
        return None if completion is None else completion.file(name)

    def _completion(self) -> Completion | None:
        """Return the study's completion, at most ``FRESH_SECONDS`` old; None: no such study."""
        with self._lock:
            now = time.monotonic()
            if self._known is None or now - self._known[0] > FRESH_SECONDS:
                try:
                    found = self._read(self._storage)
                except UserError:  # it does not exist yet, or cannot be read at this moment
                    return None
                self._known = (now, Completion(found, self._storage, self._images))
            return self._known[1]


def _answer(start_response: "StartResponse", status: str, content: Any) -> list[bytes]:
    return _send(start_response, status, "application/json", json.dumps(content).encode())


def _send(start_response: "StartResponse", status: str, mimetype: str, body: bytes) -> list[bytes]:
    length = str(len(body))
    start_response(status, [("Content-Type", mimetype), ("Content-Length", length)])
    return [body]
