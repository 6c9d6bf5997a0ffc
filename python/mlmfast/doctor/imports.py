"""Whether the installed packages can be imported, and what they tell of themselves."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mlmfast.doctor.child import Outcome, call
from mlmfast.doctor.facts import Import
from mlmfast.runtime.cpu import available_cores

_CORE = "mlmfast._core"
# module -> the packages that may bring it; the first one that is installed is named.
_MODULES: Mapping[str, tuple[str, ...]] = {
    _CORE: ("mlmfast",),
    "numpy": ("numpy",),
    "pyarrow": ("pyarrow",),
    "tokenizers": ("tokenizers",),
    "torch": ("torch",),
    "transformers": ("transformers",),
    "datasets": ("datasets",),
    "accelerate": ("accelerate",),
    "onnx": ("onnx",),
    "onnxruntime": ("onnxruntime-gpu", "onnxruntime", "onnxruntime-openvino"),
    "optimum.exporters.onnx": ("optimum-onnx",),
}


def try_imports(
    versions: Mapping[str, str | None],
    *,
    limit: float,
    call: Callable[..., Outcome] = call,
) -> tuple[Import, ...]:
    """Import every module of an installed package, each in a process of its own.

    Args:
        versions: the installed packages.
        limit: seconds for each.
        call: runs a function in another process.
    """

    def one(module: str) -> Import | None:
        package = next((name for name in _MODULES[module] if versions.get(name)), None)
        if module == _CORE:  # it runs us, also from a source folder that is installed nowhere
            package = "mlmfast"
        if package is None:
            return None
        outcome = call("mlmfast.doctor.imports:look", module, limit=limit)
        return Import(
            module=module,
            package=package,
            seconds=round(outcome.seconds, 2),
            error=_one_line(outcome.error),
            details=outcome.value or {},
        )

    with ThreadPoolExecutor(min(4, available_cores())) as pool:
        return tuple(entry for entry in pool.map(one, _MODULES) if entry)


def look(module: str) -> dict[str, Any]:
    """Import `module` and ask it what only it knows. Runs in a process of its own."""
    found = importlib.import_module(module)
    return _QUESTIONS.get(module, lambda _: {})(found)


def _ask_core(core: Any) -> dict[str, Any]:
    return {
        "version": core.__version__,
        "release": not core.DEBUG_BUILD,
        "simd": core.simd(),
        "file": core.__file__,
    }


def _ask_torch(torch: Any) -> dict[str, Any]:
    sees = bool(torch.version.cuda) and torch.cuda.is_available()
    properties = [
        torch.cuda.get_device_properties(index)
        for index in range(torch.cuda.device_count() if sees else 0)
    ]
    return {
        "cuda": torch.version.cuda,
        "sees_gpu": sees,
        "gpus": [{"name": each.name, "memory": each.total_memory} for each in properties],
    }


def _ask_transformers(transformers: Any) -> dict[str, Any]:
    # It passes over a torch that is too old for it, and then offers no models.
    return {"uses_torch": bool(transformers.is_torch_available())}


def _ask_onnxruntime(onnxruntime: Any) -> dict[str, Any]:
    try:
        build = importlib.import_module("onnxruntime.capi.build_and_package_info")
    except ImportError:
        build = None
    return {
        "cuda": getattr(build, "cuda_version", None) or None,
        "package": getattr(build, "package_name", None),
        "providers": onnxruntime.get_available_providers(),
    }


_QUESTIONS: dict[str, Callable[[Any], dict[str, Any]]] = {
    _CORE: _ask_core,
    "torch": _ask_torch,
    "transformers": _ask_transformers,
    "onnxruntime": _ask_onnxruntime,
}


def _one_line(error: str | None) -> str | None:
    """An error's first lines as one: some libraries put the cause on the second."""
    if error is None:
        return None
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    return " ".join(lines[:3])[:500]
