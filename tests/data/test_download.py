"""Downloads against a local server that misbehaves in all the ways that real ones do."""

import gzip
import multiprocessing
import os
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from waiting import PATIENCE

from mnist_core.config import DataConfig
from mnist_core.data import download, idx, load, storage
from mnist_core.data.registry import DataSet
from mnist_core.errors import DataError

NAME = "train-images-idx3-ubyte"


class Server(ThreadingHTTPServer):
    """Serves ``files``; the first part of the address says how it misbehaves."""

    daemon_threads = True
    files: dict[str, bytes]
    requests: list[tuple[str, str]]

    def handle_error(self, request, client_address):
        pass  # a client that hangs up is part of the tests

    def url(self, way: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{way}/"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *args):
        pass

    def do_GET(self):
        _, way, name = self.path.split("/")
        wanted = self.headers.get("Range", "")
        self.server.requests.append((way, wanted))
        content = self.server.files.get(name, b"")
        if way == "missing":
            self.send_error(404)
            return
        if way == "wrong":
            content = bytes(len(content))
        if way == "page":
            content = b"<html>please log in</html>"
        start = 0
        if match := re.fullmatch(r"bytes=(\d+)-", wanted):
            if way == "good" and int(match[1]) >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if way in ("good", "wrong", "truncated", "stuck"):
                start = int(match[1])
        rest = content[start:]
        self.send_response(206 if start else 200)
        if start:
            total = len(content)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if way != "unsized":
            self.send_header("Content-Length", str(2**40 if way == "huge" else len(rest)))
        self.end_headers()
        if way == "truncated":
            rest = rest[: max(1, len(rest) // 2)]
        if way == "stuck":
            rest = b""
        self.wfile.write(rest)


@pytest.fixture
def server(tiny: Path) -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        server.files = {path.name: path.read_bytes() for path in tiny.glob("*.gz")}
        server.requests = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def dead() -> str:
    """The address of a port on which nobody listens."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{unused.getsockname()[1]}/dead/"


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that takes the connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/silent/"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch):
    """Only where the tests' server is silent on purpose a time limit is one."""
    real = download.urllib.request.urlopen

    def open_patiently(request, timeout):
        silent = "/silent/" in request.full_url
        return real(request, timeout=timeout if silent else PATIENCE)

    monkeypatch.setattr(download.urllib.request, "urlopen", open_patiently)


@pytest.fixture
def get(server: Server, tiny_set: DataSet, tmp_path: Path):
    """Fetch one file from the named ways of misbehaving; return its path."""

    def run(*ways: str) -> Path:
        target = tmp_path / f"{NAME}.gz"
        urls = [f"{way if '://' in way else server.url(way)}{target.name}" for way in ways]
        check = lambda path: download.check(tiny_set.train_images, path)  # noqa: E731
        download.fetch(urls, target, check, timeout=0.5)
        assert target.read_bytes() == server.files[target.name]
        assert not part_of(target).exists()
        return target

    return run


def part_of(target: Path) -> Path:
    return target.with_name(f"{target.name}.part")


@pytest.mark.parametrize(
    "way", ["missing", "wrong", "page", "truncated", "stuck", "huge", "norange", "unsized"]
)
def test_a_bad_mirror_does_not_keep_a_good_one_from_serving(get, way: str):
    get(way, "good")


def test_dead_and_silent_mirrors_are_skipped(get, dead: str, silent: str):
    get(dead, silent, "http://no-such-host.invalid/", "nonsense://x/", "good")


def test_truncated_bodies_are_resumed_not_fetched_again(get, server: Server):
    get("truncated", "good")
    ways = [way for way, _ in server.requests]
    ranges = [wanted for _, wanted in server.requests]
    assert ways == ["truncated"] * 3 + ["good"]
    assert ranges[0] == ""
    assert all(re.fullmatch(r"bytes=[1-9]\d*-", wanted) for wanted in ranges[1:])


@pytest.mark.parametrize("way", ["good", "norange", "unsized"])
def test_part_is_resumed_or_started_over(get, server: Server, tmp_path: Path, way: str):
    part = part_of(tmp_path / f"{NAME}.gz")
    part.write_bytes(server.files[f"{NAME}.gz"][:100])
    get(way)
    assert server.requests == [(way, "bytes=100-")]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda whole: bytes(100), id="wrong start"),
        pytest.param(lambda whole: whole + b"more", id="longer than the file"),
        pytest.param(lambda whole: bytes(len(whole)), id="same size, wrong content"),
    ],
)
def test_wrong_part_is_discarded(get, server: Server, tmp_path: Path, damage):
    part_of(tmp_path / f"{NAME}.gz").write_bytes(damage(server.files[f"{NAME}.gz"]))
    get("good")
    assert len(server.requests) == 2
    assert server.requests[1] == ("good", "")


