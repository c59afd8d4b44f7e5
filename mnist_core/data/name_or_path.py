"""Which of the settings' data sets are the user's own images, and where they lie."""

import contextlib
from pathlib import Path

from mnist_core import plugins
from mnist_core.config import DataConfig
from mnist_core.data import registry, storage
from mnist_core.data.cifar_svhn_emnist import ARCHIVE_SETS, ArchiveSet
from mnist_core.data.idx import one_line
from mnist_core.errors import ConfigError, DataError

_SHIPPED = (*registry.DATA_SETS, *ARCHIVE_SETS)


def names() -> list[str]:
    """Return the names of all data sets, the user's own as well."""
    return plugins.names("datasets", _SHIPPED)


def is_shipped(config: DataConfig) -> bool:
    """Return whether ``data.name`` is of a data set of this package, and not of the user's own."""
    return config.name in _SHIPPED


def own_path(config: DataConfig) -> Path | None:
    """Return the path of own images; None: ``data.name`` is the name of a known data set."""
    known = is_shipped(config) or registry.is_known(config.name)
    return None if known else Path(config.name).expanduser()


def known_size(config: DataConfig) -> int:
    """Return the number of training images; 0: not known before they are read, or not needed.

    It is not needed where the data set has images of its own to confirm by.
    """
    # Not even that of a data set of the user's own: its study is looked at without its file.
    if not is_shipped(config):
        return 0
    archives = archive_set(config)
    if archives is not None:
        return archives.train_size
    known = registry.DATA_SETS[config.name]
    return 0 if known.confirm else known.train_size


def archive_set(config: DataConfig) -> ArchiveSet | None:
    """Return the data set that comes as archives, and that ``config`` names; None: another kind.

    Raises:
        ConfigError: if the user's own has the same name.
    """
    if config.name in ARCHIVE_SETS:
        plugins.find("datasets", config.name, ARCHIVE_SETS)
    return ARCHIVE_SETS.get(config.name)


def folder_of_archives(config: DataConfig) -> Path:
    """Return the folder with the archives: ``data.root``, or one of the cache."""
    if config.root:
        return Path(config.root).expanduser().absolute()
    name = config.name.partition("_")[0]  # the splits of EMNIST come in one archive
    return storage.cache_folder().absolute() / name


def is_there(path: Path) -> bool:
    """Return whether ``path`` is a file or folder."""
    try:
        return path.exists()
    except (OSError, ValueError):  # no possible name: too long, a NUL
        return False


def check_path(path: Path, name: str) -> None:
    """Raise ``DataError`` unless ``path``, written as ``name``, is there."""
    if not is_there(path):
        looks_like_path = "/" in name or name.startswith((".", "~"))
        said = f"{one_line(path)}: is not there; data.name is the path of your images"
        if not looks_like_path:
            said = f"data.name: {plugins.unknown('datasets', name, _SHIPPED)}; nor is it a path"
        raise DataError(said)


def placed(config: DataConfig) -> DataConfig:
    """Return ``config`` with an absolute path of own images: processes change their folder.

    What is not a path stays as written, so that the error can name the nearest data set. The path
    of a data set's file becomes its name.
    """
    path = own_path(config)
    if plugins.is_file(config.name):
        with contextlib.suppress(ConfigError):  # raised again where the images are read
            name = plugins.plain_name("datasets", config.name, _SHIPPED)
            return config.model_copy(update={"name": name})
    if path is None or not is_there(path):
        return config
    return config.model_copy(update={"name": str(path.absolute())})
