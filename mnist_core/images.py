"""What the images of a data set are: shape, channels, names of classes, normalisation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

MEAN: Final = 0.1307
STD: Final = 0.3081
"""Of MNIST's training pixels on the scale 0 to 1; used for every data set in MNIST's form."""

MOST_SIDE: Final = 128
MOST_CLASSES: Final = 1_000


@dataclass(frozen=True)
class Images:
    """What a model must know of its images; the default is MNIST's form."""

    rows: int = 28
    columns: int = 28
    channels: int = 1  # 1: grey; 3: red, green, blue
    class_names: tuple[str, ...] = ()  # empty: the classes are their numbers
    # of each channel, on the scale 0 to 1
    mean: tuple[float, ...] = (MEAN,)
    std: tuple[float, ...] = (STD,)

    @property
    def colour(self) -> bool:
        """Whether there are three channels."""
        return self.channels == 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, rows, columns."""
        return self.channels, self.rows, self.columns

    @property
    def side(self) -> int:
        """The shorter side in pixels."""
        return min(self.rows, self.columns)

    def named(self, n_classes: int) -> tuple[str, ...]:
        """Return a name for each class: its own, or its number."""
        return self.class_names or tuple(map(str, range(n_classes)))

    def __str__(self) -> str:
        """Return rows and columns, and the channels if there are several: ``32x32x3``."""
        return f"{self.rows}x{self.columns}" + (f"x{self.channels}" if self.colour else "")

    def to_json(self) -> dict[str, Any]:
        """Return JSON values, see ``from_json``."""
        return {
            "shape": list(self.shape),
            "class_names": list(self.class_names),
            "mean": list(self.mean),
            "std": list(self.std),
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` returned.

        Raises:
            ValueError: if it is not of that form.
        """
        try:
            channels, rows, columns = (int(side) for side in kept["shape"])
            names = tuple(str(name) for name in kept["class_names"])
            mean = tuple(float(value) for value in kept["mean"])
            std = tuple(float(value) for value in kept["std"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a description of images: {error}") from None
        sides = 1 <= rows <= MOST_SIDE and 1 <= columns <= MOST_SIDE
        if channels not in (1, 3) or not sides or not len(mean) == len(std) == channels:
            raise ValueError("not a description of images: the numbers do not fit together")
        return cls(rows, columns, channels, names, mean, std)


MNIST: Final = Images()
"""The images that models take by default: 28x28, grey."""
