"""CUDA graphs: what is refused, which batches go through one, and on a GPU the same result."""

import pytest
import torch
from graphs_on_cpu import Graph, torch_with

from mnist_core.data import Data, Split
from mnist_core.device import cuda_graph, runtime
from mnist_core.device.runtime import Runtime
from mnist_core.errors import ConfigError
from mnist_core.train import resolve, train
from mnist_core.trainer.training import Training


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
        {"model__name": "net", "optim__name": "nesterov"},
        {"model__name": "net", "optim__name": "adamw", "schedule__name": "one_cycle", "epochs": 3},
        {"model__name": "net", "optim__name": "rmsprop", "average__name": "ema"},
        {"model__name": "net", "epochs": 2, "changes": [{"epoch": 1, "label_smoothing": 0.1}]},
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
@pytest.mark.parametrize("optimizer", ["adamw", "momentum", "rmsprop"])
def test_recording_leaves_no_trace(few_on_gpu, config, optimizer):
    """Weights, statistics, the optimizer's state and the random streams are what they were."""
    some = config(
        device="cuda",
        model__name="flex_cnn",
        model__norm="batch",
        model__dropout=0.2,
        model__width=8,
        batch_size=64,
        optim__name=optimizer,
        augment__shift=0.1,
        cuda_graph=True,
    )
    machine = runtime.resolve(some)
    with runtime.session(machine, deterministic=False):
        training = Training(resolve(some), few_on_gpu, machine, keep_best=False, follow=True)
        chosen = training.task.parts()[0]
        before = {name: value.clone() for name, value in training.model.state_dict().items()}
        random, drawn = torch.cuda.get_rng_state(), training.task.changes.get_state()
        training.graph._record(chosen)
        for name, value in training.model.state_dict().items():
            assert torch.equal(value, before[name]), name
        for state in training.optimizer.state.values():
            assert all(not value.any() for value in state.values())
        assert torch.equal(torch.cuda.get_rng_state(), random)
        assert torch.equal(training.task.changes.get_state(), drawn)
        assert training.loss_sum.item() == training.right.item() == 0
        losses = []
        for _ in range(2):
            training.loss_sum.zero_()
            training._step([chosen])
            losses.append(training.loss_sum.item())
        assert losses[0] != losses[1]


@pytest.mark.gpu
@pytest.mark.parametrize("changes", [{}, {"augment__shift": 0.1}, {"optim__name": "rmsprop"}])
def test_replays_do_not_wait_for_the_device(few_on_gpu, config, changes):
    """torch itself raises where the host would wait; the smaller last batch has no graph."""
    some = config(device="cuda", model__name="cnn", batch_size=64, cuda_graph=True, **changes)
    machine = runtime.resolve(some)
    with runtime.session(machine, deterministic=False):
        training = Training(resolve(some), few_on_gpu, machine, keep_best=False, follow=True)
        first, *others = training._rest_of_epoch()
        training._step(first)  # recorded here
        torch.cuda.set_sync_debug_mode("error")
        try:
            for group in others:
                training._step(group)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert training.step == training.steps_per_epoch


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optim__name": "adamw", "grad_clip": 0.1},
        {"optim__name": "sgd"},
        {"optim__name": "momentum", "average__name": "ema"},
        {"optim__name": "nesterov", "augment__shift": 0.1},
        {"optim__name": "rmsprop"},  # its step stays outside of the graph
        {"optim__name": "muon", "augment__blur_p": 0.5},
        {"model__name": "siamese", "pairs__per_epoch": 300, "batch_size": 64},
        {"changes": [{"epoch": 1, "label_smoothing": 0.1, "optim.weight_decay": 0.25}]},
        {"changes": [{"epoch": 1, "augment.shift": 0.1, "optim.lr": 2.0**-8}]},
        {"optim__name": "sgd", "changes": [{"epoch": 1, "optim.lr": 2.0**-8}]},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
def test_a_recorded_training_equals_a_plain_one_on_a_stand_in(few, config, changes, recorded):
    """All around CUDA's own work: weights, states, statistics, streams, buffers, gradients."""
    some = config(
        **{
            "epochs": 2,
            "batch_size": 64,
            "model__name": "flex_cnn",
            "model__width": 8,
            "model__dropout": 0.2,
            "optim__lr": 2.0**-7,  # the same number in fp32, which a recorded rate is
        }
        | changes
    )
    plain = train(some, few, follow=True)
    graphs = recorded()
    graphed = train(some, few, follow=True)
    assert len(graphs) == (2 if "changes" in changes else 1)
    assert sum(graph.replays for graph in graphs) == 8  # of the five batches of an epoch four
    for name, value in plain.model.state_dict().items():
        assert torch.equal(value, graphed.model.state_dict()[name]), name
    assert graphed.metrics == plain.metrics
    for ours, theirs in zip(graphed.history, plain.history, strict=True):
        assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}


def test_a_recorded_training_resumes_within_an_epoch(few, config, tmp_path, recorded):
    """Stopped at the second of three reports of an epoch; its graph is recorded anew."""
    some = config(
        epochs=2,
        batch_size=64,
        reports_per_epoch=2,
        model__name="net",
        optim__name="adamw",
        optim__lr=2.0**-7,
        augment__shift=0.1,
    )
    plain = train(some, few)
    recorded()
    state = tmp_path / "state"

    def stop(step, metrics):
        if step == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(some, few, stop, state_file=state)
    resumed = train(some, few, state_file=state)
    assert resumed.metrics == plain.metrics


@pytest.fixture
def recorded(monkeypatch):
    """Have every later training record its steps on the stand-in; return the graphs."""

    def begin():
        graphs = []
        record = cuda_graph.GraphedStep._record

        def kept(step, chosen):
            graph = record(step, chosen)
            graph.step = step
            graphs.append(graph)
            assert graph.registered == [step._parts.stream]
            return graph

        init = Training.__init__

        def graphed(training, config, *arguments, **named):
            init(training, config.model_copy(update={"cuda_graph": True}), *arguments, **named)
            training.config = training.now = config

        monkeypatch.setattr(cuda_graph, "torch", torch_with(Graph))
        monkeypatch.setattr(cuda_graph.GraphedStep, "_record", kept)
        monkeypatch.setattr(Training, "__init__", graphed)
        return graphs

    return begin
