"""LLVM's code of a function that runs over numbers which lie next to each other in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

from llvmlite import ir

BYTE, LONG = ir.IntType(8), ir.IntType(64)


class Loops:
    """A function of one array of int64 under construction."""

    def __init__(self) -> None:
        self._module = ir.Module()
        kind = ir.FunctionType(ir.VoidType(), [LONG.as_pointer()])
        function = ir.Function(self._module, kind, "kernel")
        self.build = ir.IRBuilder(function.append_basic_block())
        self._arguments = function.args[0]

    def text(self) -> str:
        """Return the code in LLVM's language, at its end."""
        self.build.ret_void()
        return str(self._module)

    def argument(self, which: IntEnum) -> Any:
        """Emit the load of a number of the array."""
        return self.build.load(self.build.gep(self._arguments, [LONG(which)]))

    def address(self, which: IntEnum, kind: Any) -> Any:
        """Emit the load of an address of numbers of ``kind``."""
        return self.build.inttoptr(self.argument(which), kind.as_pointer())

    @contextmanager
    def each_part(self, parts: IntEnum) -> Iterator[Any]:
        """Emit a loop over parts that several threads may run at once; the array's first counts."""
        build = self.build
        take, work, end = (build.append_basic_block(name) for name in ("take", "work", "end"))
        count = self.argument(parts)
        build.branch(take)
        build.position_at_end(take)
        # Each thread takes the next part, so one that other programs slow down takes fewer.
        part = build.atomic_rmw("add", self._arguments, LONG(1), "monotonic")
        build.cbranch(build.icmp_signed("<", part, count), work, end)
        build.position_at_end(work)
        yield part
        build.branch(take)
        build.position_at_end(end)

    @contextmanager
    def each(self, start: Any, stop: Any, step: int = 1) -> Iterator[Any]:
        """Emit a loop."""
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
        """Emit the load of ``width`` numbers from ``place`` on."""
        value = self.build.load(self._vector(base, place, width))
        value.align = base.type.pointee.width // 8
        return value

    def store(self, values: Any, base: Any, place: Any) -> None:
        """Emit the store of a vector from ``place`` on."""
        stored = self.build.store(values, self._vector(base, place, values.type.count))
        stored.align = base.type.pointee.width // 8

    def _vector(self, base: Any, place: Any, width: int) -> Any:
        kind = ir.VectorType(base.type.pointee, width)
        return self.build.bitcast(self.build.gep(base, [place]), kind.as_pointer())


def constant(element: Any, width: int, value: Any) -> Any:
    """Return a vector of ``value``."""
    return ir.Constant(ir.VectorType(element, width), [value] * width)
