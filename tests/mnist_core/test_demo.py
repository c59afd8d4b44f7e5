"""What the server of ``demo`` answers, asked of its WSGI application."""

import io
import json
import re
import shutil
import signal
import socket
import sys
import tomllib
import urllib.request
from base64 import b64decode
from wsgiref.util import setup_testing_defaults

import numpy as np
import programs
import pytest
import torch
from PIL import Image
from waiting import PATIENCE

from mnist_core import __main__ as program
from mnist_core.checkpoints import checkpoint, evaluate_checkpoint, study_readings
from mnist_core.config import DataConfig, TrainConfig
from mnist_core.console import command_line
from mnist_core.data import load_confirm
from mnist_core.demo import choices, drawings
from mnist_core.demo.application import Demo, application
from mnist_core.demo.choices import PACKAGED
from mnist_core.errors import ConfigError, DataError, UserError
from mnist_core.images import Images
from mnist_core.runs import run_record
from mnist_core.runs.run_folder import RunFolder
from mnist_core.train import resolve, train
from mnist_core.web import server
from studies import __main__ as studies_program

SIDE = drawings.SIDE


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "results" / "runs"


@pytest.fixture
def demo(runs):
    """The demo of the packaged models."""
    return Demo(choices.gather(None, runs=runs), "cpu")


def ask(app, path, method="GET", body=b"", *, host="127.0.0.1:8090", **headers):
    """One request; status, headers (in small letters) and body."""
    path, _, query = path.partition("?")
    if method == "POST":
        headers.setdefault("origin", f"http://{host}")
    environ = {
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "REQUEST_METHOD": method,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "HTTP_HOST": host,
        **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
    }
    setup_testing_defaults(environ)
    said = []
    answer = b"".join(app(environ, lambda *told: said.append(told)))
    status, sent = said[0][:2]
    return int(status.split()[0]), {name.lower(): value for name, value in sent}, answer


def ask_json(demo, path, *body):
    """Ask for JSON, with the bytes of drawings."""
    method = "POST" if body or path.startswith("/api/test") else "GET"
    status, _, answer = ask(application(demo, host="127.0.0.1"), path, method, b"".join(body))
    return status, json.loads(answer)


def drawn(image, side=90, at=(20, 30)):
    """A drawing of an image of MNIST's, in another size and elsewhere."""
    large = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
    board = np.zeros((SIDE, SIDE), np.uint8)
    board[at[0] : at[0] + side, at[1] : at[1] + side] = np.asarray(large)
    return board.tobytes()


def of_class(digits, wanted, n):
    chosen = digits.validation.labels == wanted
    return digits.validation.images[chosen][:n].numpy()


def test_a_drawing_is_classified(demo, digits):
    index = demo.models()["first"]["classes"]
    right = 0
    for label in range(10):
        for image in of_class(digits, label, 4):
            status, said = ask_json(demo, f"/api/classify?model={index}", drawn(image))
            assert status == 200 and len(said["probabilities"]) == 10
            assert sum(said["probabilities"]) == pytest.approx(1, abs=1e-3)
            assert (said["state"] == "sure") == (max(said["probabilities"]) >= 0.6)
            right += int(np.argmax(said["probabilities"])) == label
    assert right >= 38


def test_the_image_is_scaled_and_centred_as_mnists(demo, digits):
    """Size and place on the board make no difference, and MNIST's own image is nearly kept."""
    (image,) = of_class(digits, 3, 1)
    seen = [
        drawings.of_bytes(drawn(image, side, at)).image.astype(float)
        for side, at in ((90, (20, 30)), (90, (50, 0)), (130, (5, 8)))
    ]
    assert np.array_equal(seen[0], seen[1])
    for one in seen:
        assert np.abs(one - image).mean() < 20
        rows, columns = np.nonzero(one > 100)
        assert max(np.ptp(rows), np.ptp(columns)) + 1 <= 21
        mass = one / one.sum()
        centre = (mass.sum(1) @ np.arange(28), mass.sum(0) @ np.arange(28))
        assert max(abs(value - 14) for value in centre) <= 1


