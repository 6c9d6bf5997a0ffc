"""Runs the last layer of a model on the masked rows only, after its attention.

Only the masked rows of the last layer are used. Its attention needs all rows, for keys and values;
everything after it (output projection, norms, feed-forward: 9/12 of the matrix multiplications of a
BERT layer) works on each row separately. So hooks give the masked rows to the layer as its hidden
states, all rows to the modules up to the attention, and keep the masked rows of the attention's
output. The module that ends the attention is not looked up by model type but found by trial.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import nn

# Forward passes whose backward pass is still to come, for which a checkpointed layer runs again.
_MAX_PENDING = 64
# Relative to the largest number: other shapes change the order of the sums in a product.
_ROUNDING = 1e-5


@dataclass
class RowSelection:
    """The rows that the next hook selects.

    Attributes:
        positions: int64 `[M]`, flat into `B * L`; None once they are selected, or to keep all rows.
        shape: `(B, L)`; hidden states of another shape (padded to windows, for example) stay whole.
        checkpointed: whether layers run again in the backward pass.
    """

    positions: torch.Tensor | None = None
    shape: tuple[int, int] = (0, 0)
    checkpointed: bool = False

    def select(self, positions: torch.Tensor, like: torch.Tensor) -> None:
        """Select these rows of hidden states with a vector for every id of `like` `[B, L]`."""
        self.positions, self.shape = positions, (like.shape[0], like.shape[1])

    def take(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the selected rows of `[B, L, H]`, as `[1, M, H]`."""
        return hidden if self.positions is None else rows_of(hidden, self.positions)

    def fits(self, hidden: torch.Tensor) -> bool:
        """Return whether rows are selected, and the hidden states are of that batch."""
        return self.positions is not None and hidden.shape[:2] == self.shape


