"""What ``--help`` prints: the docstrings as they are."""

from typing import Any

from rich.markup import escape


def prepare(command: Any) -> None:
    """Make the help of a typer command, and of all commands in it, show what is written."""
    if getattr(command, "rich_markup_mode", None) == "rich":
        if command.help:
            command.help = escape(joined(command.help))
        for parameter in command.params:
            if getattr(parameter, "help", None):
                parameter.help = escape(parameter.help)
    for inner in getattr(command, "commands", {}).values():
        prepare(inner)


def joined(text: str) -> str:
    """Return ``text`` with one line a paragraph; indented lines, of examples, stay lines."""
    lines: list[str] = []
    for line in text.splitlines():
        goes_on = line.strip() and not line.startswith(" ")
        if goes_on and lines and lines[-1].strip() and not lines[-1].startswith(" "):
            lines[-1] += f" {line}"
        else:
            lines.append(line)
    return "\n".join(lines)
