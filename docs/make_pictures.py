"""Take the pictures of the pages: `python docs/make_pictures.py [STUDY]`, a name or a folder.

Writes `docs/pictures/report.png` with a headless Chromium, and `docs/pictures/made_from.json` with
a hash of the files that decide how the report looks. `tests/test_pages.py` fails if one has changed
since: run this again, with a finished study (`make study`), and look at the picture.

`docs/pictures/demo.png` is the page of `mnist-core demo`, on which a browser has drawn a three.
"""

import argparse
import hashlib
import json
import math
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

Point = tuple[float, float]

DOCS = Path(__file__).parent
ROOT = DOCS.parent
PICTURES = DOCS / "pictures"
LOOK = "studies/report/templates"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTH, HEIGHT = 1100, 1000  # pixels


def look() -> str:
    """Return the hash of the files that decide how the report looks."""
    digest = hashlib.sha256()
    for file in sorted((ROOT / LOOK).iterdir()):
        if file.is_file():
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def photograph(page: Path, picture: Path) -> None:
    """Write the first screen of ``page`` to ``picture``, in few colours so that it stays small.

    Raises:
        RuntimeError: if there is no Chromium.
    """
    from PIL import Image

    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise RuntimeError("no Chromium on this machine: apt-get install chromium")
    with tempfile.TemporaryDirectory() as profile:
        taken = Path(profile) / "taken.png"
        subprocess.run(
            [
                browser,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
                "--blink-settings=preferredColorScheme=1",
                f"--user-data-dir={profile}",
                f"--window-size={WIDTH},{HEIGHT}",
                f"--screenshot={taken}",
                page.resolve().as_uri(),
            ],
            check=True,
            capture_output=True,
        )
        with Image.open(taken) as image:
            image.convert("RGB").quantize(64).save(picture, optimize=True)


def draw_on_demo(picture: Path) -> None:
    """Draw a three on the page of ``demo``, as its tests do, and write a picture of it."""
    from PIL import Image

    from mnist_core.demo import choices
    from mnist_core.demo.application import Demo, application
    from mnist_core.web import server

    sys.path.insert(0, str(ROOT / "tests"))
    from webdriver import open_browser

    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    with tempfile.TemporaryDirectory() as folder:
        app = application(
            Demo(choices.gather(None, runs=Path(folder) / "results/runs"), "cpu"), host="127.0.0.1"
        )
        with server.listen(app, "127.0.0.1", 0, by="demo") as listening:
            thread = threading.Thread(target=listening.serve_forever)
            thread.start()
            try:
                with open_browser(str(browser), Path(folder) / "profile") as page:
                    page.look(1100, 860)
                    page.open(f"http://127.0.0.1:{listening.server_port}/")
                    page.draw("#draw canvas", THREE)
                    time.sleep(2)
                    page.picture(Path(folder) / "taken.png")
            finally:
                listening.shutdown()
                thread.join()
        with Image.open(Path(folder) / "taken.png") as image:
            image.convert("RGB").quantize(64).save(picture, optimize=True)


def arc(x: float, y: float, width: float, height: float, turns: tuple[float, float]) -> list[Point]:
    """Return points on a part of an ellipse; in shares of the canvas, ``turns`` in radians."""
    first, last = turns
    steps = [first + (last - first) * k / 16 for k in range(17)]
    return [(x + width * math.cos(turn), y + height * math.sin(turn)) for turn in steps]


THREE = arc(0.48, 0.34, 0.2, 0.16, (-2.6, 1.4)) + arc(0.48, 0.66, 0.23, 0.18, (-1.4, 2.6))


def main() -> None:
    """Make the report of a study and take its picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("study", nargs="?", default="optim_search")
    study = parser.parse_args().study
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        subprocess.run(
            [sys.executable, "-m", "studies", "report", study, "--out", str(page)],
            check=True,
        )
        PICTURES.mkdir(exist_ok=True)
        photograph(page, PICTURES / "report.png")
    draw_on_demo(PICTURES / "demo.png")
    made_from = {"study": Path(study).name, LOOK: look()}
    (PICTURES / "made_from.json").write_text(json.dumps(made_from, indent=2) + "\n")


if __name__ == "__main__":
    main()