def test_nothing_and_a_dot_are_no_digits(demo):
    board = np.zeros((SIDE, SIDE), np.uint8)
    assert ask_json(demo, "/api/classify?model=0", board.tobytes())[1] == {"state": "empty"}
    board[60:70, 60:70] = 255
    assert ask_json(demo, "/api/classify?model=0", board.tobytes())[1] == {"state": "small"}


def test_two_drawings_are_compared_at_the_models_threshold(demo, digits):
    index = demo.models()["first"]["pairs"]
    threshold = checkpoint.load(PACKAGED / "pairs.safetensors").metrics["val_threshold"]
    threes, sevens = (of_class(digits, label, 2) for label in (3, 7))
    for images, same in (((threes[0], threes[1]), True), ((threes[0], sevens[0]), False)):
        _, said = ask_json(demo, f"/api/compare?model={index}", *map(drawn, images))
        assert said["same"] is same and said["threshold"] == threshold
        assert (said["score"] >= threshold) is same
        assert said["low"] < threshold < said["high"]
    _, half = ask_json(demo, f"/api/compare?model={index}", drawn(threes[0]), bytes(SIDE**2))
    assert half["states"] == ["drawn", "empty"] and half["images"][1] is None
    assert "score" not in half


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/classify?model=0", b"short"),
        ("/api/classify?model=0", bytes(SIDE**2 + 1)),
        ("/api/classify?model=99", bytes(SIDE**2)),
        ("/api/classify?model=-1", bytes(SIDE**2)),
        ("/api/classify?model=1", bytes(SIDE**2)),  # it compares two
        ("/api/compare?model=0", bytes(2 * SIDE**2)),  # it takes one
        ("/api/compare?model=1", bytes(SIDE**2)),
        ("/api/images?model=0&split=train&start=0&count=1", b""),
        ("/api/images?model=0&split=validation&start=x&count=1", b""),
        ("/api/images", b""),
    ],
)
def test_what_cannot_be_answered_is_one_line(demo, path, body):
    status, said = ask_json(demo, path, *([body] if body else []))
    assert status == 400 and list(said) == ["error"] and "\n" not in said["error"]


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:8090", True),
        ("localhost:8090", True),
        ("[::1]:8090", True),
        ("evil.example:8090", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
    ],
)
@pytest.mark.parametrize("path", ["/", "/demo.js", "/api/models", "/nowhere"])
def test_only_the_servers_own_addresses_are_answered(demo, host, known, path):
    status, headers, _ = ask(application(demo, host="127.0.0.1"), path, host=host)
    assert (status != 403) is known
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("origin", ["null", "http://evil.example", "http://127.0.0.1:9"])
@pytest.mark.parametrize("path", ["/api/classify?model=0", "/api/test-images?model=0"])
def test_nothing_is_done_for_another_site(demo, origin, path):
    app = application(demo, host="127.0.0.1")
    assert ask(app, path, "POST", bytes(SIDE**2), origin=origin)[0] == 403


def test_the_page_loads_nothing_from_elsewhere(demo):
    app = application(demo, host="127.0.0.1")
    for path in ("/", "/demo.css", "/demo.js"):
        status, _, body = ask(app, path)
        assert status == 200
        text = body.decode()
        elsewhere = r"https?:|//[a-z]+\.|@import|innerHTML|eval\(| style=| on[a-z]+=\""
        assert not re.search(elsewhere, text)


def test_the_mistakes_come_first(demo, digits):
    _, said = ask_json(demo, "/api/images?model=0&split=validation&start=0&count=60")
    assert said["total"] == len(digits.validation) and len(said["images"]) == 60
    wrong = [one["truth"] != one["said"] for one in said["images"]]
    assert 0 < said["wrong"] < 60 and wrong == [k < said["wrong"] for k in range(60)]
    sure = [one["probability"] for one in said["images"]]
    assert sure[: said["wrong"]] == sorted(sure[: said["wrong"]], reverse=True)
    assert sure[said["wrong"] :] == sorted(sure[said["wrong"] :])
    image = np.frombuffer(b64decode(said["images"][0]["image"]), np.uint8).reshape(28, 28)
    assert any(np.array_equal(image, other) for other in digits.validation.images.numpy())
    _, last = ask_json(
        demo, f"/api/images?model=0&split=validation&start={said['total'] - 1}&count=9"
    )
    assert len(last["images"]) == 1
    # The figures are those of the training.
    logged = checkpoint.load(PACKAGED / "digits.safetensors").metrics["val_accuracy"]
    assert 1 - said["wrong"] / said["total"] == pytest.approx(logged)


