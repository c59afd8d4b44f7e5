"""A real Chromium, without a window."""

import shutil
import subprocess
from pathlib import Path

import pytest
from needs import missing
from waiting import PATIENCE

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--no-proxy-server",
)


@pytest.fixture(scope="module")
def chromium() -> str:
    """The program; the test is skipped where there is none, but not in CI."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    return found or missing("no Chromium on this machine: apt-get install chromium")


def browse(
    chromium: str, address: str, profile: Path, *options: str, width: int = 1280, height: int = 3000
) -> tuple[str, str]:
    """Open ``address``; return what Chromium printed: the page it made, and its complaints."""
    done = subprocess.run(
        [
            chromium,
            *FLAGS,
            "--enable-logging=stderr",
            f"--user-data-dir={profile}",
            f"--window-size={width},{height}",
            *options,
            address,
        ],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, done.stderr
