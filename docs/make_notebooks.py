"""Run the notebooks and write them as pages: `python docs/make_notebooks.py [NAME …]` (minutes).

Writes `docs/notebooks/NAME.md` with what each cell printed, and its pictures beside it. The
notebooks themselves are kept without outputs. `tests/test_pages.py` fails if a cell has changed
since.
"""

import argparse
import base64
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

DOCS = Path(__file__).parent
ROOT = DOCS.parent
PAGES = DOCS / "notebooks"

SHOWN = 40
"""Lines of an output that are shown at most: its first third and its end."""


def sources() -> list[Path]:
    """Return the notebooks."""
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


def run(notebook: Path, folder: Path) -> Any:
    """Run ``notebook`` in ``folder``, from top to bottom, and return it with its outputs."""
    book = nbformat.read(notebook, as_version=4)
    os.environ |= {
        "NOTEBOOK_RESULTS": "results",
        "PYTHONPATH": str(ROOT),
        "MNIST_STUDIES_CACHE": str(folder / "cache"),
        "CUDA_VISIBLE_DEVICES": "",
        "COLUMNS": "100",
    }
    place = folder / "place"
    place.mkdir()
    NotebookClient(book, timeout=1200, resources={"metadata": {"path": str(place)}}).execute()
    return book


def page(book: Any, name: str) -> tuple[str, dict[str, bytes]]:
    """Return the page of a notebook that was run, and its pictures by the names of their files."""
    pictures: dict[str, bytes] = {}
    lines = []
    for cell in book.cells:
        if cell.cell_type == "markdown":
            lines.append(cell.source)
            continue
        lines.append(f"```python\n{cell.source}\n```")
        for text in printed(cell.outputs):
            lines.append(f"```text\n{text}\n```")
        for picture in drawn(cell.outputs):
            file = f"{name}-{len(pictures) + 1}.png"
            pictures[file] = picture
            lines.append(f"![What the lines above draw]({file})")
    return "\n\n".join(lines) + "\n", pictures


def printed(outputs: list[Any]) -> Iterator[str]:
    """Yield what a cell printed, and its last value, without what belongs to this machine."""
    streams = "".join(one.text for one in outputs if one.output_type == "stream")
    values = (one.data.get("text/plain", "") for one in outputs if "data" in one)
    for text in (streams, *values):
        if text.strip() and not text.startswith("<Figure"):
            yield shortened(text.rstrip())


def shortened(text: str) -> str:
    """Return the first and the last lines of ``text``."""
    lines = [line.rstrip() for line in text.splitlines()]
    if len(lines) <= SHOWN:
        return "\n".join(lines)
    first = SHOWN // 3
    left_out = f"… {len(lines) - SHOWN} lines left out …"
    return "\n".join([*lines[:first], "", left_out, "", *lines[first - SHOWN :]])


def drawn(outputs: list[Any]) -> Iterator[bytes]:
    """Yield the pictures of a cell."""
    for one in outputs:
        if "image/png" in one.get("data", {}):
            yield base64.b64decode(one.data["image/png"])


def main() -> None:
    """Run the notebooks that are named, or all, and write their pages."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="training or study; else both")
    wanted = parser.parse_args().names
    PAGES.mkdir(exist_ok=True)
    for notebook in sources():
        name = notebook.stem
        if wanted and name not in wanted:
            continue
        with tempfile.TemporaryDirectory() as folder:
            text, pictures = page(run(notebook, Path(folder)), name)
            # Paths of this machine say nothing to a reader.
            text = text.replace(f"{folder}/place/", "").replace(str(ROOT), "/home/me/checkout")
        for old in PAGES.glob(f"{name}-*.png"):
            old.unlink()
        for file, content in pictures.items():
            (PAGES / file).write_bytes(content)
        (PAGES / f"{name}.md").write_text(text, encoding="utf-8")
        print(f"{name}: {len(text.splitlines())} lines, {len(pictures)} pictures")


if __name__ == "__main__":
    main()
