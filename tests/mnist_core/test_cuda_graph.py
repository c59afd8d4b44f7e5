"""CUDA graphs: what is refused, which batches go through one, and on a GPU the same result."""

import contextlib
import types

import pytest
import torch

from mnist_core.data import Data, Split
from mnist_core.device import cuda_graph
from mnist_core.device.runtime import Runtime
from mnist_core.errors import ConfigError
from mnist_core.train import resolve, train


def on_gpu(precision="bf16"):
    """A GPU as the checks see it; none is needed."""
    return Runtime(device=torch.device("cuda", 0), precision=precision, threads=1)


def test_a_cpu_has_no_graphs(config, refusal):
    message = refusal(ConfigError, resolve, config(cuda_graph=True))
    assert message.startswith("cuda_graph: only an NVIDIA GPU has it, but the training runs on cpu")


@pytest.mark.parametrize(
    ("changes", "precision", "says"),
    [
        ({"compile": True}, "fp32", "compile=false"),
        ({}, "fp16", "precision=bf16"),
        ({"accumulate": 4}, "fp32", "accumulate must be 1, but got 4"),
        (
            {"epochs": 2, "changes": [{"epoch": 1, "label_smoothing": 0.1}]},
            "fp32",
            "a change of label_smoothing is not recorded",
        ),
        ({"loss__name": "triplet", "model__name": "siamese"}, "fp32", "loss.name=bce"),
    ],
)
def test_what_changes_from_batch_to_batch_is_refused(config, refusal, changes, precision, says):
    some = config(cuda_graph=True, **changes)
    message = refusal(ConfigError, cuda_graph.check, some, on_gpu(precision))
    assert message.startswith("cuda_graph: ") and says in message


def test_what_can_be_recorded_is_not_refused(config):
    for precision in ("fp32", "tf32", "bf16", "fp64"):
        cuda_graph.check(config(cuda_graph=True), on_gpu(precision))
    assert cuda_graph.create(config(), None, None) is None


