"""An optimizer that is asked for points and told their losses, over JSON lines.

    .venv-peers/bin/python benchmarks/peers/ask_tell/serve.py smac

It runs in an environment of its own and uses nothing of this project. A line of its input is one
of these, and is answered by one line:

- ``{"begin": {"space": {...}, "seed": 0, "trials": 60, "epochs": 1, "prior": null}}``: a new
  search. The space maps names to parameters as ``Space.to_dict`` describes them.
- ``{"ask": true}``: answered ``{"params": {...}, "epochs": 3, "id": "..."}``. Only active
  parameters come. ``id`` is the same for one configuration with more epochs.
- ``{"tell": 0.1}``: the loss of what was asked for last, smaller is better.
"""

import importlib
import json
import sys
from typing import Any


def main() -> None:
    """Answer line by line, until the input ends."""
    # Some libraries print; the answers need a stream of their own.
    answers, sys.stdout = sys.stdout, sys.stderr
    tool = importlib.import_module(f"with_{sys.argv[1]}")
    search: Any = None
    for line in sys.stdin:
        message = json.loads(line)
        answer: dict[str, Any] = {}
        if "begin" in message:
            search = tool.Search(**message["begin"])
        elif "ask" in message:
            params, epochs, name = search.ask()
            answer = {"params": active(search.space, params), "epochs": epochs, "id": name}
        else:
            search.tell(message["tell"])
        print(json.dumps(answer), file=answers, flush=True)


def active(space: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """Return the params that exist for the choices made in ``params``."""
    found: dict[str, Any] = {}
    for name, parameter in space.items():
        when = parameter["when"]
        if when is None or found.get(when["parameter"]) in when["values"]:
            found[name] = params[name]
    return found


if __name__ == "__main__":
    main()
