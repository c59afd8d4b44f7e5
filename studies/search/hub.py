"""OptunaHub's AutoSampler: optional, as it is fetched from OptunaHub's registry when first used."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from optuna.samplers import BaseSampler

from mnist_core.errors import ConfigError

PACKAGE = "samplers/auto_sampler"
REF = "257a04bca788dc263bf4cbb469083be82740cf69"
"""The registry's commit that is used: another one may propose other trials."""


def auto_sampler(options: Mapping[str, Any]) -> Callable[..., BaseSampler]:
    """Return the class ``AutoSampler``; ``options["ref"]`` names another commit of the registry.

    The first call needs the network; then it lies in OptunaHub's cache.

    Raises:
        ConfigError: OptunaHub is not installed, or its registry cannot be reached.
    """
    ref = options.get("ref", REF)
    if not isinstance(ref, str) or not ref:
        raise ConfigError(f"search.sampler_options (auto): ref must be str, but got {ref!r}")
    try:
        optunahub = importlib.import_module("optunahub")
    except ImportError as error:
        raise ConfigError(
            f"search.sampler: 'auto' is OptunaHub's, which cannot be imported ({error}); install"
            " it with `pip install 'mnist-studies[hub]'`, or use tpe, which it chooses for spaces"
            " like this"
        ) from None
    try:
        loaded: Callable[..., BaseSampler] = optunahub.load_module(PACKAGE, ref=ref).AutoSampler
    except Exception as error:  # git, the network, GitHub, the module: none has one class of errors
        said = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(
            f"search.sampler: 'auto' cannot be fetched from OptunaHub's registry ({said[:160]});"
            " it needs the network once; or use tpe, which it chooses for spaces like this"
        ) from None
    return loaded