def test_complete_part_is_used(get, server: Server, tmp_path: Path):
    part_of(tmp_path / f"{NAME}.gz").write_bytes(server.files[f"{NAME}.gz"])
    get("good")


def test_recompressed_content_passes_where_the_raw_hash_is_known(get, server: Server):
    raw = gzip.decompress(server.files[f"{NAME}.gz"])
    server.files[f"{NAME}.gz"] = gzip.compress(raw, compresslevel=1, mtime=7)
    get("good")


def test_all_mirrors_fail(server: Server, tiny_set: DataSet, dead: str, cache: Path):
    mirrors = (dead, server.url("missing"), server.url("wrong"), server.url("stuck"))
    with pytest.raises(DataError) as caught:
        download.download(replace(tiny_set, mirrors=mirrors), cache / "tiny", timeout=0.5)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    for words in ("refused", "HTTP 404", "wrong content", "connection closed at byte 0"):
        assert words in message
    for name in server.files:
        assert name in message.split("; put ")[1]
    assert f"by hand into {cache / 'tiny'}" in message
    assert not any(path.name.endswith(".gz") for path in (cache / "tiny").iterdir())


def test_folder_that_cannot_be_made(server: Server, tiny_set: DataSet, tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be written: Not a directory"):
        download.download(tiny_set, tmp_path / "file" / "tiny")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_disk_full(get, tmp_path: Path):
    part_of(tmp_path / f"{NAME}.gz").symlink_to("/dev/full")
    with pytest.raises(DataError, match="cannot be written: No space left"):
        get("good", "good")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to every folder")
def test_read_only_folder(server: Server, tiny_set: DataSet, cache: Path):
    cache.mkdir(mode=0o500)
    with pytest.raises(DataError, match="cannot be written: Permission denied"):
        download.download(tiny_set, cache / "tiny")


def test_load_downloads_once(server: Server, tiny_set: DataSet, cache: Path, register):
    register(replace(tiny_set, mirrors=(server.url("good"),)))
    data = load(DataConfig(name="tiny"))
    assert len(server.requests) == 4
    assert storage.recorded_sums(cache / "tiny") == data.sha256
    load(DataConfig(name="tiny", split_seed=1))
    assert len(server.requests) == 4


def test_published_digest_of_the_packed_file_is_checked(
    server: Server, tiny_set: DataSet, cache: Path
):
    """Where no raw hash is known: what differs from the published ``.gz`` is refused."""
    file = replace(tiny_set.train_images, sha256="", gz_digest="sha256:" + "0" * 64)
    data_set = replace(tiny_set, train_images=file, mirrors=(server.url("good"),))
    with pytest.raises(DataError, match="wrong content .*expected hash 0000"):  # noqa: RUF043
        download.download(data_set, cache / "tiny")


def damage(folder: Path) -> Path:
    path = folder / f"{NAME}.gz"
    images = idx.read_images(path)
    images[0, 0, 0] ^= 1
    path.unlink()
    idx.write_images(folder / NAME.replace("-idx", ".idx"), images)
    return folder / NAME.replace("-idx", ".idx")


def test_damaged_files_are_replaced_on_request(server: Server, tiny_set: DataSet, cache: Path):
    data_set = replace(tiny_set, mirrors=(server.url("good"),))
    folder = cache / "tiny"
    assert len(download.download(data_set, folder, replace=True)) == 4
    damaged = damage(folder)
    assert download.download(data_set, folder, replace=True) == [NAME]
    assert not damaged.exists()
    storage.read_verified(data_set, data_set.train_images, folder)


def test_files_in_a_folder_of_the_user_are_never_replaced(
    server: Server, tiny_set: DataSet, tiny: Path
):
    damaged = damage(tiny)
    content = damaged.read_bytes()
    with pytest.raises(DataError, match="expected sha256"):
        download.download(replace(tiny_set, mirrors=(server.url("good"),)), tiny)
    assert damaged.read_bytes() == content


def test_processes_that_download_at_once(server: Server, tiny_set: DataSet, cache: Path):
    data_set = replace(tiny_set, mirrors=(server.url("truncated"), server.url("good")))
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        results = pool.starmap(download.download, [(data_set, cache / "tiny")] * 8)
        pool.close()
        pool.join()
    assert sorted(len(names) for names in results) == [0] * 7 + [4]
    for file in data_set.files:
        storage.read_verified(data_set, file, cache / "tiny")
    assert not list((cache / "tiny").glob("*.part"))


def test_progress_ends_at_the_whole(server: Server, tiny_set: DataSet, cache: Path):
    seen: dict[str, tuple[int, int | None]] = {}
    download.download(
        replace(tiny_set, mirrors=(server.url("good"),)),
        cache / "tiny",
        progress=lambda name, here, total: seen.update({name: (here, total)}),
    )
    assert seen == {name: (len(body), len(body)) for name, body in server.files.items()}
