"""Imports of others that warn of what does not matter here."""

import warnings
from contextlib import suppress


def import_tqdm() -> None:
    """Import the bars that Optuna imports; in a notebook without ipywidgets they would warn."""
    # The view of a study is no such bar, so nothing has to be installed for it.
    with warnings.catch_warnings(), suppress(ImportError):
        warnings.filterwarnings("ignore", message="IProgress not found")
        import tqdm.auto  # noqa: F401
