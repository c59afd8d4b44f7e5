"""``studies doctor``: what it says where something is broken, and one real run."""

import http.server
import importlib.util
import json
import os
import socket
import threading
from types import SimpleNamespace

import pytest
import torch
from in_this_process import here  # noqa: F401
from needs import missing
from packaging.requirements import Requirement
from postgres import server  # noqa: F401

from mnist_core.data import storage as data_storage
from mnist_core.tracking import wandb_internals
from studies.cli.doctor import checks, children, packages, probe, torch_facts
from studies.cli.doctor.children import Answer, Child, Meanwhile
from studies.cli.doctor.data_checks import data_sets
from studies.cli.doctor.finding import State, ok, problem
from studies.cli.doctor.gpu import Signs, gpu_finding, signs
from studies.cli.doctor.machine_checks import disks, kernels, processors
from studies.cli.doctor.storage_checks import storage_finding
from studies.cli.doctor.tracker_checks import trackers
from studies.planning.settings import EngineSettings, Settings
from studies.planning.tracking_settings import TrackingSettings

THERE = Signs(nvidia=True, loaded=True, driver="535.104.05")
PASSWORD = "hunter2"


class FakeTorch:
    """torch whose GPUs are the CPU, or fail as ``fault`` says."""

    def __init__(self, *, count=1, fault=None, spoil=0.0, cuda="13.2", refuses=""):
        self.version = SimpleNamespace(cuda=cuda, hip=None)
        self._fault, self._spoil = fault, spoil

        def init():
            if refuses:
                raise RuntimeError(refuses)

        self.cuda = SimpleNamespace(
            is_available=lambda: count > 0,
            device_count=lambda: count,
            get_device_name=lambda index: "Fake H200",
            get_device_capability=lambda index: (9, 0),
            get_arch_list=lambda: ["sm_75", "sm_90"],
            mem_get_info=lambda index: (100 * 2**30, 140 * 2**30),
            init=init,
        )

    def as_tensor(self, values, *, device):
        assert device.startswith("cuda:")
        if self._fault is not None:
            raise self._fault
        return values + self._spoil

    def __getattr__(self, name):
        return getattr(torch, name)


def said(fake, found=THERE, device="auto"):
    return gpu_finding(torch_facts.facts_of(fake), found, device=device)


def test_a_gpu_that_computes_is_used():
    found = said(FakeTorch(count=2))
    assert found.state is State.OK and "2 GPUs" in found.text and "Fake H200" in found.text
    assert said(FakeTorch(), device="cpu").state is State.NOTE
    assert said(FakeTorch(count=1), device="cuda:1").stops


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        (RuntimeError("CUDA error: no kernel image is available for execution"), "sm_90"),
        (RuntimeError("CUDA error: out of memory"), "memory"),
        (RuntimeError("all CUDA-capable devices are busy or unavailable"), "another program"),
        (RuntimeError("CUDA error: unspecified launch failure\nmore"), "launch failure"),
    ],
)
def test_a_gpu_that_fails_stops_a_study(fault, word):
    found = said(FakeTorch(fault=fault))
    assert found.state is State.PROBLEM and found.stops and found.remedy and word in found.text
    assert not said(FakeTorch(fault=fault), device="cpu").stops


@pytest.mark.parametrize("spoil", [0.5, float("nan")])
def test_a_gpu_that_computes_wrongly_is_found(spoil):
    found = said(FakeTorch(spoil=spoil))
    assert found.stops and "wrong" in found.text


