"""Take the pictures of the report: `python docs/make_pictures.py [STUDY]`, a name or a folder.

Writes `docs/pictures/report.png` with a headless Chromium, and `docs/pictures/made_from.json` with
a hash of the files that decide how the report looks. `tests/test_pages.py` fails if one has changed
since: run this again, with a finished study (`make study`), and look at the picture.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

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
    made_from = {"study": Path(study).name, LOOK: look()}
    (PICTURES / "made_from.json").write_text(json.dumps(made_from, indent=2) + "\n")


if __name__ == "__main__":
    main()
