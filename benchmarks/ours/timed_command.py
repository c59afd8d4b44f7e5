"""Run ``studies`` with the arguments given; its last line is an empty JSON object.

python benchmarks/ours/timed_command.py status optim_search
"""

import runpy
import sys


def main() -> None:
    """Run the command."""
    try:
        runpy.run_module("studies", run_name="__main__")
    except SystemExit as done:
        if done.code:
            raise
    print("{}")


if __name__ == "__main__":
    sys.argv[0] = "studies"
    main()
