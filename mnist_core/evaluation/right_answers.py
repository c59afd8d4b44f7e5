"""Which images of a fixed set a model got right, as JSON: a bit an image, so 5,000 take 840 bytes.

The verdict of a study needs them: models are judged by the same images, and what two of them get
right together says how much of their difference is the luck of the images. Pairs share images, so
of pairs it is kept which images they have: 4,000 pairs take 22 kB.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

NAME = "right"
"""The attribute of a trial that holds them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RightAnswers:
    """What one model got right.

    Attributes:
        of: the set that was judged, e.g. ``confirm images``.
        right: bool ``[N]``, in the order of the set.
        pairs: of pairs: int64 ``[N, 2]``, the places of both images; None: they are images.
    """

    of: str
    right: npt.NDArray[np.bool_]
    pairs: npt.NDArray[np.int64] | None = None

    @property
    def asked(self) -> tuple[str, int, bytes]:
        """What was judged; equal for two models that answered the same images or pairs."""
        pairs = b"" if self.pairs is None else self.pairs.tobytes()
        return self.of, len(self.right), pairs

    def to_json(self) -> dict[str, Any]:
        """Return JSON values, see ``from_json``."""
        kept = {"of": self.of, "n": len(self.right), "bits": _text(np.packbits(self.right))}
        if self.pairs is not None:
            small = self.pairs.size == 0 or self.pairs.max() < 2**16
            kept["pairs"] = _text(self.pairs.astype("<u2" if small else "<u4"))
        return kept

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` returned.

        Raises:
            ValueError: if it is not of that form.
        """
        try:
            n, of = int(kept["n"]), str(kept["of"])
            packed = np.frombuffer(base64.b64decode(kept["bits"], validate=True), np.uint8)
            pairs = base64.b64decode(kept["pairs"], validate=True) if "pairs" in kept else None
        except (KeyError, TypeError, OverflowError, binascii.Error) as error:
            raise ValueError(f"not right answers: {error}") from None
        # Before they are unpacked: a wrong number may be larger than the memory.
        if len(packed) != -(-n // 8):
            raise ValueError(f"not right answers: {len(packed)} bytes for {n} answers")
        right = np.unpackbits(packed, count=n).astype(np.bool_)
        return cls(of=of, right=right, pairs=None if pairs is None else _pairs(pairs, n))

    @classmethod
    def of_trial(cls, attributes: Mapping[str, Any]) -> Self | None:
        """Return what a trial has kept among its ``attributes``; None: nothing of this form."""
        try:
            found = cls.from_json(attributes[NAME])
        except (KeyError, ValueError):  # an own objective may use the name for something else
            return None
        return found if len(found.right) else None


def _text(values: npt.NDArray[Any]) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")


def _pairs(kept: bytes, n: int) -> npt.NDArray[np.int64]:
    """Read ``[n, 2]`` numbers of two or of four bytes."""
    for size in (2, 4):
        if len(kept) == 2 * size * n:
            return np.frombuffer(kept, f"<u{size}").astype(np.int64).reshape(n, 2)
    raise ValueError(f"not right answers: {len(kept)} bytes for {n} pairs")