@pytest.mark.parametrize(
    ("fake", "found", "word"),
    [
        (FakeTorch(count=0, cuda=None), THERE, "CPU alone"),
        (FakeTorch(count=0), Signs(nvidia=True), "not loaded"),
        (
            FakeTorch(count=0, refuses="The NVIDIA driver on your system is too old (found 11040)"),
            THERE,
            "535.104.05",
        ),
        (FakeTorch(count=0), Signs(nvidia=True, loaded=True, locked="/dev/nvidia0"), "nvidia0"),
        (
            FakeTorch(count=0, refuses="No CUDA GPUs are available"),
            Signs(nvidia=True, loaded=True, visible="7"),
            "CUDA_VISIBLE_DEVICES",
        ),
        (FakeTorch(count=0, refuses="No CUDA GPUs are available"), THERE, "no GPU"),
        (FakeTorch(count=0, refuses="CUDA unknown error - perhaps"), THERE, "unknown error"),
        (FakeTorch(count=0, refuses="Driver/library version mismatch"), THERE, "updated"),
        (FakeTorch(count=0), Signs(amd=True), "AMD"),
    ],
)
def test_why_a_gpu_is_not_used(fake, found, word):
    told = said(fake, found)
    assert told.state is State.PROBLEM and word in told.text and told.remedy and not told.stops
    assert said(fake, found, device="cuda").stops


def test_a_hidden_gpu_is_a_note_unless_it_is_asked_for():
    hidden = Signs(nvidia=True, loaded=True, visible="")
    assert said(FakeTorch(count=0), hidden).state is State.NOTE
    assert said(FakeTorch(count=0), hidden, device="cuda:0").stops


def test_a_machine_without_a_gpu_is_fine_unless_one_is_asked_for():
    assert said(FakeTorch(count=0), Signs()).state is State.OK
    assert said(FakeTorch(count=0), Signs(), device="cuda").stops


def test_signs_are_read_from_the_system(tmp_path):
    assert signs(tmp_path, {}) == Signs()
    device = tmp_path / "sys/bus/pci/devices/0000:01:00.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text("0x10de\n")
    (device / "class").write_text("0x030200\n")
    assert signs(tmp_path, {}) == Signs(nvidia=True)
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").touch()
    version = tmp_path / "proc/driver/nvidia/version"
    version.parent.mkdir(parents=True)
    for line in (
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release Build",
    ):
        version.write_text(line)
        found = signs(tmp_path, {"CUDA_VISIBLE_DEVICES": "1"})
        assert found == Signs(nvidia=True, loaded=True, driver="550.54.15", visible="1")


@pytest.mark.gpu
def test_the_gpu_here_agrees_with_the_cpu():
    found = gpu_finding(torch_facts.facts_of(torch), signs(), device="auto")
    assert found.state is State.OK


@pytest.mark.parametrize(
    ("there", "state"), [("5.0.1", None), ("5.1.0", State.NOTE), ("4.8", State.PROBLEM)]
)
def test_versions_outside_the_tested_bounds(there, state):
    found = list(packages.versions([Requirement("optuna>=5.0,<5.1")], lambda name: there))
    assert [one.state for one in found] == [state or State.OK]
    assert state is None or "optuna>=" in found[0].remedy or "<5.1" in found[0].remedy


def test_a_missing_package_is_a_problem_but_not_one_of_an_extra():
    needed = [Requirement("torch>=2.11"), Requirement('mlflow-skinny>=3.1; extra == "mlflow"')]
    (found,) = packages.versions(needed, lambda name: None)
    assert found.stops and "torch" in found.text
    assert [one.state for one in packages.versions([], lambda name: None)] == [State.NOTE]


def test_rays_line_says_how_to_get_it(monkeypatch):
    extra = [Requirement('ray[tune]<2.61,>=2.60; extra == "ray"')]
    assert packages.ray("local", {"version": "2.60.0"}, extra).state is State.OK
    assert not packages.ray("local", {"error": "ImportError: x"}, extra).stops
    assert packages.ray("ray", {"error": "ImportError: x"}, extra).stops
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    missing = packages.ray("local", {}, extra)
    assert missing.state is State.NOTE and "mnist-studies[ray]" in missing.remedy
    assert packages.ray("ray", {}, [Requirement("ray[tune]>=2.60")]).stops


