"""What the kernels of batch norm are called with, and what is known of each channel."""

from enum import IntEnum, auto


class Argument(IntEnum):
    """Positions in the array of int64 that a kernel is called with."""

    NEXT = 0  # part that no thread has taken, see code.NEXT
    DONE = auto()  # parts whose sums are complete
    PARTS = auto()  # torch's threads: of each the sums are its own
    IMAGES = auto()
    ROWS = auto()  # of the maps before a pooling, as the next
    COLUMNS = auto()
    CHANNELS = auto()
    MAPS = auto()  # address of the maps before the norm, as the next are addresses
    OUTPUT = auto()  # behind the norm, the pooling and the ReLU; in a backward pass its gradient
    PLACES = auto()  # of the winners of a pooling, a byte each; 0: they are not wanted
    WINNERS = auto()  # their values before the norm
    GRADIENT = auto()  # of the maps
    SUMS = auto()  # fp32 [2, PARTS, CHANNELS]
    TERMS = auto()  # fp32 [4, CHANNELS], see Term
    WEIGHT = auto()
    BIAS = auto()
    RUNNING_MEAN = auto()
    RUNNING_VARIANCE = auto()
    WEIGHT_GRADIENT = auto()
    BIAS_GRADIENT = auto()
    EPSILON = auto()  # the bits of a double
    MOMENTUM = auto()  # the bits of a float, in the lower half


class Term(IntEnum):
    """Rows of what is known of the channels after the forward pass."""

    MEAN = 0
    INVERSE_DEVIATION = auto()
    FACTOR = auto()  # output = maps * factor + summand
    SUMMAND = auto()
