"""Which images of a fixed set a model got right, as JSON: a bit an image, so 5,000 take 840 bytes.

The verdict of a study needs them: models are judged by the same images, and what two of them get
right together says how much of their difference is the luck of the images.
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
    """

    of: str
    right: npt.NDArray[np.bool_]

    def to_json(self) -> dict[str, Any]:
        """Return JSON values, see ``from_json``."""
        bits = base64.b64encode(np.packbits(self.right).tobytes()).decode("ascii")
        return {"of": self.of, "n": len(self.right), "bits": bits}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """Read what ``to_json`` returned.

        Raises:
            ValueError: if it is not of that form.
        """
        try:
            n, of = int(kept["n"]), str(kept["of"])
            packed = np.frombuffer(base64.b64decode(kept["bits"], validate=True), np.uint8)
        except (KeyError, TypeError, OverflowError, binascii.Error) as error:
            raise ValueError(f"not right answers: {error}") from None
        # Before they are unpacked: a wrong number may be larger than the memory.
        if len(packed) != -(-n // 8):
            raise ValueError(f"not right answers: {len(packed)} bytes for {n} answers")
        return cls(of=of, right=np.unpackbits(packed, count=n).astype(np.bool_))

    @classmethod
    def of_trial(cls, attributes: Mapping[str, Any]) -> Self | None:
        """Return what a trial has kept among its ``attributes``; None: nothing of this form."""
        try:
            found = cls.from_json(attributes[NAME])
        except (KeyError, ValueError):  # an own objective may use the name for something else
            return None
        return found if len(found.right) else None