def test_processors(tmp_path):
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "cpu.max").write_text("50000 100000\n")
    found = processors(EngineSettings(), root=tmp_path)
    if (os.cpu_count() or 1) > 1:
        assert found.state is State.NOTE and "0.5" in found.text
    assert processors(EngineSettings(workers=2), root=tmp_path).stops


def test_a_results_folder_that_cannot_be_made_stops(tmp_path):
    (tmp_path / "file").touch()
    found = {one.subject: one for one in disks(tmp_path / "file" / "results")}
    assert found["results"].stops and found["temporary"].state is State.OK


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=5 * 2**20))
    found = {one.subject: one for one in disks(tmp_path / "results")}
    assert found["results"].stops and found["results"].remedy
    # Data sets that come with the package need no cache.
    assert found["cache"].state is State.PROBLEM and not found["cache"].stops


def tree(folder):
    return sorted(str(path) for path in folder.rglob("*"))


@pytest.mark.parametrize("url", ["", "sqlite:///{}/made/all.db", "journal:///{}/all.log"])
def test_storage_is_tried_and_nothing_is_left(tmp_path, url):
    found = storage_finding(url.format(tmp_path), tmp_path / "results")
    assert found.state is State.OK and tree(tmp_path) == []


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///{}/file/all.db",
        "sqlite:///{}/file",
        "journal:///{}/file",
        "mysql://user:hunter2@host/base",
        "not a url",
        "postgresql+psycopg://user:hunter2@127.0.0.1:{port}/base",
    ],
)
def test_storage_that_cannot_be_used_stops(tmp_path, url):
    (tmp_path / "file").write_text("text")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # it does not listen: connections are refused
        address = url.format(tmp_path, port=free.getsockname()[1])
        found = storage_finding(address, tmp_path / "results")
    assert found.stops and found.remedy and PASSWORD not in str(found)
    assert (tmp_path / "file").read_text() == "text" and len(tree(tmp_path)) == 1


@pytest.mark.long
def test_a_server_is_tried_and_nothing_is_left(server, tmp_path):  # noqa: F811
    url = server.new_database()
    assert storage_finding(url, tmp_path).state is State.OK
    name = url.rpartition("/")[2]
    assert server.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", name) == []
    server.sql("CREATE TABLE alembic_version (version_num text)", name)
    assert storage_finding(url, tmp_path).stops


@pytest.fixture
def nobody(monkeypatch, tmp_path):
    """No one is logged in to W&B."""
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    return tmp_path


def of_trackers(**settings):
    return list(trackers(TrackingSettings.model_validate(settings)))


def test_wandb_logins(nobody, monkeypatch):
    (offline,) = of_trackers()
    assert offline.state is State.OK and "not logged in" in offline.text
    online = {"trackers": ["wandb"], "wandb": {"mode": "online"}}
    (found,) = of_trackers(**online)
    assert found.state is State.PROBLEM and not found.stops and "wandb login" in found.remedy
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
        (nobody / "settings").write_text(f"[default]\nbase_url = {address}\n")
        assert wandb_internals.configured_server() == address
        (nobody / "netrc").write_text(f"machine 127.0.0.1 login user password {PASSWORD}\n")
        (found,) = of_trackers(**online)
        assert "cannot be reached" in found.text and PASSWORD not in str(found)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert of_trackers()[0].state is State.NOTE


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *words):
        pass


def test_mlflow_is_reachable_or_not(tmp_path):
    if importlib.util.find_spec("mlflow") is None:
        missing("mlflow is not installed")
    with http.server.HTTPServer(("127.0.0.1", 0), _Answers) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        uri = f"http://user:{PASSWORD}@127.0.0.1:{web.server_port}"
        plain = uri.replace(f"user:{PASSWORD}@", "")
        (found,) = of_trackers(trackers=["mlflow"], mlflow={"uri": plain})
        assert found.state is State.OK
        web.shutdown()
    (found,) = of_trackers(trackers=["mlflow"], mlflow={"uri": uri})
    assert found.state is State.PROBLEM and not found.stops and PASSWORD not in str(found)
    file = f"sqlite:///{tmp_path}/mlflow.db"
    assert of_trackers(trackers=["mlflow"], mlflow={"uri": file})[0].state is State.OK