def rows_of(hidden: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Return rows of `[B, L, H]`, as `[1, M, H]`."""
    return hidden.flatten(0, 1).index_select(0, positions)[None]


class Call(NamedTuple):
    """A call of a module; `start` and `end` are numbers in the sequence of all starts and ends."""

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any
    start: int
    end: int


class Entry(NamedTuple):
    """A module that takes the hidden states of the layer, and the arguments that hold them."""

    module: nn.Module
    places: tuple[int | str, ...]


@dataclass
class LastLayer:
    """The modules whose hooks select the rows.

    Attributes:
        layer: gets the masked rows as its hidden states.
        entries: get all rows.
        token_mixer: the last module that needs all rows; its output is cut to the masked rows.
        selection: the rows.
    """

    layer: Entry
    entries: tuple[Entry, ...]
    token_mixer: nn.Module
    selection: RowSelection
    _whole: torch.Tensor | None = field(default=None, repr=False)
    _rows: torch.Tensor | None = field(default=None, repr=False)
    # The rows of earlier calls, by the address of the hidden states, which a checkpoint keeps.
    _pending: dict[int, torch.Tensor] = field(default_factory=dict, repr=False)

    def attach(self) -> list[Any]:
        """Register the hooks and return their handles; without a selection they do nothing."""
        start = self.layer.module.register_forward_pre_hook(self._select_rows, with_kwargs=True)
        restore = [
            module.register_forward_pre_hook(self._give_all_rows(places), with_kwargs=True)
            for module, places in self.entries
        ]
        return [start, *restore, self.token_mixer.register_forward_hook(self._cut_output)]

    def _select_rows(self, _module: nn.Module, args: Any, kwargs: Any) -> Any:
        hidden = _at(self.layer.places[0], args, kwargs)
        self._rows = self.selection.positions if self.selection.fits(hidden) else None
        if self.selection.checkpointed:
            self._rows = self._same_rows_again(hidden)
        self._whole = None if self._rows is None else hidden
        if self._rows is None:
            return None
        return _replaced(args, kwargs, self.layer.places, rows_of(hidden, self._rows))

    def _same_rows_again(self, hidden: torch.Tensor) -> torch.Tensor | None:
        """Remember the rows of a checkpointed call; in the backward pass, return the same."""
        address = hidden.data_ptr()
        if torch._C._current_graph_task_id() != -1:  # noqa: SLF001 (as torch.utils.checkpoint does)
            return self._pending.get(address)
        self._pending.pop(address, None)
        if self._rows is not None and self.layer.module.training:
            self._pending[address] = self._rows
            if len(self._pending) > _MAX_PENDING:
                del self._pending[next(iter(self._pending))]
        return self._rows

    def _give_all_rows(self, places: tuple[int | str, ...]) -> Any:
        def give_all(_module: nn.Module, args: Any, kwargs: Any) -> Any:
            return None if self._whole is None else _replaced(args, kwargs, places, self._whole)

        return give_all

    def _cut_output(self, _module: nn.Module, _args: Any, output: Any) -> Any:
        if self._rows is None:
            return None
        rows = rows_of(_first(output), self._rows)
        self._whole = self._rows = None
        self.selection.positions = None
        return (rows, *output[1:]) if isinstance(output, tuple) else rows


@contextmanager
def recording(modules: Iterable[nn.Module]) -> Iterator[list[Call]]:
    """Record the calls of these modules, in the order in which they end."""
    calls: list[Call] = []
    open_calls: list[int] = []
    count = 0

    def on_start(*_: Any) -> None:
        nonlocal count
        open_calls.append(count)
        count += 1

    def on_end(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        nonlocal count
        calls.append(Call(module, args, kwargs, output, open_calls.pop(), count))
        count += 1

    handles = []
    for module in modules:
        handles.append(module.register_forward_pre_hook(on_start))
        handles.append(module.register_forward_hook(on_end, with_kwargs=True))
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def layers_of(base: nn.Module) -> list[nn.Module]:
    """List the candidates for layers: the members of every `ModuleList`."""
    lists = (each for each in base.modules() if isinstance(each, nn.ModuleList))
    return [member for each in lists for member in each]


def find_last_layer(
    calls: list[Call],
    positions: torch.Tensor,
    like: torch.Tensor,
    selection: RowSelection,
    agree: Callable[[bool], bool] = bool,
) -> LastLayer | None:
    """Find where the hooks can select rows of the last layer; None if they cannot.

    Args:
        calls: the calls of `layers_of` a model during one forward pass; it must be in eval mode.
        positions: rows of that pass for the trial.
        like: its ids or labels, `[B, L]`.
        selection: where the hooks look up the rows.
        agree: whether a comparison holds in all processes that run the layer together.
    """
    times = Counter(call.module for call in calls)
    if not calls or times[calls[-1].module] > 1:  # the layers share one module, as in ALBERT
        return None
    call = calls[-1]
    if hasattr(call.module, "_checkpoint_wrapped_module"):  # of torch: it runs the inner one again
        return None
    values = (*call.args, *call.kwargs.values())
    hidden = next((each for each in values if _is_hidden(each, like)), None)
    if hidden is None or not _is_hidden(_first(call.output), like):
        return None
    original = call.module
    if hidden.dtype != torch.float32:
        # Half precision agrees too roughly to tell: a copy in full precision is tried.
        call = _in_fp32(call)
        hidden = next(
            each for each in (*call.args, *call.kwargs.values()) if _is_hidden(each, like)
        )
    layer = Entry(call.module, _places(hidden, call))
    try:
        with recording(m for m in call.module.modules() if m is not call.module) as inner:
            expected = rows_of(_first(call.module(*call.args, **call.kwargs)), positions)
    except Exception:  # noqa: BLE001 - state that a layer keeps between calls may not fit a second one
        return None
    for token_mixer in inner:
        if not _is_hidden(_first(token_mixer.output), like):
            continue
        candidate = LastLayer(
            layer, tuple(_entries(inner, token_mixer, hidden)), token_mixer.module, selection
        )
        selection.select(positions, like)
        if agree(_agrees(candidate, call, expected)):
            return candidate if call.module is original else _translated(candidate, original)
    return None


def _in_fp32(call: Call) -> Call:
    """Return the call of a copy of the module in full precision."""
    copies: dict[int, Any] = {}

    def converted(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(converted, value))
        if not isinstance(value, torch.Tensor) or not value.is_floating_point():
            return value
        # One tensor stays one, so that it is found in every argument.
        return copies.setdefault(id(value), value.float())

    kwargs = {name: converted(value) for name, value in call.kwargs.items()}
    module = copy.deepcopy(call.module).float()
    return call._replace(module=module, args=converted(call.args), kwargs=kwargs)


def _translated(found: LastLayer, original: nn.Module) -> LastLayer:
    """Return what was found in a copy of a layer, for the layer itself."""
    names = {module: name for name, module in found.layer.module.named_modules()}

    def translate(module: nn.Module) -> nn.Module:
        return original.get_submodule(names[module])

    return LastLayer(
        Entry(original, found.layer.places),
        tuple(Entry(translate(module), places) for module, places in found.entries),
        translate(found.token_mixer),
        found.selection,
    )


def _entries(inner: list[Call], token_mixer: Call, hidden: torch.Tensor) -> Iterator[Entry]:
    """List the outermost calls up to the end of `token_mixer` that take the hidden states."""
    covered = -1
    for call in sorted(inner, key=lambda call: call.start):
        if call.end > token_mixer.end or call.start < covered:
            continue
        if places := _places(hidden, call):
            covered = call.end
            yield Entry(call.module, places)


def _agrees(candidate: LastLayer, call: Call, expected: torch.Tensor) -> bool:
    handles = candidate.attach()
    try:
        rows = _first(call.module(*call.args, **call.kwargs))
    except Exception:  # noqa: BLE001 - a layer may fail on fewer rows with any exception
        return False
    finally:
        candidate.selection.positions = None
        for handle in handles:
            handle.remove()
    if not isinstance(rows, torch.Tensor) or rows.shape != expected.shape:
        return False
    tolerance = _ROUNDING * expected.abs().max().item()
    return torch.allclose(rows, expected, rtol=0, atol=tolerance)


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
