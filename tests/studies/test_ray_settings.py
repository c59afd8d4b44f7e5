"""Settings of the engine ``ray``, looked at without Ray."""

import pytest
from typer.testing import CliRunner

from mnist_core.errors import ConfigError
from studies import engines
from studies.engines.base import Resources
from studies.planning import machine
from studies.planning.ray_settings import RaySettings
from studies.run import app


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"gpus": 1.5}, "gpus: a fraction of a GPU, or whole GPUs, but got 1.5"),
        ({"gpus": 0.00001}, "gpus: 0, or at least 0.0001, .* but got 1e-05"),
        ({"cpus": 0.00001}, "cpus: 0, or at least 0.0001, .* but got 1e-05"),
    ],
)
def test_what_ray_cannot_count(given, said):
    with pytest.raises(ConfigError, match="here: " + said):
        RaySettings.from_mapping(given, source="here")


def test_what_it_can():
    settings = RaySettings.from_mapping({"gpus": 2.0, "cpus": 1.5}, source="here")
    assert (settings.gpus, settings.cpus) == (2.0, 1.5)


def test_an_address_is_for_ray():
    result = CliRunner().invoke(app, ["optim_search", "--engine", "local", "--ray-address", "auto"])
    assert result.exit_code == 2
    assert "--engine local" in " ".join(result.output.split())


def test_cpus_of_a_cluster_of_our_own(monkeypatch):
    monkeypatch.setattr(machine, "cores", lambda: 2)

    def cpus(workers, **settings):
        resources = Resources(ray=RaySettings(**settings))
        engine = engines.create("ray", workers=workers, threads=1, resources=resources)
        return engine._cluster._cpus

    assert cpus(1) == 2
    assert cpus(3) == 3  # more trials than cores, as with any engine
    assert cpus(3, cpus=64.0) == 2  # so that no node has room for one
