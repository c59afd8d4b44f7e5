"""A user's file that Python would import in place of a module: said before it breaks an import."""

# `python -m` looks for modules in the working directory first. What is imported here is in memory
# before that, so this module works where others fail.
import os
import sys

NEEDED = (
    *("bottle", "cmaes", "greenlet", "jinja2", "llvmlite", "markupsafe", "matplotlib", "numpy"),
    *("optuna", "optuna_dashboard", "packaging", "pandas", "PIL", "platformdirs", "psutil"),
    *(
        "pydantic",
        "ray",
        "rich",
        "safetensors",
        "scipy",
        "sqlalchemy",
        "tomli_w",
        "torch",
        "torchvision",
    ),
    *("typer", "wandb"),
)
"""The modules of the packages in ``pyproject.toml``."""

_UNUSED = {"antigravity", "idlelib", "lib2to3", "test", "this", "tkinter", "turtle", "turtledemo"}
"""Modules of Python that no program imports, such as ``test``; a user's file may be called so."""


def exit_if_shadowed() -> None:
    """End the program with one line if a file in the working directory hides a needed module."""
    if not sys.path or sys.flags.safe_path:
        return
    here = sys.path[0] or os.curdir
    try:
        is_here = os.path.samefile(here, os.curdir)
        names = os.listdir(here) if is_here else []
    except OSError:  # it was deleted, or may not be read
        return
    if (file := shadowing(here, names)) is None:
        return
    module = file.removesuffix(".py")
    what = "of Python itself" if module in sys.stdlib_module_names else "that this program needs"
    print(
        f"error: {file} in this folder hides the module {module} {what}; rename it, e.g. to"
        f" my_{file}, or start the program as `studies` or `mnist-core`",
        file=sys.stderr,
    )
    sys.exit(1)


def shadowing(folder: str, names: list[str]) -> str | None:
    """Return the first of ``names`` in ``folder`` that hides a needed module; None: none does."""
    hidden = {*sys.stdlib_module_names, *NEEDED} - _UNUSED - {*sys.builtin_module_names}
    for name in sorted(names):
        is_file = name.endswith(".py") and name.removesuffix(".py") in hidden
        if is_file and os.path.isfile(os.path.join(folder, name)):
            return name
        if name in hidden and os.path.isfile(os.path.join(folder, name, "__init__.py")):
            return name
    return None
