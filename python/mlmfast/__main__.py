"""The program: the script `mlmfast`, and `python -m mlmfast` where it is not on the path."""

from __future__ import annotations

from mlmfast.cli import main


def run() -> None:
    """Run the command line in a process that is its own."""
    main(own_process=True)


if __name__ == "__main__":
    run()
