"""Seeds of trials, samplers and confirmations: pure functions of the study's seed.

They come from SHA-256, so they are the same on every platform and Python; a trial's seed depends
on its number alone, not on who runs it, when, or after how many interruptions.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_HALF = 1 << 62


def trial_seed(study_seed: int, number: int) -> int:
    """Return the seed of trial ``number`` of a search, 0 <= seed < 2**62."""
    return _digest("trial", study_seed, number) % _HALF


def confirm_seeds(study_seed: int, k: int) -> tuple[int, ...]:
    """Return ``k`` fresh seeds for a confirmation, 2**62 <= seed < 2**63: never a trial's seed.

    The first seeds stay the same when ``k`` grows.
    """
    return tuple(_HALF + _digest("confirm", study_seed, index) % _HALF for index in range(k))


def sampler_seed(study_seed: int, number: int) -> int:
    """Return the seed of the sampler that proposes trial ``number``, 0 <= seed < 2**32.

    A fresh one for each trial: a resumed study neither replays the random numbers that it drew
    before nor differs from a study that was never interrupted.
    """
    return _digest("sampler", study_seed, number) % (1 << 32)


def branch_seed(study_seed: int, branch: Mapping[str, Any]) -> int:
    """Return the seed of the sequence that a branch's trials are points of, 0 <= seed < 2**32."""
    return _digest(f"branch {json.dumps(dict(branch))}", study_seed, 0) % (1 << 32)


def fork_seed(study_seed: int, name: str) -> int:
    """Return the study's seed for what the fork ``name`` runs itself, 0 <= seed < 2**32.

    The trials that a fork takes over are numbered anew, so they may have the seeds that would be
    those of its own.
    """
    return _digest(f"fork {name}", study_seed, 0) % (1 << 32)


def sentinel_draw(study_seed: int, number: int) -> float:
    """Return a number in [0, 1): the trials with the least ones run unpruned as sentinels."""
    return (_digest("sentinel", study_seed, number) % (1 << 53)) / (1 << 53)


def _digest(purpose: str, study_seed: int, index: int) -> int:
    text = f"{purpose}:{study_seed}:{index}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