@pytest.mark.parametrize("changes", [{}, {"grad_clip": 0.1}, {"average__name": "ema"}])
def test_full_batches_go_through_the_graph(few, config, monkeypatch, changes):
    """A stand-in that computes each batch as it comes: four of the five an epoch are full."""
    seen = []

    class StandIn:
        def __init__(self, loss, model, batch_size):
            self.loss, self.model, self.batch_size = loss, model, batch_size

        def __call__(self, inputs, targets):
            assert all(p.grad is None for p in self.model.parameters())
            seen.append(len(targets))
            loss = self.loss(inputs, targets)
            loss.backward()
            return loss.detach()

    some = config(epochs=2, batch_size=64, **changes)
    plain = train(some, few)
    monkeypatch.setattr(
        cuda_graph, "create", lambda config, loss, model: StandIn(loss, model, config.batch_size)
    )
    graphed = train(some, few)
    assert seen == [64] * 8
    assert graphed.metrics == plain.metrics
    for a, b in zip(plain.model.parameters(), graphed.model.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.fixture
def few_on_gpu(few) -> Data:
    def there(split):
        return Split(split.images.cuda(), split.labels.cuda())

    return Data(
        name=few.name,
        train=there(few.train),
        validation=there(few.validation),
        n_classes=few.n_classes,
        sha256={},
        split_sha256="",
        fingerprint=few.fingerprint,
    )


@pytest.mark.gpu
@pytest.mark.parametrize(
    "changes",
    [
        {"model__name": "net"},
        {"model__name": "flex_cnn", "model__norm": "batch", "model__width": 8},
        {"model__name": "net", "optim__name": "adam", "grad_clip": 1.0},
        {"model__name": "net", "precision": "bf16"},
        {"model__name": "siamese", "model__dropout": 0.0, "pairs__per_epoch": 300},
        {"model__name": "net", "augment__shift": 0.1},
        {"model__name": "net", "loss__name": "focal"},
    ],
)
def test_a_graph_equals_eager(few_on_gpu, config, changes):
    """Five steps, the last with 44 of 64 images."""
    some = config(
        **{"device": "cuda", "optim__name": "sgd", "optim__lr": 0.01, "batch_size": 64} | changes
    )
    eager = train(some, few_on_gpu)
    graphed = train(some.override({"cuda_graph": True}), few_on_gpu)
    tolerance = 1e-2 if some.precision == "bf16" else 1e-4
    for name, value in eager.model.state_dict().items():
        other = graphed.model.state_dict()[name]
        torch.testing.assert_close(other, value, rtol=tolerance, atol=tolerance)
    train_loss = eager.metrics["train_loss"]
    assert graphed.metrics["train_loss"] == pytest.approx(train_loss, rel=tolerance)


@pytest.mark.gpu
def test_a_graph_with_dropout_trains(few_on_gpu, config):
    some = config(device="cuda", model__name="cnn", batch_size=100, cuda_graph=True, epochs=3)
    losses = [entry["train_loss"] for entry in train(some, few_on_gpu).history]
    assert losses[-1] < losses[0]


@pytest.mark.gpu
def test_recording_leaves_no_trace(few_on_gpu, config):
    """Batch norm's statistics, the weights and the random stream are what they were."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(784, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout()
    ).cuda()
    inputs = torch.randn(16, 1, 28, 28, device="cuda")
    targets = torch.zeros(16, dtype=torch.int64, device="cuda")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.cuda.get_rng_state()

    def loss(inputs, targets):
        return torch.nn.functional.cross_entropy(model(inputs), targets)

    graphed = cuda_graph.GraphedBatch(loss, model, 16)
    graphed._record(inputs, targets)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert torch.equal(torch.cuda.get_rng_state(), random)
    first = graphed(inputs, targets).item()
    assert first != graphed(inputs, targets).item()  # another dropout


class CudaOnCpu:
    """Stands for ``torch.cuda``: what is captured runs at once, and again at each replay."""

    class Stream:
        def __init__(self, device=None):
            pass

        def wait_stream(self, other):
            pass

    def current_stream(self, device):
        return self.Stream()

    def device(self, device):
        return contextlib.nullcontext()

    def stream(self, stream):
        return contextlib.nullcontext()

    def graph(self, graph, stream):
        return contextlib.nullcontext()

    def get_rng_state(self, device):
        return torch.get_rng_state()

    def set_rng_state(self, state, device):
        torch.set_rng_state(state)


def test_the_recording_on_a_stand_in_for_cuda(few, config, monkeypatch):
    """All that surrounds CUDA's own work: weights, statistics, streams, buffers, gradients."""
    made = []

    class Graph:
        def __init__(self):
            made.append(self)

        def replay(self):
            (graphed,) = (g for g in batches if g._graph is self)
            gradients, value = graphed._gradients, graphed._value
            computed = graphed._pass()
            value.copy_(computed)
            for parameter, fixed in zip(graphed._parameters, gradients, strict=True):
                fixed.copy_(parameter.grad)
                parameter.grad = None

    batches = []
    create = cuda_graph.create

    def kept(config, loss, model):
        batches.append(create(config.model_copy(update={"cuda_graph": True}), loss, model))
        return batches[-1]

    some = config(
        epochs=2, batch_size=64, model__name="flex_cnn", model__width=8, model__dropout=0.2
    )
    plain = train(some, few)
    cuda = CudaOnCpu()
    cuda.CUDAGraph = Graph
    stand_in = types.SimpleNamespace(cuda=cuda, Tensor=torch.Tensor)
    monkeypatch.setattr(cuda_graph, "torch", stand_in)
    monkeypatch.setattr(cuda_graph, "create", kept)
    graphed = train(some, few)
    assert len(made) == 1
    for name, value in plain.model.state_dict().items():
        assert torch.equal(value, graphed.model.state_dict()[name]), name
    assert graphed.metrics == plain.metrics
