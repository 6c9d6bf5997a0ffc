"""Whether the installed packages can be imported, and what they report about themselves."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mlmfast.doctor.child import Outcome, call
from mlmfast.doctor.facts import Import
from mlmfast.runtime.cpu import available_cores

_CORE = "mlmfast._core"
# module -> the packages that may install it; the first installed one is reported.
_MODULES: Mapping[str, tuple[str, ...]] = {
    _CORE: ("mlmfast",),
    "numpy": ("numpy",),
    "pyarrow": ("pyarrow",),
    "tokenizers": ("tokenizers",),
    "torch": ("torch",),
    "transformers": ("transformers",),
    "datasets": ("datasets",),
    "accelerate": ("accelerate",),
    "peft": ("peft",),
    "sklearn": ("scikit-learn",),
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
        if module == _CORE:  # it is there, even if mlmfast runs from a source folder
            package = "mlmfast"
        if package is None:
            return None
        outcome = call("mlmfast.doctor.imports:probe_module", module, limit=limit)
        return Import(
            module=module,
            package=package,
            seconds=round(outcome.seconds, 2),
            error=_one_line(outcome.error),
            details=outcome.value or {},
        )

    with ThreadPoolExecutor(min(4, available_cores())) as pool:
        return tuple(entry for entry in pool.map(one, _MODULES) if entry)


def probe_module(name: str) -> dict[str, Any]:
    """Import a module and return details about it. Runs in a process of its own."""
    module = importlib.import_module(name)
    return _DETAILS.get(name, lambda _: {})(module)


def _core_details(core: Any) -> dict[str, Any]:
    return {
        "version": core.__version__,
        "release": not core.DEBUG_BUILD,
        "simd": core.simd(),
        "file": core.__file__,
    }


def _torch_details(torch: Any) -> dict[str, Any]:
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


def _transformers_details(transformers: Any) -> dict[str, Any]:
    # It ignores a torch that is too old for it, and then has no models.
    return {"uses_torch": bool(transformers.is_torch_available())}


def _onnxruntime_details(onnxruntime: Any) -> dict[str, Any]:
    try:
        build = importlib.import_module("onnxruntime.capi.build_and_package_info")
    except ImportError:
        build = None
    return {
        "cuda": getattr(build, "cuda_version", None) or None,
        "package": getattr(build, "package_name", None),
        "providers": onnxruntime.get_available_providers(),
    }


_DETAILS: dict[str, Callable[[Any], dict[str, Any]]] = {
    _CORE: _core_details,
    "torch": _torch_details,
    "transformers": _transformers_details,
    "onnxruntime": _onnxruntime_details,
}


def _one_line(error: str | None) -> str | None:
    """Join an error's first lines: in some libraries the second one names the cause."""
    if error is None:
        return None
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    return " ".join(lines[:3])[:500]
