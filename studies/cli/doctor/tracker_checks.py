"""Checks of the trackers: installed, logged in, and reachable if the settings ask for a server."""

import os
from collections.abc import Iterator

from mnist_core.console.shell_words import command
from mnist_core.errors import ConfigError, UserError
from mnist_core.files import check_writable
from mnist_core.tracking import wandb_account, wandb_internals
from studies import tracking
from studies.cli.doctor.finding import Finding, note, ok, problem
from studies.core.redaction import masked
from studies.planning.tracking_settings import MlflowSettings, TrackingSettings, WandbSettings
from studies.storage.errors import StorageError
from studies.storage.url import absolute_url, storage_file

ANSWER_SECONDS = 2.0
"""A server that has not answered by then is not reachable."""


def trackers(settings: TrackingSettings) -> Iterator[Finding]:
    """Yield whether each tracker of the settings can be used."""
    if not settings.trackers:
        yield ok("trackers", "none are asked for")
    for name in dict.fromkeys(settings.trackers):
        try:
            tracking.check([name])
        except ConfigError as error:
            yield problem("trackers", str(error), "or leave it out: --track none", stops=True)
            continue
        if name == "wandb":
            yield _wandb(settings.wandb)
        elif name == "mlflow":
            yield _mlflow(settings.mlflow)
        else:
            yield ok(name, "can be used; it writes into the study's folder")


def _wandb(settings: WandbSettings) -> Finding:
    if os.environ.get("WANDB_MODE") == "disabled":
        return note("wandb", "WANDB_MODE is disabled, so nothing is kept", "unset WANDB_MODE")
    address = wandb_internals.configured_server()
    inside = wandb_account.logged_in(address)
    if settings.mode == "offline":
        said = "logged in" if inside else "not logged in (wandb login)"
        send = command("studies", "sync", "STUDY")
        text = f"offline: runs are kept in the study's folder until `{send}`; {said}"
        return ok("wandb", text)
    offline = f"runs are kept offline, and `{command('studies', 'sync', 'STUDY')}` sends them later"
    if not inside:
        text = f"tracking.wandb.mode is online, but you are not logged in to {masked(address)}"
        return problem("wandb", f"{text}; {offline}", "wandb login")
    if not wandb_account.reachable(address, seconds=ANSWER_SECONDS):
        text = f"tracking.wandb.mode is online, but {masked(address)} cannot be reached"
        return problem("wandb", f"{text}; {offline}", "see the network, or set the mode to offline")
    return ok("wandb", f"online: logged in, and {masked(address)} answers")


def _mlflow(settings: MlflowSettings) -> Finding:
    uri = settings.uri
    if not uri:
        return ok("mlflow", "kept in an SQLite file in the study's folder")
    if uri.startswith(("http://", "https://")):
        if wandb_account.reachable(uri, seconds=ANSWER_SECONDS):
            return ok("mlflow", f"{uri} answers")
        remedy = "start the server (mlflow server), or correct tracking.mlflow.uri"
        return problem("mlflow", f"{uri} cannot be reached; trials are sent when it can", remedy)
    try:
        file = storage_file(absolute_url(uri))
        if file is not None:
            check_writable(file.parent, "tracking.mlflow.uri")
    except StorageError:  # a kind of address that only MLflow knows
        return note("mlflow", f"{uri} is not asked: it is not an address of http")
    except UserError as error:
        return problem("mlflow", str(error), "correct tracking.mlflow.uri")
    return ok("mlflow", f"{uri} is used")
