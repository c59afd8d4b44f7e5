"""The batch finder on machines whose memory and speed are known, and one real one."""

import math
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnist_core import train
from mnist_core.data.host_memory import free_memory
from mnist_core.errors import ConfigError
from mnist_core.finders import batch_finder
from mnist_core.finders.batch_finder import (
    Measured,
    doublings,
    find,
    find_largest,
    measure,
    suggest,
)
from mnist_core.finders.isolated import Isolated, OutOfMemory

MIB = 2**20


class Machine:
    """Training takes ``base + each * n`` bytes, and ``fixed + 1 / speed * n`` seconds a step."""

    def __init__(self, *, base=400, each=1, memory=math.inf, fixed=0.01, speed=10_000, load=None):
        self.base, self.each, self.memory = base, each, memory
        self.fixed, self.speed = fixed, speed
        self.load = load or (lambda call: 1.0)
        self.calls, self.closed, self.timed = [], 0, 0

    def __call__(self, batch_size, seconds):
        self.calls.append((batch_size, seconds))
        peak = self.base + self.each * batch_size
        if peak > self.memory:
            raise OutOfMemory("too much")
        step = self.fixed + batch_size / self.speed
        if seconds:
            step *= self.load(self.timed)
            self.timed += 1
        steps = max(1, math.ceil(seconds / step))
        return Measured(images=steps * batch_size, seconds=steps * step, peak=peak)

    def close(self):
        self.closed += 1

    def rate(self, batch_size):
        return batch_size / (self.fixed + batch_size / self.speed)


def search(machine, *, low=32, high=65_536, seconds=0.5, repeats=3, **options):
    return find(machine, low=low, high=high, seconds=seconds, repeats=repeats, **options)


# The largest


@settings(max_examples=100)
@given(capacity=st.integers(1, 10**6), low=st.integers(1, 10_000), width=st.integers(0, 1_000_000))
def test_the_largest_fits_and_a_16th_more_does_not(capacity, low, width):
    tried, high = [], low + width

    def fits(size):
        assert low <= size <= high
        assert all(size < n for n in tried if n > capacity)  # never beyond what failed
        assert size not in tried
        tried.append(size)
        return size <= capacity

    largest = find_largest(fits, low=low, high=high)
    if low > capacity:
        assert largest is None
        assert tried == [low]
    elif high <= capacity:
        assert largest == high
    else:
        assert largest <= capacity
        assert capacity - largest < max(1, largest / 16) + 1
    assert len(tried) <= math.log2(high / low) + 2 + 5


def test_a_small_largest_is_exact():
    assert [find_largest(lambda n, c=c: n <= c, low=1, high=99) for c in range(1, 17)] == list(
        range(1, 17)
    )


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(32, 256, [32, 64, 128, 256]), (32, 200, [32, 64, 128, 200]), (7, 7, [7]), (1, 3, [1, 2, 3])],
)
def test_doublings(low, high, expected):
    assert doublings(low, high) == expected


def test_memory_limits():
    machine = Machine(base=400, each=1, memory=3000)
    found = search(machine)
    assert found.limited
    assert 2600 / (17 / 16) <= found.largest <= 2600
    peaks = {size.batch_size: size.peak for size in found.sizes}
    assert peaks[32] == 432
    assert peaks[4096] is None
    assert sorted(peaks) == list(peaks)
    assert 8192 not in peaks
    # Each is tried with empty memory.
    probes = [size for size, seconds in machine.calls if seconds == 0]
    assert machine.closed == len(probes) + 1
    timed = {size for size, seconds in machine.calls if seconds}
    assert timed == {32, 64, 128, 256, 512, 1024, 2048, found.largest}


def test_a_peak_that_nobody_saw_counts():
    assert search(Machine(base=400, each=1), memory_limit=3000).largest <= 2600


def test_the_range_limits():
    found = search(Machine(), high=5000)
    assert not found.limited
    assert found.largest == 5000
    assert [size.batch_size for size in found.sizes] == doublings(32, 5000)


# The fastest


@pytest.mark.parametrize("fixed", [0.0, 0.001, 0.01, 0.1])
def test_the_suggestion_is_the_smallest_nearly_as_fast(fixed):
    machine = Machine(fixed=fixed)
    found = search(machine, high=8192)
    assert found.fastest == (8192 if fixed else found.fastest)
    best = machine.rate(8192)
    sizes = doublings(32, 8192)
    assert found.suggestion == min(n for n in sizes if machine.rate(n) >= 0.95 * best)
    for size in found.sizes:
        assert len(size.rates) == 3
        assert size.rate == pytest.approx(machine.rate(size.batch_size))
    assert not found.unsteady


