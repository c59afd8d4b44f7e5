"""LLVM's code of a kernel under construction: its arguments, its loops, its vectors."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from llvmlite import ir

BYTE, LONG = ir.IntType(8), ir.IntType(64)

NEXT = 0
"""Position of the next part that no thread has taken in the array that a kernel is called with."""


@dataclass
class Turn:
    """A turn of a loop.

    Attributes:
        index: which one it is.
        values: what the turn before handed on; set them to what the next shall find.
    """

    index: Any
    values: list[Any]


class Code:
    """A function of one array of int64, of which element ``NEXT`` is 0 at first."""

    def __init__(self) -> None:
        self.module = ir.Module()
        kind = ir.FunctionType(ir.VoidType(), [LONG.as_pointer()])
        function = ir.Function(self.module, kind, "kernel")
        self.build = ir.IRBuilder(function.append_basic_block())
        self.arguments = function.args[0]

    def text(self) -> str:
        """Return the code in LLVM's language, at its end."""
        self.build.ret_void()
        return str(self.module)

    def argument(self, which: int) -> Any:
        """Emit the load of an element of the array."""
        return self.build.load(self.build.gep(self.arguments, [LONG(which)]))

    def address(self, which: int, element: Any) -> Any:
        """Emit the load of an address where numbers of type ``element`` lie."""
        return self.build.inttoptr(self.argument(which), element.as_pointer())

    @contextmanager
    def each_part(self, parts: Any) -> Iterator[Any]:
        """Emit a loop over ``parts`` that several threads may run at once."""
        build = self.build
        take, work, end = (build.append_basic_block(name) for name in ("take", "work", "end"))
        build.branch(take)
        build.position_at_end(take)
        # Each thread takes the next part, so one that other programs slow down takes fewer.
        next_one = build.gep(self.arguments, [LONG(NEXT)])
        part = build.atomic_rmw("add", next_one, LONG(1), "monotonic")
        build.cbranch(build.icmp_signed("<", part, parts), work, end)
        build.position_at_end(work)
        yield part
        build.branch(take)
        build.position_at_end(end)

    @contextmanager
    def loop(self, start: Any, stop: Any, step: int = 1) -> Iterator[Any]:
        """Emit a loop; yield its index."""
        with self.fold([], start, stop, step) as turn:
            yield turn.index

    @contextmanager
    def fold(self, first: Sequence[Any], start: Any, stop: Any, step: int = 1) -> Iterator[Turn]:
        """Emit a loop that keeps values in registers; afterwards the turn has the last ones."""
        build = self.build
        before = build.block
        head, body, end = (build.append_basic_block(name) for name in ("head", "body", "end"))
        build.branch(head)
        build.position_at_end(head)
        index, *kept = (build.phi(one) for one in (LONG, *(value.type for value in first)))
        for phi, value in zip((index, *kept), (start, *first), strict=True):
            phi.add_incoming(value, before)
        build.cbranch(build.icmp_signed("<", index, stop), body, end)
        build.position_at_end(body)
        turn = Turn(index, list(kept))
        yield turn
        following = (build.add(index, LONG(step)), *turn.values)
        for phi, value in zip((index, *kept), following, strict=True):
            phi.add_incoming(value, build.block)
        turn.values = list(kept)
        build.branch(head)
        build.position_at_end(end)

    def load(self, base: Any, place: Any, width: int) -> Any:
        """Emit the load of ``width`` numbers that lie from ``base[place]`` on."""
        value = self.build.load(self._vector(base, place, width))
        value.align = _size(base)
        return value

    def store(self, values: Any, base: Any, place: Any) -> None:
        """Emit the store of a vector from ``base[place]`` on."""
        stored = self.build.store(values, self._vector(base, place, values.type.count))
        stored.align = _size(base)

    def number(self, base: Any, place: Any) -> Any:
        """Emit the load of one number."""
        return self.build.load(self.build.gep(base, [place]))

    def set_number(self, value: Any, base: Any, place: Any) -> None:
        """Emit the store of one number."""
        self.build.store(value, self.build.gep(base, [place]))

    def spread(self, value: Any, width: int) -> Any:
        """Emit a vector of ``width`` times the same number."""
        empty = ir.Constant(ir.VectorType(value.type, width), ir.Undefined)
        first = self.build.insert_element(empty, value, ir.IntType(32)(0))
        return self.build.shuffle_vector(first, empty, constant(ir.IntType(32), 0, width))

    def intrinsic(self, name: str, *values: Any) -> Any:
        """Emit an operation of LLVM's own on floating-point numbers, or vectors of them."""
        kind = values[0].type
        element = kind.element if isinstance(kind, ir.VectorType) else kind
        count = f"v{kind.count}" if isinstance(kind, ir.VectorType) else ""
        full = f"{name}.{count}f{64 if isinstance(element, ir.DoubleType) else 32}"
        function = self.module.globals.get(full)
        if function is None:
            of = ir.FunctionType(kind, [kind] * len(values))
            function = ir.Function(self.module, of, full)
        return self.build.call(function, values)

    def _vector(self, base: Any, place: Any, width: int) -> Any:
        kind = ir.VectorType(base.type.pointee, width)
        return self.build.bitcast(self.build.gep(base, [place]), kind.as_pointer())


def constant(element: Any, value: Any, width: int) -> Any:
    """Return a vector of equal numbers."""
    return ir.Constant(ir.VectorType(element, width), [value] * width)


def _size(base: Any) -> int:
    element = base.type.pointee
    return int(element.width) // 8 if isinstance(element, ir.IntType) else 4
