"""A model's last layer, run on the masked rows from behind its attention on.

Of the last layer, only the masked rows are looked at afterwards. Its attention needs every row, for
its keys and values; what follows (output, norms, feed-forward: 9 of 12 parts of a BERT layer's
products) treats each row by itself. So the layer is given the masked rows as its hidden states, the
modules up to the attention are given all rows all the same, and of the attention's output the
masked rows are kept. Which module that is is not looked up by model type: it is tried out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import nn

# Of the largest number: products of other shapes are added up in another order.
_ROUNDING = 1e-5


@dataclass
class RowSelection:
    """Rows that a forward has yet to keep.

    Attributes:
        positions: int64 `[M]`, flat into `B * L`; None when they are taken, or all are kept.
        shape: `(B, L)`; hidden states of another one (padded to whole windows, say) are left whole.
    """

    positions: torch.Tensor | None = None
    shape: tuple[int, int] = (0, 0)

    def ask(self, positions: torch.Tensor, like: torch.Tensor) -> None:
        """Want these rows of hidden states that have a vector for every id of `like` `[B, L]`."""
        self.positions, self.shape = positions, (like.shape[0], like.shape[1])

    def take(self, hidden: torch.Tensor) -> torch.Tensor:
        """Take the rows of `[B, L, H]` that are wanted, as `[1, M, H]`."""
        return hidden if self.positions is None else rows_of(hidden, self.positions)

    def fits(self, hidden: torch.Tensor) -> bool:
        """Tell whether there are rows to take, and these are the hidden states of that batch."""
        return self.positions is not None and hidden.shape[:2] == self.shape


def rows_of(hidden: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Take rows of `[B, L, H]`, as `[1, M, H]`."""
    return hidden.flatten(0, 1).index_select(0, positions)[None]


class Call(NamedTuple):
    """A module's call; `began` and `ended` count the beginnings and ends of all recorded ones."""

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any
    began: int
    ended: int


class Entry(NamedTuple):
    """A module that takes the layer's hidden states, and by which arguments."""

    module: nn.Module
    places: tuple[int | str, ...]


@dataclass
class LastLayer:
    """Where the rows are taken.

    Attributes:
        layer: gets the masked rows as its hidden states.
        entries: get all rows.
        mixer: the last module that needs all rows; its masked rows are kept.
        wanted: the rows.
    """

    layer: Entry
    entries: tuple[Entry, ...]
    mixer: nn.Module
    wanted: RowSelection
    _whole: torch.Tensor | None = field(default=None, repr=False)

    def attach(self) -> list[Any]:
        """Register the hooks and return their handles; they do nothing while no row is wanted."""
        begin = self.layer.module.register_forward_pre_hook(self._begin, with_kwargs=True)
        widen = [
            module.register_forward_pre_hook(self._widen(places), with_kwargs=True)
            for module, places in self.entries
        ]
        return [begin, *widen, self.mixer.register_forward_hook(self._end)]

    def _begin(self, _module: nn.Module, args: Any, kwargs: Any) -> Any:
        hidden = _at(self.layer.places[0], args, kwargs)
        self._whole = hidden if self.wanted.fits(hidden) else None
        if self._whole is None:
            return None
        return _replaced(args, kwargs, self.layer.places, self.wanted.take(hidden))

    def _widen(self, places: tuple[int | str, ...]) -> Any:
        def give_all(_module: nn.Module, args: Any, kwargs: Any) -> Any:
            return None if self._whole is None else _replaced(args, kwargs, places, self._whole)

        return give_all

    def _end(self, _module: nn.Module, _args: Any, output: Any) -> Any:
        if self._whole is None:
            return None
        self._whole = None
        rows = self.wanted.take(_first(output))
        self.wanted.positions = None
        return (rows, *output[1:]) if isinstance(output, tuple) else rows


