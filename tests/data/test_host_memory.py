"""Free memory is the least that machine, control groups and the process's own limit leave."""

import resource
import subprocess
import sys

import pytest

from mnist_core.data.host_memory import free_memory

MIB = 2**20


def group(root, path="", **files):
    folder = root / "sys/fs/cgroup" / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("_", ".", 1)).write_text(f"{content}\n")


def in_group(root, *lines):
    (root / "proc/self").mkdir(parents=True, exist_ok=True)
    (root / "proc/self/cgroup").write_text("".join(f"{line}\n" for line in lines))


def test_the_machine(tmp_path):
    assert 100 * MIB < free_memory(tmp_path) < 2**50


def test_a_limit_of_a_container(tmp_path):
    group(tmp_path, memory_max="max", memory_current=5000)
    assert free_memory(tmp_path) > 100 * MIB
    group(tmp_path, memory_max=6000)
    assert free_memory(tmp_path) == 1000
    group(tmp_path, memory_max=4000)
    assert free_memory(tmp_path) == 0


def test_files_that_were_read_do_not_count(tmp_path):
    stat = "anon 500\ninactive_file 3000\nactive_file 1500\nunevictable 0"
    group(tmp_path, memory_max=6000, memory_current=5000, memory_stat=stat)
    assert free_memory(tmp_path) == 1000 + 4500


@pytest.mark.parametrize("own", ["", "job", "job/step", "gone"])
def test_the_tightest_of_the_groups_above(tmp_path, own):
    in_group(tmp_path, f"0::/{own}")
    group(tmp_path, memory_max=90_000, memory_current=0)
    group(tmp_path, "job", memory_max=50_000, memory_current=20_000)
    group(tmp_path, "job/step", memory_max="max", memory_current=100)
    assert free_memory(tmp_path) == (30_000 if "job" in own else 90_000)


def test_cgroup_v1(tmp_path):
    in_group(tmp_path, "9:cpu:/", "4:memory:/docker/abc", "0::/../outside")
    inner = tmp_path / "sys/fs/cgroup/memory/docker/abc"
    inner.mkdir(parents=True)
    (inner / "memory.limit_in_bytes").write_text("9000")
    (inner / "memory.usage_in_bytes").write_text("4000")
    (inner / "memory.stat").write_text("inactive_file 1\ntotal_inactive_file 500\n")
    assert free_memory(tmp_path) == 5500


def test_the_own_limit_of_a_process():
    code = "from mnist_core.data.host_memory import free_memory; print(free_memory())"
    most = 300 * MIB

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (most, most))

    found = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, preexec_fn=limit
    )
    assert 0 < int(found.stdout) < most