def test_an_unknown_tracker_stops():
    assert of_trackers(trackers=["wandbb"])[0].stops
    assert of_trackers(trackers=[])[0].state is State.OK


def of_data(**settings):
    return list(data_sets(Settings().override({"train.data": settings}, source="test").train.data))


def test_data_sets(tmp_path, monkeypatch):
    monkeypatch.setenv(data_storage.CACHE_VARIABLE, str(tmp_path))
    assert [one.state for one in of_data()] == [State.OK]
    to_come, embedded = of_data(name="mnist")
    assert to_come.state is State.NOTE and "prepare" in to_come.remedy
    assert embedded.state is State.OK
    assert of_data(name="mnists")[0].stops
    assert of_data(name="folder")[0].stops
    damaged = tmp_path / "mnist"
    damaged.mkdir()
    for file in data_storage.DATA_SETS["mnist"].files:
        (damaged / file.name).write_bytes(b"garbage")
    chosen, other = of_data(name="mnist"), of_data()
    assert chosen[0].stops and other[0].state is State.OK
    assert other[1].state is State.PROBLEM and not other[1].stops


def test_data_that_no_study_of_the_project_uses_stops_nothing(tmp_path):
    data = Settings().override({"train.data.name": "mnists"}, source="test").train.data
    (found,) = data_sets(data, needed=False)
    assert found.state is State.NOTE and not found.stops and "mnists" in found.text
    (found,) = data_sets(Settings().train.data, needed=False)
    assert found.state is State.OK


OWN = """
from search_spaces.space import Float, Space
from studies.spec import StudySpec

def objective(params):
    return {"score": params["x"]}

STUDY = StudySpec(
    name="own", goal="g", space=Space({"x": Float(0.0, 1.0)}), objective=objective,
    metric="score", trials=4,
)
"""


