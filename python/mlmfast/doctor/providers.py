"""Which execution providers and plugins of onnxruntime work, and why the others do not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from mlmfast.doctor.child import Outcome, call
from mlmfast.doctor.facts import Provider
from mlmfast.doctor.shared_libraries import missing_libraries, named_in
from mlmfast.doctor.tiny_graph import SIZE, matrix_product
from mlmfast.errors import DeviceNotFoundError
from mlmfast.serving.engine.plugins import PLUGINS, add_plugin, require_nodes

_LIBRARIES = {
    "CUDAExecutionProvider": "libonnxruntime_providers_cuda.so",
    "TensorrtExecutionProvider": "libonnxruntime_providers_tensorrt.so",
    "NvTensorRTRTXExecutionProvider": "libonnxruntime_providers_nv_tensorrt_rtx.so",
    "OpenVINOExecutionProvider": "libonnxruntime_providers_openvino.so",
}


def try_providers(
    names: Iterable[str], *, limit: float, call: Callable[..., Outcome] = call
) -> tuple[Provider, ...]:
    """Multiply two matrices with each provider, each in a process of its own.

    Args:
        names: the providers that are compiled in.
        limit: seconds for each.
        call: runs a function in another process.
    """
    return tuple(
        _provider(name, call("mlmfast.doctor.providers:multiply", name, limit=limit))
        for name in names
    )


def try_plugins(
    versions: Mapping[str, str | None], *, limit: float, call: Callable[..., Outcome] = call
) -> tuple[Provider, ...]:
    """Multiply two matrices with each provider that is a package of its own.

    Args:
        versions: the installed packages.
        limit: seconds for each.
        call: runs a function in another process.

    Returns:
        What became of each, under the name of its package.
    """
    names = (
        plugin.package for plugin in PLUGINS if any(versions.get(name) for name in plugin.packages)
    )
    return tuple(
        _provider(name, call("mlmfast.doctor.providers:multiply_by_plugin", name, limit=limit))
        for name in names
    )


def _provider(name: str, outcome: Outcome) -> Provider:
    answer = outcome.value or {}
    if answer.get("works"):
        return Provider(name=name)
    log = re.sub(r"\x1b\[[0-9;]*m", "", outcome.log)
    reason = (
        outcome.error
        or answer.get("no_device")
        or _reason(log)
        or "it gives the work to the CPU and does not say why"
    )
    missing = dict.fromkeys([*named_in(log), *answer.get("missing", [])])
    return Provider(
        name=name,
        error=" ".join(reason.split())[:500],
        missing=tuple(missing),
        finds_device="no_device" not in answer,
    )


def _reason(log: str) -> str | None:
    """Return what onnxruntime's log says about a provider that does not load."""
    library = re.search(r"Failed to load library \S+ with error: (.+)", log)
    if library:
        return library[1].strip()
    for pattern in (r"\[E:onnxruntime:.*?\] (.+)", r"\[W:onnxruntime:.*?\] (.+)", r"(\S.*)"):
        line = re.search(pattern, log)
        if line:
            return line[1].strip()
    return None


def multiply(name: str) -> dict[str, Any]:
    """Compute a product with only the provider `name`. Runs in a process of its own."""
    import onnxruntime

    if name.startswith(("CUDA", "Tensorrt")) and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()  # as the engine does: libraries that packages of NVIDIA bring
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 2  # warnings: they tell why a provider was left out
    session = onnxruntime.InferenceSession(matrix_product(), options, providers=[name])
    if name in session.get_providers():
        _require_product(session, name)
        return {"works": True}
    folder = Path(onnxruntime.__file__).parent / "capi"
    library = _LIBRARIES.get(name)
    return {"works": False, "missing": missing_libraries(folder / library) if library else []}


def multiply_by_plugin(package: str) -> dict[str, Any]:
    """Compute a product with the plugin of a package. Runs in a process of its own."""
    import onnxruntime

    plugin = next(plugin for plugin in PLUGINS if plugin.package == package)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 2
    try:
        add_plugin(options, plugin, threads=1)
    except DeviceNotFoundError as error:
        return {"works": False, "no_device": str(error)}
    session = onnxruntime.InferenceSession(matrix_product(), options)
    require_nodes(session, plugin)
    _require_product(session, package)
    return {"works": True}


def _require_product(session: Any, name: str) -> None:
    import numpy as np

    x = np.arange(SIZE * SIZE, dtype=np.float32).reshape(SIZE, SIZE)
    (y,) = session.run(["y"], {"x": x})
    if not np.allclose(y, x @ x, rtol=1e-2):
        raise ArithmeticError(f"{name} computes a wrong product: {y.tolist()}")
