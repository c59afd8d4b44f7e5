"""What a shell offers after TAB: names and folders of studies, names of data sets."""

from pathlib import Path


def study(incomplete: str) -> list[str]:
    """Return the studies that start with ``incomplete``: names, and folders in ``results``."""
    from studies import catalog
    from studies.core.event_log import FILE as EVENTS
    from studies.planning.settings import Settings

    # conf.toml may name another folder, but a mistake in it has no place to be shown here.
    logs = sorted(Path(Settings().results.folder).glob(f"*/{EVENTS}"))
    known = [*catalog.names(), *(str(log.parent) for log in logs)]
    known += [str(file) for file in _files(incomplete)]
    return [name for name in known if name.startswith(incomplete)]


def _files(incomplete: str) -> list[str]:
    """Return the Python files that may be studies, if ``incomplete`` names a folder."""
    folder, separator, _ = incomplete.rpartition("/")
    if not separator:
        return []
    return [f"{folder}/{file.name}" for file in sorted(Path(folder or "/").glob("[!_.]*.py"))]


def kind_of_leftover(incomplete: str) -> list[str]:
    """Return the kinds of leftovers of ``clean`` that start with ``incomplete``."""
    from studies.protocol.cleaning import KINDS

    return [name for name in KINDS if name.startswith(incomplete)]


def data_set(incomplete: str) -> list[str]:
    """Return the data sets whose name starts with ``incomplete``."""
    from mnist_core.data import name_or_path

    return [name for name in name_or_path.names() if name.startswith(incomplete)]