@contextmanager
def recording(modules: Iterable[nn.Module]) -> Iterator[list[Call]]:
    """Write down the calls of these modules, in the order in which they end."""
    calls: list[Call] = []
    open_calls: list[int] = []
    count = 0

    def begin(*_: Any) -> None:
        nonlocal count
        open_calls.append(count)
        count += 1

    def end(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        nonlocal count
        calls.append(Call(module, args, kwargs, output, open_calls.pop(), count))
        count += 1

    handles = []
    for module in modules:
        handles.append(module.register_forward_pre_hook(begin))
        handles.append(module.register_forward_hook(end, with_kwargs=True))
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def layers_of(base: nn.Module) -> list[nn.Module]:
    """List what may be a layer: the members of every list of modules."""
    lists = (each for each in base.modules() if isinstance(each, nn.ModuleList))
    return [member for each in lists for member in each]


def find_last_layer(
    calls: list[Call], positions: torch.Tensor, like: torch.Tensor, wanted: RowSelection
) -> LastLayer | None:
    """Find where the last layer's rows can be taken, None where they cannot.

    Args:
        calls: of `layers_of` a model, during one forward; the model still evaluates.
        positions: rows of that forward to try it with.
        like: its ids or labels, `[B, L]`.
        wanted: where the hooks will look for the rows.
    """
    times = Counter(call.module for call in calls)
    if not calls or times[calls[-1].module] > 1:  # all layers are one, as in ALBERT
        return None
    call = calls[-1]
    values = (*call.args, *call.kwargs.values())
    hidden = next((each for each in values if _is_hidden(each, like)), None)
    if hidden is None or not _is_hidden(_first(call.output), like):
        return None
    layer = Entry(call.module, _places(hidden, call))
    expected = rows_of(_first(call.output), positions)
    try:
        with recording(m for m in call.module.modules() if m is not call.module) as inner:
            call.module(*call.args, **call.kwargs)
    except Exception:  # noqa: BLE001 - what a layer keeps between calls may not fit a second one
        return None
    for mixer in inner:
        if not _is_hidden(_first(mixer.output), like):
            continue
        found = LastLayer(layer, tuple(_entries(inner, mixer, hidden)), mixer.module, wanted)
        wanted.ask(positions, like)
        if _same(found, call, expected):
            return found
    return None


def _entries(inner: list[Call], mixer: Call, hidden: torch.Tensor) -> Iterator[Entry]:
    """The calls up to the end of `mixer` that take the hidden states; not what is inside them."""
    covered = -1
    for call in sorted(inner, key=lambda call: call.began):
        if call.ended > mixer.ended or call.began < covered:
            continue
        if places := _places(hidden, call):
            covered = call.ended
            yield Entry(call.module, places)


def _same(found: LastLayer, call: Call, expected: torch.Tensor) -> bool:
    handles = found.attach()
    try:
        rows = _first(call.module(*call.args, **call.kwargs))
    except Exception:  # noqa: BLE001 - any layer may fail on rows in its own way
        return False
    finally:
        found.wanted.positions = None
        for handle in handles:
            handle.remove()
    if not isinstance(rows, torch.Tensor) or rows.shape != expected.shape:
        return False
    near = _ROUNDING * expected.abs().max().item()
    return torch.allclose(rows, expected, rtol=0, atol=near)


def _is_hidden(value: Any, like: torch.Tensor) -> bool:
    if not isinstance(value, torch.Tensor) or not value.is_floating_point():
        return False
    return value.dim() == 3 and value.shape[:2] == like.shape


def _first(output: Any) -> Any:
    return output[0] if isinstance(output, tuple) and output else output


def _places(hidden: torch.Tensor, call: Call) -> tuple[int | str, ...]:
    positional = [number for number, value in enumerate(call.args) if value is hidden]
    return (*positional, *(name for name, value in call.kwargs.items() if value is hidden))


def _at(place: int | str, args: Any, kwargs: Any) -> Any:
    return args[place] if isinstance(place, int) else kwargs[place]


def _replaced(
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    places: tuple[int | str, ...],
    value: torch.Tensor,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    new = [value if number in places else each for number, each in enumerate(args)]
    return tuple(new), {name: value if name in places else kwargs[name] for name in kwargs}
