"""W&B's service is killed midway; the disk is full while W&B logs: both cost the tracker only."""

import psutil
import pytest
from made_log import begin, track, trial, write
from test_tracker_wandb import _nobody, history, read, runs  # noqa: F401
from waiting import until

from studies.planning.tracking_settings import TrackingSettings
from studies.tracking.process import TrackerProcess


def kept(folder):
    path = folder / "trackers" / "wandb.kept"
    lines = path.read_text().splitlines() if path.exists() else []
    return {line for line in lines if not line.startswith("study id ")}


def tags(folder, number):
    return read(runs(folder)[f"0123abcd-search-{number}"])[0]["tags"]


def all_is_kept(folder, numbers):
    assert track("wandb", folder)[1]
    assert kept(folder) >= {f"search {number}" for number in numbers}
    found = runs(folder)
    assert set(found) == {"0123abcd-study", *(f"0123abcd-search-{n}" for n in numbers)}
    for number in numbers:
        summary, records = read(found[f"0123abcd-search-{number}"])
        assert summary["tags"] == ["complete"] and summary["summary"]["mistakes"]["count"] == 2
        assert [row["_step"] for row in history(records) if "val_loss" in row] == [1, 2, 3]


@pytest.mark.long
def test_what_a_killed_service_lost_is_kept_by_the_next_process(tmp_path):
    folder = tmp_path / "study"
    first, *rest = [list(trial(number)) for number in (1, 2)]
    write(folder, [*begin(), *trial(0), *first[:2]])
    # W&B has been seen to wait for minutes for a service that is gone; then its process is ended.
    process = TrackerProcess("wandb", folder, TrackingSettings(), seconds=60.0, sync="SYNC")
    try:
        # What is noted as kept is on disk to its end, so that a kill at once costs nothing of it.
        until(lambda: kept(folder) == {"search 0"})
        services = psutil.Process(process.pid).children(recursive=True)
        assert "wandb-core" in [service.name() for service in services]
        for service in services:
            service.kill()
        assert tags(folder, 0) == ["complete"]
        until(lambda: all(s.status() == psutil.STATUS_ZOMBIE for s in services if s.is_running()))
        write(folder, [*first[2:], *(event for one in rest for event in one)])
    finally:
        said = process.finish()
    assert not process.complete and kept(folder) == {"search 0"}
    assert said[-1].startswith("not everything is kept")
    all_is_kept(folder, range(3))


def test_what_a_full_disk_took_is_kept_when_there_is_room_again(small_disk):
    folder = small_disk / "study"
    write(folder, [*begin(), *trial(0), *trial(1)])
    with (
        (small_disk / "filler").open("wb", buffering=0) as file,
        pytest.raises(OSError, match="No space left"),
    ):
        while True:
            file.write(b"x" * 4096)
    said, complete = track("wandb", folder)
    assert not complete and not kept(folder)
    assert "No space left on device" in said[0]
    (small_disk / "filler").unlink()
    all_is_kept(folder, range(2))
