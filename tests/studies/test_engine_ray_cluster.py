"""The engine ``ray`` on a cluster of several nodes on this machine, one of which goes away."""

import os
import threading

import psutil
import pytest
import ray
import test_engine_ray_pbt
import toys
from ray.cluster_utils import Cluster as LocalCluster
from test_engines import run
from waiting import PATIENCE, patient_ray, until

from mnist_core.errors import UserError
from studies import engines
from studies.engines.base import Resources
from studies.engines.ray.cluster import own_token
from studies.engines.ray.nodes import check_modules, check_shared_folder
from studies.engines.ray.ray_internals import QUIET, read_environment
from studies.planning.ray_settings import RaySettings

pytestmark = [pytest.mark.slow, pytest.mark.long]


class Cluster(LocalCluster):
    """Waits for its nodes as long as it takes."""

    def _wait_for_node(self, node, timeout=PATIENCE):
        super()._wait_for_node(node, timeout)


@pytest.fixture(scope="module")
def cluster():
    """A head node with one place, joined by this process."""
    with patient_ray(), pytest.MonkeyPatch.context() as patch:
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": own_token()}
        for name, value in (QUIET | token).items():
            patch.setenv(name, value)
        read_environment()
        store = 80 * 1024**2  # as small as Ray allows
        head = {"num_cpus": 1, "object_store_memory": store, "include_dashboard": False}
        started = Cluster(initialize_head=True, head_node_args=head)
        try:
            yield started
        finally:
            ray.shutdown()
            started.shutdown()


def gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def engine_on(cluster, **settings):
    settings = {"address": cluster.address, "wait_seconds": 5.0, **settings}
    resources = Resources(ray=RaySettings(**settings))
    return engines.create(
        "ray", workers=2, threads=1, preload=["mnist_core.config"], resources=resources
    )


def test_a_node_goes_away_and_its_trials_are_run_again(cluster, tmp_path):
    node = cluster.add_node(num_cpus=1)

    def remove():
        until(lambda: len({line[-1] for line in toys.attempts(tmp_path)}) == 2)
        pids = {int(line[-1]) for line in toys.attempts(tmp_path)}
        cluster.remove_node(node, allow_graceful=False)
        until(lambda: any(map(gone, pids)))  # else its trial might still end well
        (tmp_path / "go").touch()

    engine, remover = engine_on(cluster), threading.Thread(target=remove)
    remover.start()
    try:
        records = run(tmp_path, engine, toys.Toy(tmp_path, waits=True), trials=8)
    finally:
        remover.join()
    assert [record.state for record in records] == ["COMPLETE"] * 8
    assert sum(record.attempt for record in records) == 1
    assert len(toys.attempts(tmp_path)) == 9


def test_a_population_on_two_nodes_one_of_which_goes_away(cluster, tmp_path):
    node = cluster.add_node(num_cpus=1)

    def remove():
        until((tmp_path / "trace").exists)
        until(lambda: sum(map(len, test_engine_ray_pbt.traces(tmp_path).values())) > 15)
        cluster.remove_node(node, allow_graceful=False)

    remover = threading.Thread(target=remove)
    remover.start()
    try:
        ran = test_engine_ray_pbt.run(tmp_path, cluster.address, seconds=0.3)
    finally:
        remover.join()
    assert [record.state for record in ran.records] == ["COMPLETE"] * 6
    assert [one["step"] for one in ran.record["generations"]] == [2, 4, 6]
    for record in ran.records:
        assert test_engine_ray_pbt.done_again(record, tmp_path) == record.value


def test_a_node_that_lacks_a_package_or_the_folder(cluster, tmp_path):
    broken = tmp_path / "broken" / "scipy"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'scipy'\")")
    path = os.pathsep.join([str(broken.parent), os.environ.get("PYTHONPATH", "")])
    with engine_on(cluster):
        check_shared_folder(tmp_path)
        check_modules(["scipy"])
        node = cluster.add_node(num_cpus=1, env_vars={"PYTHONPATH": path})
        try:
            with pytest.raises(UserError, match=r"scipy cannot be imported: .*; install it there"):
                check_modules(["scipy"])
        finally:
            cluster.remove_node(node)


def test_no_node_has_room(cluster):
    with pytest.raises(
        UserError, match=r"a trial takes 4 CPU, but no node has that .* waited 0.5 s"
    ):
        engine_on(cluster, cpus=4, wait_seconds=0.5).__enter__()
