"""The machine under a training: what is recorded is what is used, and all is put back."""

import os
import platform
from contextlib import contextmanager

import pytest
import torch

from mnist_core import models
from mnist_core.config import TrainConfig
from mnist_core.device import runtime
from mnist_core.device.runtime import Runtime, session
from mnist_core.errors import ConfigError
from mnist_core.train import StopTraining, TrainingFailed, resolve, train


def cpu(threads=1, precision="fp32"):
    return Runtime(device=torch.device("cpu"), precision=precision, threads=threads)


class State:
    """Everything of torch that a training may change."""

    def __init__(self):
        self.threads = torch.get_num_threads()
        self.random = torch.get_rng_state()
        self.deterministic = torch.are_deterministic_algorithms_enabled()
        self.warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
        self.autocast = torch.is_autocast_enabled("cpu")
        self.gradients = torch.is_grad_enabled()
        self.dtype = torch.get_default_dtype()

    def __eq__(self, other):
        mine, theirs = dict(vars(self)), dict(vars(other))
        return torch.equal(mine.pop("random"), theirs.pop("random")) and mine == theirs


def test_inside_a_session_everything_is_as_asked():
    before = State()
    with session(cpu(threads=2), deterministic=True):
        assert torch.get_num_threads() == 2
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
        torch.manual_seed(5)
        torch.rand(4)
    assert State() == before
    with session(cpu(), deterministic=False):
        assert torch.get_num_threads() == 1
        assert not torch.are_deterministic_algorithms_enabled()
    assert State() == before


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, StopTraining])
def test_an_exception_leaves_nothing_behind(error):
    before = State()
    with pytest.raises(error), session(cpu(threads=2), deterministic=True):
        torch.manual_seed(5)
        raise error
    assert State() == before


def test_what_was_set_outside_is_put_back():
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(True, warn_only=True)
    before = State()
    for deterministic in (True, False):
        with session(cpu(), deterministic=deterministic):
            pass
        assert State() == before


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("ends", ["well", "early", "badly"])
def test_a_training_disturbs_nothing(few, config, monkeypatch, ends, deterministic):
    def report(step, metrics):
        if ends == "early":
            raise StopTraining

    chosen = config(model__name="lenet5", deterministic=deterministic, threads=2, seed=3)
    before = State()
    if ends == "badly":
        monkeypatch.setattr(models, "build", lambda *_: torch.empty(1 << 50))
        with pytest.raises(TrainingFailed):
            train(chosen, few, report)
    else:
        train(chosen, few, report)
    assert State() == before


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_are_those_recorded(few, config, threads):
    seen = []
    chosen = config(model__name="lenet5", threads=threads)
    result = train(chosen, few, lambda *_: seen.append(torch.get_num_threads()))
    assert seen == [threads]
    assert result.config.threads == threads


@pytest.mark.parametrize(
    ("value", "threads"),
    [
        ("1", 1),
        ("2", 2),
        ("2,1", 2),
        ("64", 3),
        ("", 3),
        ("0", 3),
        ("many", 3),
        ("-1", 3),
        (None, 3),
    ],
)
def test_omp_num_threads_is_honoured(monkeypatch, value, threads):
    monkeypatch.setattr(runtime, "available_cores", lambda: 3)
    if value is None:
        monkeypatch.delenv("OMP_NUM_THREADS")
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert runtime.resolve(TrainConfig()).threads == threads
    assert runtime.resolve(TrainConfig(threads=2)).threads == 2


def test_all_cores_are_those_of_this_process(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert resolve(TrainConfig()).threads == runtime.available_cores()
    if hasattr(os, "sched_getaffinity"):
        assert runtime.available_cores() == len(os.sched_getaffinity(0))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs CPU affinity")
def test_a_process_bound_to_one_core_has_one_thread():
    cores = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(cores)})
        assert resolve(TrainConfig()).threads == 1
    finally:
        os.sched_setaffinity(0, cores)


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_device_without_a_gpu(device):
    assert runtime.resolve(TrainConfig(device=device)).device == torch.device("cpu")
    assert resolve(TrainConfig(device=device)).device == "cpu"


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:1"])
def test_a_gpu_that_is_not_there(device, refusal):
    message = refusal(ConfigError, runtime.resolve, TrainConfig(device=device))
    assert message.startswith(f"device: {device!r} was asked for, but torch finds no GPU")