@pytest.fixture
def a_model(config, few):
    """A model of a moment's training: its result."""
    return train(config(model__name="lenet5", batch_size=150), few)


@pytest.fixture
def a_run(a_model, digits, runs):
    folder = RunFolder.create(runs, resolve(a_model.config), digits, name="mine")
    folder.write_result(a_model, 10)
    return folder.path


def keep(path, result, **changes):
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(
        path, result.model, result.config, n_classes=10, metrics=result.metrics, **changes
    )
    return path


@pytest.fixture
def a_study(a_model, runs):
    """A study with a confirmed winner, beside the runs."""
    folder = runs.parent / "optim_search"
    keep(folder / "checkpoints" / "confirm" / "3.safetensors", a_model, confirm_trial=3)
    (folder / "best_config.toml").write_text("[record]\nconfirm_trial = 3\n")
    return folder


def test_test_images_are_read_when_asked_for_and_that_is_recorded(a_run, a_study, runs):
    demo = Demo(choices.gather("mine", runs=runs), "cpu")
    assert [one.title for one in demo._choices.models[:2]] == ["run mine", "winner of optim_search"]
    for index in (0, 1):
        images = f"/api/images?model={index}&split=test&start=0&count=5"
        assert ask_json(demo, images)[1] == {"unread": True}
    assert run_record.read(a_run)["test_readings"] == [] and not study_readings.read(a_study)
    for index in (0, 1, 0):
        assert ask_json(demo, f"/api/test-images?model={index}") == (200, {})
    assert len(ask_json(demo, "/api/images?model=0&split=test&start=0&count=5")[1]["images"]) == 5
    (reading,) = run_record.read(a_run)["test_readings"]
    assert reading["by"] == "demo" and reading["n"] == 1000
    (of_study,) = study_readings.read(a_study)
    assert of_study.by == "demo" and of_study.trial == 3


def test_a_reading_that_cannot_be_recorded_shows_nothing(a_study, runs):
    (a_study / study_readings.FILE).mkdir()
    demo = Demo(choices.gather("optim_search", runs=runs), "cpu")
    assert ask_json(demo, "/api/test-images?model=0")[0] == 400
    images = "/api/images?model=0&split=test&start=0&count=5"
    assert ask_json(demo, images)[1] == {"unread": True}


def test_a_named_model_is_first_and_none_is_listed_twice(a_run, a_study, runs):
    everything = ["winner of optim_search", "run mine", "packaged model", "packaged model"]
    assert [one.title for one in choices.gather(None, runs=runs).models] == everything
    for what in ("mine", str(a_run), str(a_run / "last.safetensors")):
        found = choices.gather(what, runs=runs)
        assert [one.title for one in found.models] == [everything[k] for k in (1, 0, 2, 3)]
    for what in ("optim_search", str(a_study), str(a_study / "best_config.toml")):
        assert [one.title for one in choices.gather(what, runs=runs).models] == everything


def test_the_winner_of_a_quick_run_is_last_and_goes_by_its_folders_name(a_study, runs):
    a_study.rename(a_study.with_name("optim_search-quick"))
    everything = ["packaged model", "packaged model", "winner of optim_search-quick"]
    assert [one.title for one in choices.gather(None, runs=runs).models] == everything
    named = choices.gather("optim_search-quick", runs=runs)
    assert [one.title for one in named.models] == [everything[k] for k in (2, 0, 1)]
    with pytest.raises(UserError, match="optim_search-quick"):
        choices.gather("optim_search", runs=runs)


def test_without_any_run_it_begins_with_a_packaged_model(runs):
    assert choices.gather(None, runs=runs).models[0].title == "packaged model"
    with pytest.raises(UserError, match="optim_search"):
        choices.gather("optim_search", runs=runs)


def test_a_model_of_other_images_is_left_out_or_refused(a_model, runs, tmp_path):
    of_colour = Images(32, 32, 3, mean=(0.5,) * 3, std=(0.2,) * 3)
    file = keep(tmp_path / "colour.safetensors", a_model, about=of_colour)
    with pytest.raises(ConfigError, match=r"32x32x3.*28x28"):
        choices.gather(str(file), runs=runs)
    folder = runs / "cpu" / "of_colour"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    shutil.copy(file, folder / "last.safetensors")
    found = choices.gather(None, runs=runs)
    assert found.left_out == 1 and len(found.models) == 2


