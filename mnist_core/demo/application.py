"""What the page asks its server: models, predictions, images. All answers but the page are JSON."""

import functools
import json
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterable
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import bottle  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt

from mnist_core.checkpoints import checkpoint
from mnist_core.console.plain_text import one_line
from mnist_core.console.shell_words import as_started
from mnist_core.demo import drawings, shown_images
from mnist_core.demo.choices import Choice, Choices
from mnist_core.demo.drawings import SIDE, Judge
from mnist_core.demo.shown_images import Shown
from mnist_core.errors import ConfigError, UserError
from mnist_core.web import hosts

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_PAGES = {
    "/": ("demo.html", "text/html; charset=utf-8"),
    "/demo.css": ("demo.css", "text/css; charset=utf-8"),
    "/demo.js": ("demo.js", "text/javascript; charset=utf-8"),
}
_HEADERS = [
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
]
_UNSURE = 0.6  # probability: what is less likely is not called an answer
_LACKING = {
    "classes": "No model here says which class one drawing is of. Train one with"
    " `python -m mnist_core train`, and start this page again.",
    "pairs": "No model here compares two drawings. Train one with"
    " `python -m mnist_core train --model siamese`, and start this page again.",
}
"""What the page says where there is no model of a kind."""
_MOST_IMAGES = 120  # in one answer
SPLITS = ("validation", "test")

Json = dict[str, Any]


class Demo:
    """The models of one server, loaded when they are first asked for."""

    def __init__(self, choices: Choices, device: str) -> None:
        self._choices = choices
        self._device = device
        self._lock = threading.Lock()  # of torch
        self._judges: dict[int, Judge] = {}
        self._shown: dict[tuple[int, str], Shown] = {}
        self._loading = threading.Lock()

    def models(self) -> Json:
        """Return all models, and which one of each kind is chosen at first."""
        listed = [
            {"title": one.title, "detail": one.detail, "pairs": one.pairs, "names": one.names}
            for one in self._choices.models
        ]
        first = {name: self._choices.first(pairs=name == "pairs") for name in _LACKING}
        lacking = {name: as_started(text) for name, text in _LACKING.items() if first[name] is None}
        start = "same" if listed and self._choices.models[0].pairs else "draw"
        return {
            "models": listed,
            "first": first,
            "lacking": lacking,
            "side": SIDE,
            "start": start,
        }

    def classify(self, index: str, ink: bytes) -> Json:
        """Return what a classifier says of a drawing; raise UserError if it cannot be asked."""
        started = time.perf_counter()
        judge = self.judge(index, pairs=False)
        drawing = drawings.of_bytes(ink)
        if drawing.image is None:
            return {"state": drawing.state}
        odds = judge.classify(drawing.image)
        return {
            "state": "sure" if max(odds) >= _UNSURE else "unsure",
            "image": _pixels(drawing.image),
            "probabilities": [round(value, 4) for value in odds],
            "milliseconds": round(1000 * (time.perf_counter() - started), 1),
        }

    def compare(self, index: str, ink: bytes) -> Json:
        """Return how alike a model of pairs finds two drawings, of which ``ink`` has the bytes."""
        judge = self.judge(index, pairs=True)
        both = [drawings.of_bytes(ink[: SIDE**2]), drawings.of_bytes(ink[SIDE**2 :])]
        images = [one.image for one in both]
        answer: Json = {
            "states": [one.state for one in both],
            "images": [None if one is None else _pixels(one) for one in images],
        }
        drawn = [one for one in images if one is not None]
        if len(drawn) == 2:
            found = judge.compare(np.stack(drawn))
            near = abs(found.score - found.threshold) < 0.03 * (found.high - found.low)
            answer |= {**vars(found), "same": found.same, "unsure": near}
        return answer

    def images(self, index: str, split: str, start: int, count: int) -> Json:
        """Return ``count`` images of a split from ``start``, the model's mistakes first.

        Test images must have been read before, see ``read``.
        """
        choice = self._choice(index, pairs=False)
        if split == "test" and (int(index), split) not in self._shown:
            return {"unread": True}
        shown = self.read(index, split)
        part = slice(start, start + min(count, _MOST_IMAGES))
        listed = zip(
            shown.images[part],
            shown.truth[part],
            shown.said[part],
            shown.probability[part],
            strict=True,
        )
        return {
            "total": len(shown.truth),
            "wrong": shown.wrong,
            "names": choice.names,
            "notes": shown.notes,
            "images": [
                {"image": _pixels(image), "truth": truth, "said": said, "probability": round(p, 4)}
                for image, truth, said, p in listed
            ],
        }

    def read(self, index: str, split: str) -> Shown:
        """Judge the model on the images of a split, once; a reading of the test set is recorded.

        Raises:
            UserError: if they cannot be read, or the reading cannot be recorded.
        """
        if split not in SPLITS:
            raise ConfigError(f"split: must be {' or '.join(SPLITS)}, but got {split!r}")
        choice = self._choice(index, pairs=False)
        judge = self.judge(index, pairs=False)
        key = int(index), split
        with self._loading:  # two pages at a time would be two readings
            if key not in self._shown:
                self._shown[key] = shown_images.judge(choice, judge, split, self._device)
            return self._shown[key]

    def judge(self, index: str, *, pairs: bool) -> Judge:
        """Return a model by its index; raise UserError if there is none, or it is damaged."""
        choice = self._choice(index, pairs=pairs)
        number = int(index)
        with self._loading:
            if number not in self._judges:
                kept = checkpoint.load(choice.found.checkpoint)
                self._judges[number] = Judge(kept, self._device, self._lock)
            return self._judges[number]

    def _choice(self, index: str, *, pairs: bool) -> Choice:
        models = self._choices.models
        if not index.isdecimal() or int(index[:6]) >= len(models):
            there = (
                f"must be 0 to {len(models) - 1}, but got" if models else "there is none, also not"
            )
            raise ConfigError(f"model: {there} {index!r}")
        choice = models[int(index)]
        if choice.pairs != pairs:
            kinds = "classifies one image", "compares two images"
            raise ConfigError(f"model: {choice.title} {kinds[choice.pairs]}")
        return choice