@pytest.mark.parametrize(
    ("device", "got"), [("auto", "cuda:0"), ("cuda", "cuda:0"), ("cuda:1", "cuda:1")]
)
def test_device_with_two_gpus(monkeypatch, device, got):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    config = TrainConfig(device=device, precision="fp32")
    assert str(runtime.resolve(config).device) == got


@pytest.mark.parametrize("device", ["cuda:2", "cuda:256", "cuda:9999"])
def test_more_gpus_than_there_are(monkeypatch, device, refusal):
    """torch keeps 8 bits of the index: it takes cuda:256 for cuda:0."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    message = refusal(ConfigError, runtime.resolve, TrainConfig(device=device))
    assert message == f"device: {device!r} was asked for, but there are 2 GPUs, counted from cuda:0"


@pytest.mark.parametrize(
    ("capability", "instruction", "precision"),
    [("AVX512", True, "bf16"), ("AVX512", False, "fp32"), ("AVX2", False, "fp32")],
)
def test_auto_is_bf16_where_the_processor_has_it(monkeypatch, capability, instruction, precision):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: instruction)
    assert runtime.resolve(TrainConfig(device="cpu")).precision == precision
    for asked in ("fp32", "bf16"):
        assert runtime.resolve(TrainConfig(device="cpu", precision=asked)).precision == asked


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_autocast_computes_in_that_precision(precision, dtype):
    machine = cpu(precision=precision)
    assert machine.dtype == dtype
    with machine.autocast():
        assert torch.nn.Linear(3, 2)(torch.rand(1, 3)).dtype == dtype


def test_the_processor_has_a_name():
    assert cpu().device_name == runtime.cpu_name() != ""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_memory_is_kept():
    assert runtime.keep_freed_memory()


def test_elsewhere_memory_is_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("musl", "1.2"))
    assert not runtime.keep_freed_memory.__wrapped__()


def test_bf16_is_asked_of_the_gpu_that_is_used(monkeypatch):
    """The first GPU is of an old kind, the second of one that computes bf16."""
    now = [0]

    @contextmanager
    def device(chosen):
        before, now[0] = now[0], chosen.index
        yield
        now[0] = before

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **how: now[0] == 1)
    precisions = [
        runtime.resolve(TrainConfig(device=f"cuda:{index}", precision="auto")).precision
        for index in range(2)
    ]
    assert precisions == ["fp32", "bf16"]


def test_what_a_deterministic_training_sets_is_put_back(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    with session(cpu(), deterministic=True):
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    with pytest.raises(KeyError), session(cpu(), deterministic=True):
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
        raise KeyError
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("device", ["cpu", "auto", "cuda:0"])
def test_tf32_without_a_gpu_is_one_line(device, refusal):
    """Not first that there is no GPU, and then that the CPU has no tf32."""
    message = refusal(ConfigError, runtime.resolve, TrainConfig(device=device, precision="tf32"))
    assert message.startswith("precision: ") and "device=cpu and precision=fp32" in message


def test_a_gpu_is_hidden_from_the_tests(request):
    if request.config.option.markexpr != "gpu":
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "" and not torch.cuda.is_available()
        assert not any(item.get_closest_marker("gpu") for item in request.session.items)


@pytest.mark.gpu
@pytest.mark.parametrize("deterministic", [True, False])
def test_a_gpu_trains_and_says_so(digits, config, deterministic):
    from mnist_core.config import DataConfig
    from mnist_core.data import load

    chosen = config(device="cuda", precision="auto", epochs=2, deterministic=deterministic)
    data = load(DataConfig(), "cuda")
    state = torch.cuda.get_rng_state()
    results = [train(chosen, data) for _ in range(2)]
    assert torch.equal(torch.cuda.get_rng_state(), state)
    first, second = results
    assert first.config.device == "cuda:0"
    assert next(first.model.parameters()).device == torch.device("cuda:0")
    assert first.device_name == torch.cuda.get_device_name(0)
    assert first.metrics["val_accuracy"] > 0.9
    if deterministic:
        assert all(map(torch.equal, first.model.parameters(), second.model.parameters()))