@pytest.mark.parametrize(
    "words", [["nothing"], ["--checkpoint", "best"], ["packaged", "--device", "tpu"]]
)
def test_a_wrong_run_is_one_line(monkeypatch, capsys, words):
    monkeypatch.setattr(sys, "argv", ["mnist_core", "demo", "--no-browser", *words])
    with pytest.raises(SystemExit) as ended:
        command_line.run(program.app, "python -m mnist_core")
    error = capsys.readouterr().err
    assert ended.value.code == 1 and len(error.splitlines()) == 1 and "Traceback" not in error


def test_names_of_classes_are_shown_as_text(a_model, runs, tmp_path):
    about = Images(class_names=("<img src=x>", "a\x1b[31m", *"cdefghij"))
    file = keep(tmp_path / "named.safetensors", a_model, about=about)
    demo = Demo(choices.gather(str(file), runs=runs), "cpu")
    names = ask_json(demo, "/api/models")[1]["models"][0]["names"]
    assert names[0] == "<img src=x>" and "\x1b" not in names[1]


def test_a_port_that_is_taken_leads_to_the_next_one():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with server.listen(lambda *_: [], "127.0.0.1", port, by="demo", next_free=True) as found:
            assert port < found.server_port <= port + 20
        with pytest.raises(UserError, match="--port"):
            server.listen(lambda *_: [], "127.0.0.1", port, by="demo")


@pytest.mark.parametrize("left", [(), ("digits",), ("pairs",)])
def test_a_kind_of_models_that_is_missing_has_words(monkeypatch, tmp_path, runs, left):
    (tmp_path / "packaged").mkdir()
    for name in left:
        shutil.copy(PACKAGED / f"{name}.safetensors", tmp_path / "packaged")
    monkeypatch.setattr(choices, "PACKAGED", tmp_path / "packaged")
    demo = Demo(choices.gather(None, runs=runs), "cpu")
    status, said = ask_json(demo, "/api/models")
    kinds = {"classes": "digits", "pairs": "pairs"}
    assert status == 200 and len(said["models"]) == len(left)
    assert said["lacking"].keys() == {kind for kind, name in kinds.items() if name not in left}
    assert all("mnist_core train" in text for text in said["lacking"].values())
    status, said = ask_json(demo, f"/api/classify?model={len(left)}", bytes(SIDE * SIDE))
    assert status == 400 and "model" in said["error"]


@pytest.mark.parametrize("entrance", [program.app, studies_program.app], ids=["mnist", "studies"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_without_a_traceback(entrance, number):
    words = ("demo", "--no-browser", "--port", "0")
    process = programs.start(
        lambda: command_line.run(entrance, "the program"), "the program", *words
    )
    address = re.search(r"http://\S+", process.stdout.readline())
    with urllib.request.urlopen(address[0]) as page:
        assert page.status == 200
    process.send_signal(number)
    said, problem = process.communicate(timeout=PATIENCE)
    assert (process.returncode, problem) == (0, "") and "ended" in said


@pytest.mark.parametrize("name", ["digits", "pairs"])
def test_the_packaged_models_are_what_their_files_say(name):
    file = PACKAGED / f"{name}.safetensors"
    kept = checkpoint.load(file)
    described = tomllib.loads((PACKAGED / f"{name}.toml").read_text())
    assert kept.config == resolve(TrainConfig.from_mapping(described, source=name))
    assert file.stat().st_size < 500_000
    assert kept.metrics["val_accuracy"] >= 0.97


def test_the_packaged_model_is_good_on_images_that_nothing_was_chosen_by():
    torch.set_num_threads(1)
    confirm = load_confirm(DataConfig())
    assert confirm is not None
    found = evaluate_checkpoint.judge(checkpoint.load(PACKAGED / "digits.safetensors"), confirm)
    assert found.metrics["accuracy"] >= 0.97


def test_of_bytes_wants_a_whole_drawing():
    with pytest.raises(DataError):
        drawings.of_bytes(b"")
