"""`python -m mlmfast`: the command line where no script `mlmfast` is on the path."""

from __future__ import annotations

from mlmfast.cli import main

if __name__ == "__main__":
    main()