def test_suggest():
    assert suggest({32: 94.9, 64: 95.0, 128: 100.0, 256: 99.0}) == 64
    assert suggest({32: 100.0, 64: 50.0}) == 32


def test_one_disturbed_round_changes_nothing():
    """The third of five rounds is ten times slower; every median is as without it."""
    quiet = search(Machine(), high=1024, repeats=5)
    n = len(doublings(32, 1024))
    noisy = search(Machine(load=lambda call: 10.0 if call // n == 2 else 1.0), high=1024, repeats=5)
    assert [size.rate for size in noisy.sizes] == pytest.approx([s.rate for s in quiet.sizes])
    assert (noisy.fastest, noisy.suggestion) == (quiet.fastest, quiet.suggestion)


def test_rounds_take_all_sizes_in_turn():
    machine = Machine()
    search(machine, high=256, repeats=2)
    timed = [size for size, seconds in machine.calls if seconds]
    assert timed == [32, 64, 128, 256] * 2


def test_a_busy_machine_makes_it_doubtful():
    found = search(Machine(load=lambda call: 1 + 0.4 * (call % 3)), high=256)
    assert found.unsteady
    assert found.spread > batch_finder.UNSTEADY


def test_a_size_that_fits_only_alone_is_not_suggested():
    class Crowded(Machine):
        """From the second round on there is no room for 1024."""

        def __call__(self, batch_size, seconds):
            measured = super().__call__(batch_size, seconds)
            if seconds and batch_size == 1024 and self.timed > 6:
                raise OutOfMemory("no room left")
            return measured

    found = search(Crowded(), high=1024)
    assert found.largest == 1024
    assert found.fastest == 512
    assert found.sizes[-1].rates == []


def test_progress():
    said = []
    search(Machine(memory=3000), on_progress=lambda *words: said.append(words))
    shares = [share for _, _, share in said]
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] < 1
    assert said[0][:2] == ("what fits into memory", "a batch of 32")
    assert said[-1][0] == "round 3 of 3"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"low": 0}, "the range must be 1 <= low <= high, but got 0 to 65536"),
        ({"low": 64, "high": 32}, "the range must be 1 <= low <= high, but got 64 to 32"),
        ({"repeats": 0}, "repeats and seconds must be positive, but got 0, 0.5"),
        ({"seconds": 0.0}, "repeats and seconds must be positive, but got 3, 0"),
    ],
)
def test_refused(refusal, change, said):
    assert refusal(ConfigError, partial(search, Machine()), **change) == said


def test_not_even_the_smallest(refusal):
    said = refusal(ConfigError, search, Machine(base=400, memory=401))
    assert said == "not even a batch of 32 fits into memory; choose a smaller --low"


# A real one


@pytest.fixture
def resolved(config):
    return train.resolve(config(model__name="lenet5"))


def test_measure_counts_what_it_trains(resolved):
    for batch_size, seconds in ((500, 0.0), (500, 0.1), (1000, 0.0)):
        measured = measure(resolved, 0.8, batch_size, seconds)
        assert measured.images % batch_size == 0  # full batches only
        assert measured.images >= batch_size
        assert measured.seconds >= seconds
        assert measured.peak > 50 * MIB
    assert measured.images == 1000


@pytest.mark.long
def test_a_real_search(resolved):
    with Isolated(partial(measure, resolved, 0.8), memory=free_memory()) as isolated:
        found = find(isolated, low=500, high=1000, seconds=0.05, repeats=2)
    assert [size.batch_size for size in found.sizes] == [500, 1000]
    assert found.largest == 1000
    assert not found.limited
    assert found.suggestion <= found.fastest
    for size in found.sizes:
        assert len(size.rates) == 2
        assert size.rate > 100
        assert 100 * MIB < size.peak < 4000 * MIB


@pytest.mark.long
def test_a_real_limit(resolved):
    """A budget of what a batch of 250 takes and 100 MiB more; lenet5 takes some 50 KiB an image."""
    with Isolated(partial(measure, resolved, 0.8)) as isolated:
        base = isolated(250, 0.0).peak
    with Isolated(partial(measure, resolved, 0.8), memory=base + 100 * MIB) as isolated:
        assert isolated(250, 0.0).peak < base + 100 * MIB
        with pytest.raises(OutOfMemory):
            isolated(5000, 0.0)
