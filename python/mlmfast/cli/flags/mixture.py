"""The mixture of `--data STORE WEIGHT`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlmfast.data.loading.mixture.mixture import Mixture


def open_mixture(
    data: Any, weighted: Sequence[tuple[str, str]], temperature: float | None
) -> Mixture:
    """Open the stores of a command line as a mixture.

    Args:
        data: the argument DATA of the command, None if it was not given.
        weighted: the stores with their weights.
        temperature: of shares by size.

    Raises:
        InputError: DATA was given too, there are no stores, or they cannot be mixed.
        NotFoundError: a store does not exist.
        StoreError: a store is damaged.
    """
    from mlmfast.data.loading.mixture.mixture import Mixture

    if not weighted:
        raise InputError(
            f"--data-temperature {temperature:g} is for a mixture: give its stores as "
            "--data STORE auto."
        )
    if data is not None:
        raise InputError(
            f"{data if isinstance(data, str) else ' '.join(data)} and --data both name what to "
            "train on: give all stores of a mixture as --data STORE WEIGHT."
        )
    return Mixture.of_weights(weighted, temperature)
