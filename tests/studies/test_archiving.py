"""``studies archive``: to the last bit and back, killed anywhere, and nothing from an evil file."""

import gzip
import hashlib
import io
import itertools
import json
import shutil
import tarfile
from functools import partial
from pathlib import Path

import pytest
from fresh_kills import die_at, plan_of
from in_this_process import here  # noqa: F401
from test_protocol import run
from toyland import RUN, toyland  # noqa: F401

from studies.analysis import stored_study
from studies.protocol.archiving import archive_study, restore
from studies.storage import archive_file, leases
from studies.storage.archive_file import MANIFEST, ArchiveError
from studies.storage.contents import difference, read_content
from studies.storage.leases import StudyInUse

KINDS = ("sqlite", "journal", "sqlite elsewhere", "journal elsewhere")


def bits(folder):
    """The files below ``folder`` with content and time, less what SQLite keeps beside its own."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    }


def held(plan):
    with plan.location.opened(required=True) as studies:
        return [read_content(studies.storage, name) for name in sorted(studies.names)]


@pytest.fixture(scope="module", params=KINDS)
def ran(request, tmp_path_factory):
    plan = plan_of(request.param, tmp_path_factory.mktemp("ran"), request)
    run(plan)
    (plan.folder / "empty" / "deep").mkdir(parents=True)
    (plan.folder / "umlaut ä.txt").write_text("mine")
    return plan


def test_a_study_comes_back_to_the_last_bit(ran, tmp_path):
    before, contents = bits(ran.folder), held(ran)
    file = tmp_path / "a.tar.gz"
    archive_study(ran.location, file, remove=False, say=pytest.fail)
    assert bits(ran.folder) == before
    found, folder = restore(file, tmp_path / "back")
    after = bits(folder)
    added = after.keys() - before.keys()
    assert {name: after[name] for name in after if name not in added} == before
    assert added == ({"study.db"} if found.storage else set())
    assert (folder / "empty" / "deep").is_dir() and found.study == "toy"
    plan = plan_at(ran, folder)
    again = held(plan)
    assert len(again) == 2 and list(map(difference, again, contents)) == ["", ""]
    assert stored_study.read(plan).phase == "finished"


def plan_at(plan, folder):
    import dataclasses

    from studies.planning.lookup import database_of

    scheme = plan.storage_url.partition(":")[0]
    url = database_of(folder) or f"{scheme}:///{folder / 'study.file'}"
    return dataclasses.replace(plan, folder=folder, storage_url=url)


def test_removed_only_after_the_check(ran, tmp_path):
    place = tmp_path / "place"
    shutil.copytree(ran.folder.parent, place)
    url = ran.storage_url.replace(str(ran.folder.parent), str(place))
    import dataclasses

    plan = dataclasses.replace(ran, folder=place / "toy", storage_url=url)
    before = bits(plan.folder)
    archive_study(plan.location, tmp_path / "a.tar.gz", remove=True, say=pytest.fail)
    assert not plan.folder.exists() and not list(place.glob(".*"))
    _, folder = restore(tmp_path / "a.tar.gz", tmp_path / "back")
    assert before.items() <= bits(folder).items()


@pytest.fixture(scope="module")
def small(tmp_path_factory, request):
    plan = plan_of("sqlite", tmp_path_factory.mktemp("small"), request)
    run(plan)
    return plan


def copied(small, place):
    import dataclasses

    shutil.copytree(small.folder, place / "toy")
    url = f"sqlite:///{place / 'toy' / 'study.file'}"
    return dataclasses.replace(small, folder=place / "toy", storage_url=url)


STEPS = [11, pytest.param(1, marks=pytest.mark.long)]
"""Of the changes of files, one in this number is killed before."""


@pytest.mark.parametrize("step", STEPS)
def test_killed_anywhere_the_study_or_a_whole_archive_is_there(small, tmp_path, step):
    before, whole = bits(small.folder), 0
    for number in itertools.count(1, step):
        place = tmp_path / str(number)
        plan = copied(small, place)
        file = place / "a.tar.gz"
        action = partial(archive_study, plan.location, file, remove=True, say=str)
        if not die_at(number, action):
            break
        if file.exists():
            archive_file.verify(file)
            whole += 1
        else:
            assert bits(plan.folder) == before, number
        if plan.folder.exists():
            assert bits(plan.folder) == before, number
            file.unlink(missing_ok=True)
            action()
        back = restore(file, place / "back")[1]
        assert bits(back) == before, number
        shutil.rmtree(place)
    assert number > 11 and whole > 0


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_restore_leaves_nothing_under_the_name(small, tmp_path, step):
    file = tmp_path / "a.tar.gz"
    archive_study(small.location, file, remove=False, say=pytest.fail)
    before = bits(small.folder)
    for number in itertools.count(1, step):
        place = tmp_path / str(number)
        if not die_at(number, partial(restore, file, place)):
            break
        if (place / "toy").exists():
            assert bits(place / "toy") == before
        else:
            restore(file, place)
        assert bits(place / "toy") == before
    assert number > 11


def test_a_running_study_is_refused(small, tmp_path):
    plan = copied(small, tmp_path)
    with plan.location.opened() as studies:
        leases.take(studies.search)
        with pytest.raises(StudyInUse):
            archive_study(plan.location, tmp_path / "a.tar.gz", remove=True, say=str)
    assert plan.folder.exists() and not (tmp_path / "a.tar.gz").exists()


def test_nothing_is_written_over(small, tmp_path):
    file = tmp_path / "a.tar.gz"
    archive_study(small.location, file, remove=False, say=str)
    with pytest.raises(ArchiveError, match="exists"):
        archive_study(small.location, file, remove=False, say=str)
    with pytest.raises(ArchiveError, match="exists"):
        restore(file, small.folder.parent)


def test_links_are_left_out_and_named(small, tmp_path):
    plan = copied(small, tmp_path)
    (plan.folder / "link").symlink_to("/etc")
    said = []
    found = archive_study(plan.location, tmp_path / "a.tar.gz", remove=False, say=said.append)
    assert "link" not in found.files and len(said) == 1 and "link" in said[0]


@pytest.mark.parametrize("place", range(0, 100, 7))
def test_a_changed_byte_is_found(small, tmp_path, place):
    file = tmp_path / "a.tar.gz"
    archive_study(small.location, file, remove=False, say=str)
    raw = bytearray(file.read_bytes())
    raw[(len(raw) - 80) * place // 100 + 64] ^= 0x55  # behind the name in the file's head
    file.write_bytes(raw)
    with pytest.raises(ArchiveError):
        restore(file, tmp_path / "back")
    assert not (tmp_path / "back" / "toy").exists()


def test_a_cut_archive_is_found(small, tmp_path):
    file = tmp_path / "a.tar.gz"
    archive_study(small.location, file, remove=False, say=str)
    raw = file.read_bytes()
    for size in (0, 1, 10, 600, len(raw) // 2, len(raw) - 600):
        file.write_bytes(raw[:size])
        with pytest.raises(ArchiveError):
            archive_file.verify(file)


def evil(path, files, members, *, folder="toy"):
    """Write an archive whose list names ``files``, and that holds ``members``."""
    entries = {
        name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "modified": 0}
        for name, data in files.items()
    }
    content = {"schema": 1, "study": "toy", "folder": folder, "storage": "", "files": entries}
    text = json.dumps({**content, "folders": [], "written_by": "x"}).encode()
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo(MANIFEST)
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
        for info, data in members:
            info.size = len(data) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(data))


def member(name, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize(
    "name", ["../x", "/tmp/x", "a/../../x", "a//b", "./a", "", "..", "C:x", "a\\b", "a/."]
)
def test_no_file_lands_outside(tmp_path, name):
    evil(tmp_path / "a.tar.gz", {name: b"x"}, [(member(name), b"x")])
    with pytest.raises(ArchiveError):
        restore(tmp_path / "a.tar.gz", tmp_path / "back")
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize("folder", ["..", ".hidden", "a/b", "", "/tmp/x", "a b", "-x"])
def test_the_folder_has_a_plain_name(tmp_path, folder):
    evil(tmp_path / "a.tar.gz", {}, [], folder=folder)
    with pytest.raises(ArchiveError):
        restore(tmp_path / "a.tar.gz", tmp_path / "back")


@pytest.mark.parametrize(
    "members",
    [
        [(member("a", tarfile.SYMTYPE, "/etc/passwd"), b"")],
        [(member("a", tarfile.LNKTYPE, "/etc/passwd"), b"")],
        [(member("a", tarfile.FIFOTYPE), b"")],
        [(member("a"), b"x"), (member("b"), b"x")],
        [(member("a"), b"x"), (member("a"), b"x")],
        [(member("a"), b"y")],
        [(member("a"), b"xx")],
        [],
    ],
)
def test_only_what_the_list_names_is_taken(tmp_path, members):
    evil(tmp_path / "a.tar.gz", {"a": b"x"}, members)
    with pytest.raises(ArchiveError):
        restore(tmp_path / "a.tar.gz", tmp_path / "back")
    assert not (tmp_path / "back" / "toy").exists()


@pytest.mark.parametrize("content", [b"", b"no archive", gzip.compress(b"no tar", mtime=0)])
def test_another_file_is_one_line(tmp_path, content):
    (tmp_path / "a.tar.gz").write_bytes(content)
    with pytest.raises(ArchiveError):
        restore(tmp_path / "a.tar.gz", tmp_path)
    with pytest.raises(ArchiveError, match="no such file"):
        restore(tmp_path / "b.tar.gz", tmp_path)


def test_the_command_archives_and_restores(here, toyland):  # noqa: F811
    assert here("studies.run", "toyland", *RUN).returncode == 0
    shown = here("studies", "status", "toyland").stdout
    done = here("studies", "archive", "toyland", "--remove")
    assert done.returncode == 0, done.stderr
    assert not Path("results/toyland").exists() and Path("results/toyland.tar.gz").is_file()
    assert here("studies", "list", "--json").stdout.count('"toyland"') == 1  # in the catalog
    done = here("studies", "archive", "--restore", "results/toyland.tar.gz")
    assert done.returncode == 0, done.stderr
    assert here("studies", "status", "toyland").stdout == shown
    again = here("studies.run", "toyland", *RUN)
    assert again.returncode == 0 and "had finished before" in again.stdout


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("toyland", "--restore", "x.tar.gz"),
        ("--restore", "x.tar.gz", "--remove"),
        ("--restore", "nowhere.tar.gz"),
        ("nowhere",),
        ("toyland",),
        ("toyland", "--to", "x.zip"),
    ],
)
def test_bad_input_is_one_line(here, toyland, words):  # noqa: F811
    done = here("studies", "archive", *words)
    assert done.returncode == 1, done.stdout
    assert len(done.stderr.splitlines()) == 1 and done.stderr.startswith("error: ")