def _pixels(image: npt.NDArray[np.uint8]) -> str:
    return b64encode(image.tobytes()).decode()


def application(demo: Demo, *, host: str) -> "WSGIApplication":
    """Return the WSGI application of the page; it answers requests to ``host`` only."""
    app = bottle.Bottle()
    for path, (name, kind) in _PAGES.items():
        content = (files("mnist_core.demo") / "page" / name).read_bytes()
        app.get(path)(functools.partial(_page, content, kind))
    app.get("/api/models")(_answered(demo.models))
    app.post("/api/classify")(_answered(lambda: demo.classify(_query("model"), _body(1))))
    app.post("/api/compare")(_answered(lambda: demo.compare(_query("model"), _body(2))))
    app.get("/api/images")(_answered(lambda: _images(demo)))
    app.post("/api/test-images")(_answered(lambda: _read_test(demo)))
    return _guarded(app, hosts.own_names(host))


def _page(content: bytes, kind: str) -> bytes:
    bottle.response.content_type = kind
    return content


def _images(demo: Demo) -> Json:
    start, count = (_number(_query(name)) for name in ("start", "count"))
    return demo.images(_query("model"), _query("split"), start, count)


def _read_test(demo: Demo) -> Json:
    demo.read(_query("model"), "test")
    return {}


def _query(name: str) -> str:
    return str(bottle.request.query.get(name, ""))


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 7:
        raise ConfigError(f"must be a number of images, but got {text!r}")
    return int(text)


def _body(count: int) -> bytes:
    """Return the bytes of ``count`` drawings; more are not read."""
    return bytes(bottle.request.body.read(count * SIDE * SIDE + 1))


def _answered(function: Callable[[], Json]) -> Callable[[], str]:
    """Return a handler that answers with JSON, also where ``function`` raises a ``UserError``."""

    def handler() -> str:
        bottle.response.content_type = "application/json"
        try:
            return json.dumps(function())
        except UserError as error:
            bottle.response.status = 400
            return json.dumps({"error": one_line(str(error))})

    return handler


def _guarded(app: "WSGIApplication", names: set[str]) -> "WSGIApplication":
    """Return ``app`` for requests of its own page only, with headers that keep other code out."""

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        host = environ.get("HTTP_HOST", "")

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, [*headers, *_HEADERS], *rest)

        if not hosts.is_own(host, names):
            return _refused(start, hosts.not_own(host))
        if hosts.is_of_another_site(environ):
            return _refused(start, "only the page of this server may ask that")
        return app(environ, start)

    return answer


def _refused(start: Callable[..., Any], reason: str) -> list[bytes]:
    body = json.dumps({"error": reason}).encode()
    start(
        "403 Forbidden", [("Content-Type", "application/json"), ("Content-Length", f"{len(body)}")]
    )
    return [body]