def test_whether_a_study_of_the_project_uses_the_trainer(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDIES_PROJECT", str(tmp_path))
    assert probe.PROBES["project"]()["trainer"]
    (tmp_path / "study_of_own.py").write_text(OWN)
    facts = probe.PROBES["project"]()
    assert facts["counts"]["studies"] == 1 and facts["trainer"] is False
    (tmp_path / "study_of_trainer.py").write_text("STUDY = StudySpec(name='other'\n" + OWN)
    (tmp_path / "study_that_fails.py").write_text(OWN.replace("STUDY", "1 / 0\nSTUDY"))
    assert probe.PROBES["project"]()["trainer"]


def test_the_projects_files(tmp_path, monkeypatch):
    (tmp_path / "good.py").write_text("def build(options, n): ...\n")
    (tmp_path / "bad.py").write_text("def build(:\n")
    (tmp_path / "raises.py").write_text("def build(): ...\n1 / 0\n")
    monkeypatch.setenv("STUDIES_PROJECT", str(tmp_path))
    facts = probe.PROBES["project"]()
    assert facts["counts"] == {"models": 2} and "ZeroDivisionError" in facts["faults"][0]
    found = checks._project(Answer(facts), "")
    assert found.state is State.PROBLEM and "bad.py" in found.text and "1 more" in found.text


@pytest.mark.parametrize(
    ("why_not", "remedy"),
    [
        ("llvmlite cannot be imported (No module named 'llvmlite')", "pip install llvmlite"),
        ("MNIST_STUDIES_KERNELS is torch", "unset"),
        ("MNIST_STUDIES_KERNELS: must be auto or torch, but got 'numba'", "unset"),
        ("it would compute something else than this torch", ""),
    ],
)
def test_slow_kernels_are_a_note_with_their_remedy(why_not, remedy):
    found = kernels({"pooling": why_not, "Adam": "", "dropout": why_not})
    assert found.state is State.NOTE and found.text.count(why_not) == 1
    assert "pooling, dropout" in found.text and "Adam" not in found.text
    assert remedy in found.remedy and bool(remedy) == bool(found.remedy)
    assert kernels({"pooling": "", "Adam": ""}).state is State.OK


def test_the_reason_is_found_in_the_process_of_the_check(monkeypatch):
    monkeypatch.setenv("MNIST_STUDIES_KERNELS", "torch")
    found = probe.PROBES["torch"]()["kernels"]
    assert len(found) > 1 and all("MNIST_STUDIES_KERNELS" in why for why in found.values())
    monkeypatch.setenv("MNIST_STUDIES_KERNELS", "numba")
    assert all("numba" in why for why in probe.PROBES["torch"]()["kernels"].values())


def test_a_process_that_hangs_or_dies_is_told(monkeypatch):
    assert "KeyError" in Child("nothing of this name").answer().died
    monkeypatch.setattr(children, "LONGEST", 0.0)
    answer = Child("torch").answer()
    assert "seconds" in answer.died
    found = list(checks._of_torch(answer, "auto"))
    assert found[0].stops and found[0].remedy


def test_a_call_that_hangs_is_left():
    forever = threading.Event()
    assert Meanwhile(forever.wait, seconds=0.0, late="late").result() == "late"
    forever.set()
    assert Meanwhile(lambda: "done", seconds=60.0, late="late").result() == "done"


FACTS = {
    "torch": {"version": "2.15", "cuda": None, "hip": None, "available": False, "said": ""}
    | {"count": 0, "gpus": [], "bf16": False, "kernels": {"pooling": ""}},
    "ray": {"version": "2.60.0"},
    "project": {"faults": [], "counts": {}},
}


class FakeChild:
    """The process of a check, with an answer that is known."""

    def __init__(self, name):
        self._facts = FACTS[name]

    def answer(self):
        return Answer(self._facts)

    def end(self):
        pass


@pytest.mark.parametrize(
    "text",
    [
        "[train\n",
        "[train]\nepoch = 3\n",
        '[project]\npath = ["nowhere"]\n',
        "[storage]\nurl = 7\n",
        "\xff",
    ],
)
def test_it_runs_with_a_broken_conf(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf.toml").write_text(text, encoding="latin-1")
    found = list(checks.findings(None, {}, start=FakeChild))
    assert not checks.ready(found)
    assert [one.subject for one in found if one.stops] == ["settings"]
    assert len(found) > 15 and tree(tmp_path) == [str(tmp_path / "conf.toml")]


def test_no_password_is_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    url = f"postgresql+psycopg://user:{PASSWORD}@127.0.0.1:1/base"
    sets = {"storage.url": url, "tracking.trackers": ["mlflow"]}
    sets["tracking.mlflow.uri"] = f"http://user:{PASSWORD}@127.0.0.1:1"
    found = list(checks.findings(None, sets, start=FakeChild))
    assert PASSWORD not in "".join(str(one) for one in found)
    assert not checks.ready(found)


def test_a_line_is_one_line():
    found = problem("a", "text\nof two lines.", "mend it")
    assert str(found) == "text of two lines; mend it"
    assert checks.ready([ok("a", "b"), found]) and not found.stops


@pytest.mark.slow
def test_a_real_run_in_a_fresh_folder(here, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    done = here("studies", "doctor", "--json")
    printed = json.loads(done.stdout)
    assert done.returncode == 0 and printed["ready"], done.stdout
    subjects = [one["subject"] for one in printed["checks"]]
    expected = {"python", "torch", "gpu", "bf16", "kernels", "ray", "storage", "data", "wandb"}
    assert expected <= {*subjects}
    assert tree(tmp_path) == []
    (tmp_path / "conf.toml").write_text("[train\n")
    done = here("studies", "doctor")
    assert done.returncode == 1 and "settings" in done.stdout.splitlines()[-1]
    states = {line.split()[0] for line in done.stdout.splitlines()[:-1]}
    assert states <= {"ok", "note", "problem"}
