"""The data sets known by name: their files, hashes, mirrors and licences, as data."""

# The hash of the *raw* (decompressed) file decides where it is known. Only hashes of the published
# .gz are known for KMNIST and QMNIST: a download is checked by them, and its raw hash recorded in
# SHA256SUMS beside the files (trust on first use for files placed by hand).

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from mnist_core import plugins
from mnist_core.errors import DataError

FOLDER: Final = "folder"  # name of the data set that is any folder with IDX files (``data.root``)


@dataclass(frozen=True)
class DataFile:
    """One published file."""

    name: str  # its name without ``.gz``
    sha256: str = ""  # hash of the raw content; empty: not known for sure
    gz_digest: str = ""  # ``sha256:HEX`` or ``md5:HEX`` of the published ``.gz``; empty: not known

    @property
    def variants(self) -> tuple[str, ...]:
        """File names in which it occurs in the wild, the preferred first."""
        dotted = self.name.replace("-idx", ".idx")
        return (self.name, dotted, f"{self.name}.gz", f"{dotted}.gz")


@dataclass(frozen=True)
class DataSet:
    """One data set."""

    name: str  # what ``data.name`` says
    title: str
    licence: str
    train_images: DataFile
    train_labels: DataFile
    test_images: DataFile
    test_labels: DataFile
    # addresses to which ``NAME.gz`` is appended; empty: not downloaded
    mirrors: tuple[str, ...] = ()
    n_classes: int = 10  # number of classes; 0: as many as the training labels show
    # images and labels that judge confirmed models and nothing else; empty: it has none
    confirm: tuple[()] | tuple[DataFile, DataFile] = ()
    train_size: int = 0  # number of training images; 0: not known before they are read

    @property
    def files(self) -> tuple[DataFile, DataFile, DataFile, DataFile]:
        """The files that every data set has: train images and labels, test images and labels."""
        return (self.train_images, self.train_labels, self.test_images, self.test_labels)


def by_name(name: str, *, setting: str = "data.name") -> DataSet:
    """Return the data set called ``name``, or raise a ``DataError`` with the nearest name.

    ``setting``: where the name was given; empty: it is an argument of the command.
    """
    if not is_known(name):
        unknown = plugins.unknown("datasets", name, DATA_SETS)
        raise DataError(f"{setting}: {unknown}" if setting else unknown)
    own = plugins.find("datasets", name, DATA_SETS)
    if own is None:
        return DATA_SETS[name]
    found: DataSet = own.value(DataSet)
    if found.name != own.name:
        raise DataError(
            f"{own.where}: DATA_SET.name must be {own.name!r}, as it is called, but got"
            f" {found.name!r}"
        )
    return found


def is_known(name: str) -> bool:
    """Return whether ``name`` is one of ``DATA_SETS`` or of the user's own, or the file of one."""
    return name in DATA_SETS or plugins.is_own("datasets", name)


def share_images(one: str, other: str) -> bool:
    """Whether the data sets of these names may hold the same images; a folder may hold any."""
    unknown = not {one, other} <= DATA_SETS.keys()  # a path, or what only a newer version knows
    return one == other or FOLDER in (one, other) or {one, other} <= _OF_MNIST or unknown


_OF_MNIST: Final = {"mnist", "mnist-10pct", "qmnist"}
_NAMES: Final = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_MNIST_LICENCE: Final = "CC BY-SA 3.0, Y. LeCun, C. Cortes, C. J. C. Burges"


def _files(
    raw: tuple[str, ...] = ("",) * 4, gz: tuple[str, ...] = ("",) * 4
) -> tuple[DataFile, DataFile, DataFile, DataFile]:
    """Return files named as MNIST's, with their hashes: SHA-256, hexadecimal."""
    hashes = zip(_NAMES, raw, gz, strict=True)
    a, b, c, d = (DataFile(name, one, two and f"sha256:{two}") for name, one, two in hashes)
    return a, b, c, d


_ENTRIES: Final = (
    DataSet(
        "mnist-10pct",
        "a tenth of MNIST, shipped with the package",
        _MNIST_LICENCE,
        *_files(
            (
                "5aaa5a8979fc483eeb00dc95a6a6bd1b325b4fcbbf337e3ee4181d66b46fd577",
                "cd472d58763ac2d20d7bbae5b4d9d5a9444d9075ef256629ceb5180a402a7656",
                "44815f7000e79c5c74683364a5e91ccf3bf561cc14b427f208ea1f89f6d7b329",
                "0c53f6f91e5890abd420cb5621c2050042a7e4d89f28a4035c79105564108328",
            )
        ),
        confirm=(
            DataFile(
                "confirm-images-idx3-ubyte",
                "d1fdb1089087a44be32adad70589b576e6e443d8a3bf4406d03b5af18756f974",
            ),
            DataFile(
                "confirm-labels-idx1-ubyte",
                "4b3915731bdd83d97f7f0feffb2afcaaa72f782f509f0db127043b1c0aac4256",
            ),
        ),
    ),
    DataSet(
        "mnist",
        "MNIST handwritten digits",
        _MNIST_LICENCE,
        *_files(
            (
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            )
        ),
        train_size=60_000,
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "http://yann.lecun.com/exdb/mnist/",
        ),
    ),
    DataSet(
        "fashion_mnist",
        "Fashion-MNIST articles of clothing",
        "MIT, Zalando SE",
        # Raw hashes: of Debian's package dataset-fashion-mnist 0.0~git20200523.55506a9-1. Its .gz
        # lack the name in the header and are that many bytes shorter than the published ones.
        *_files(
            (
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
            (
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
        ),
        train_size=60_000,
        mirrors=(
            "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
    ),
    DataSet(
        "kmnist",
        "Kuzushiji-MNIST cursive Japanese characters",
        "CC BY-SA 4.0, ROIS-DS Center for Open Data in the Humanities",
        *_files(
            gz=(
                "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
                "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
                "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
                "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
            )
        ),
        train_size=60_000,
        mirrors=(
            "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
            "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        ),
    ),
    DataSet(
        "qmnist",
        "QMNIST: MNIST rebuilt from NIST, with 60,000 test images",
        "BSD 3-Clause, Facebook, Inc. (C. Yadav, L. Bottou)",
        # Only MD5s are published (torchvision checks the same): good against damage, not malice.
        DataFile("qmnist-train-images-idx3-ubyte", "", "md5:ed72d4157d28c017586c42bc6afe6370"),
        DataFile("qmnist-train-labels-idx2-int", "", "md5:0058f8dd561b90ffdd0f734c6a30e5e4"),
        DataFile("qmnist-test-images-idx3-ubyte", "", "md5:1394631089c404de565df7b7aeaf9412"),
        DataFile("qmnist-test-labels-idx2-int", "", "md5:5b5b05890a5e13444e108efe57b788aa"),
        train_size=60_000,
        mirrors=("https://raw.githubusercontent.com/facebookresearch/qmnist/master/",),
    ),
    DataSet(
        FOLDER,
        "any folder with IDX files named as MNIST's",
        "as the folder's owner says",
        *_files(),
        n_classes=0,
    ),
)

DATA_SETS: Final[Mapping[str, DataSet]] = MappingProxyType({one.name: one for one in _ENTRIES})
"""All data sets by name."""
