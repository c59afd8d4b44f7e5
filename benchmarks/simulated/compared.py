"""The searches that are compared by regret, by name."""

from typing import Any

from simulated.choosers import Free, Quasi, Random, Shared, Turns, anyone, even, in_race
from simulated.regret import Make
from simulated.sampler_choosers import Product, Then, tpe_branch


def choosers() -> dict[str, Make]:
    """Return all that are compared, by name."""

    def product(name: str, **kw: Any) -> Make:
        return lambda places, seed: Product(places, seed, name, **kw)

    def turns(cls: type[Turns], free: Free, **kw: Any) -> Make:
        return lambda places, seed: cls(places, seed, free, **kw)

    return {
        "product: tpe": product("tpe"),
        "product: tpe, free even": product("tpe", free="even"),
        "product: screen": product("screen"),
        "product: qmc": product("qmc"),
        "product: gp": product("gp"),
        "tpe per branch": product("", make=tpe_branch(False), free="even"),
        "tpe per branch, schedule pooled": product("", make=tpe_branch(True), free="even"),
        "random, free random": turns(Random, anyone),
        "random": turns(Random, even),
        "sobol": turns(Quasi, even, balanced=False),
        "sobol, balanced": turns(Quasi, even),
        "halton, balanced": turns(Quasi, even, kind="halton"),
        "lhs": turns(Quasi, even, kind="lhs", balanced=False),
        "sobol, balanced, race": turns(Quasi, in_race),
        "screen 1": turns(Quasi, even, screen=1),
        "screen 2": turns(Quasi, even, screen=2),
        "screen 3": turns(Quasi, even, screen=3),
        "screen 2, box": turns(Quasi, even, screen=2, shrink=0.6, after=5),
        "screen 2, decay": turns(Quasi, even, screen=2, decay=True),
        "screen 2, tpe": lambda places, seed: Then(
            places, Quasi(places, seed, even, screen=2), Product(places, seed, "tpe")
        ),
        "screen 2, tpe even": lambda places, seed: Then(
            places, Quasi(places, seed, even, screen=2), Product(places, seed, "tpe", free="even")
        ),
        "gp, startup 3, long lengths": turns(
            Shared, even, startup=3, alike=0.8, noise=0.2, lengths=(0.4, 1.0, 2.0)
        ),
        "gp alone": turns(Shared, even, schedule=0.0, rate=0.0, own=1.1),
        "gp, schedule": turns(Shared, even, rate=0.0),
        "gp, schedule, rate": turns(Shared, even),
        "gp, schedule, rate, race": turns(Shared, in_race),
        "gp, startup 2": turns(Shared, even, startup=2),
        "gp, startup 3": turns(Shared, even, startup=3),
        "gp, ucb 0": turns(Shared, even, how="0"),
        "gp, ucb 1": turns(Shared, even, how="1"),
    }
