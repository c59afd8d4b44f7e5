"""Seeds of trials, samplers and confirmations: pure functions of the study's seed."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_HALF = 1 << 62
FIRST_SEEDS = 2
"""Confirm seeds on which all configurations of a choice are trained, see ``runners_up.py``."""


def trial_seed(study_seed: int, number: int) -> int:
    """Return the seed of trial ``number`` of a search, 0 <= seed < 2**62."""
    return _digest("trial", study_seed, number) % _HALF


def confirm_seeds(study_seed: int, k: int) -> tuple[int, ...]:
    """Return ``k`` seeds for a confirmation, 2**62 <= seed < 2**63, which no trial has."""
    # The first seeds stay the same when k grows.
    return tuple(_HALF + _digest("confirm", study_seed, index) % _HALF for index in range(k))


def nth_confirm_seed(study_seed: int, k: int, seed: object) -> int:
    """Return which of the ``k`` confirm seeds ``seed`` is, from 1; 0: it is none of them."""
    seeds = confirm_seeds(study_seed, k)
    return seeds.index(seed) + 1 if seed in seeds else 0


def sampler_seed(study_seed: int, number: int) -> int:
    """Return the seed of the sampler that proposes trial ``number``, 0 <= seed < 2**32."""
    # Each trial has its own, so a resumed study is the same as one that was never interrupted.
    return _digest("sampler", study_seed, number) % (1 << 32)


def branch_seed(study_seed: int, branch: Mapping[str, Any]) -> int:
    """Return the seed of the sequence of points of a branch, 0 <= seed < 2**32."""
    return _digest(f"branch {json.dumps(dict(branch))}", study_seed, 0) % (1 << 32)


def fork_seed(study_seed: int, name: str) -> int:
    """Return the study's seed for the new trials of the fork ``name``, 0 <= seed < 2**32."""
    # Carried trials get new numbers, so with the old seed new trials could have the same seeds.
    return _digest(f"fork {name}", study_seed, 0) % (1 << 32)


def sentinel_draw(study_seed: int, number: int) -> float:
    """Return a number in [0, 1); the trials with the smallest numbers run unpruned."""
    return (_digest("sentinel", study_seed, number) % (1 << 53)) / (1 << 53)


def _digest(purpose: str, study_seed: int, index: int) -> int:
    text = f"{purpose}:{study_seed}:{index}"
    # SHA-256 is the same on every platform.
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
