"""TensorBoard's HPARAMS page as its own program makes it from a folder of runs."""

from types import SimpleNamespace

from tensorboard import context
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.data.provider import ListHyperparametersResult
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams.api_pb2 import ListSessionGroupsRequest, Status
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.list_session_groups import Handler


def hparams(folder):
    """Return names of columns and metrics, the values of each row, and its metrics."""
    found = EventMultiplexer()
    found.AddRunsFromDirectory(str(folder))
    found.Reload()
    provider = MultiplexerDataProvider(found, str(folder))
    backend, asked = Context(TBContext(data_provider=provider)), context.RequestContext()
    nothing = ListHyperparametersResult(hyperparameters=[], session_groups=[])
    tags = backend.hparams_metadata(asked, "")
    page = backend.experiment_from_metadata(asked, "", True, tags, nothing)
    wanted = ListSessionGroupsRequest(slice_size=1000, allowed_statuses=Status.values())
    groups = Handler(asked, backend, "", wanted).run()
    rows, metrics = {}, {}
    for group in groups.session_groups:
        name = group.sessions[0].name
        rows[name] = {k: getattr(v, v.WhichOneof("kind")) for k, v in group.hparams.items()}
        metrics[name] = {value.name.tag: value.value for value in group.metric_values}
    return SimpleNamespace(
        columns={info.name for info in page.hparam_infos},
        metrics={info.name.tag for info in page.metric_infos},
        rows=rows,
        values=metrics,
    )
