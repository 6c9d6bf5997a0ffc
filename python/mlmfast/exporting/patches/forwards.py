"""Methods of a model's modules, replaced for a while."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def replaced(
    model: Any, kind: str, make: Callable[[Any], Callable[..., Any]], *, method: str = "forward"
) -> Iterator[None]:
    """Replace `method` of every module whose class is called `kind` by `make(module)`."""
    modules = [module for module in model.modules() if type(module).__name__ == kind]
    kept = [module.__dict__.get(method) for module in modules]
    for module in modules:
        # On the instance, where it hides the method of the class.
        module.__dict__[method] = make(module)
    try:
        yield
    finally:
        for module, own in zip(modules, kept, strict=True):
            del module.__dict__[method]
            if own is not None:
                module.__dict__[method] = own


@contextmanager
def replaced_name(module: Any, name: str, value: Any) -> Iterator[None]:
    """Replace what a Python module or class calls `name`."""
    kept = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, kept)
