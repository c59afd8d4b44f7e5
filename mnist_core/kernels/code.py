"""LLVM's code of a kernel under construction: its arguments, its loops, its vectors."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

BYTE, LONG = ir.IntType(8), ir.IntType(64)

NEXT = 0
"""Position of the next part that no thread has taken in the array that a kernel is called with."""


class Code:
    """A function of one array of int64, of which element ``NEXT`` is 0 at first."""

    def __init__(self) -> None:
        self._module = ir.Module()
        kind = ir.FunctionType(ir.VoidType(), [LONG.as_pointer()])
        function = ir.Function(self._module, kind, "kernel")
        self.build = ir.IRBuilder(function.append_basic_block())
        self.arguments = function.args[0]

    def text(self) -> str:
        """Return the code in LLVM's language, at its end."""
        self.build.ret_void()
        return str(self._module)

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
        build = self.build
        before = build.block
        head, body, end = (build.append_basic_block(name) for name in ("head", "body", "end"))
        build.branch(head)
        build.position_at_end(head)
        index = build.phi(LONG)
        index.add_incoming(start, before)
        build.cbranch(build.icmp_signed("<", index, stop), body, end)
        build.position_at_end(body)
        yield index
        index.add_incoming(build.add(index, LONG(step)), build.block)
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

    def _vector(self, base: Any, place: Any, width: int) -> Any:
        kind = ir.VectorType(base.type.pointee, width)
        return self.build.bitcast(self.build.gep(base, [place]), kind.as_pointer())


def constant(element: Any, value: Any, width: int) -> Any:
    """Return a vector of equal numbers."""
    return ir.Constant(ir.VectorType(element, width), [value] * width)


def _size(base: Any) -> int:
    element = base.type.pointee
    return int(element.width) // 8 if isinstance(element, ir.IntType) else 4
