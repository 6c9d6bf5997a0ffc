"""Execution providers in packages of their own, which onnxruntime loads while it runs."""

from __future__ import annotations

import ctypes
import importlib
import json
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlmfast.errors import (
    DeviceNotFoundError,
    MissingDependencyError,
    MlmfastError,
    first_sentence,
)


@dataclass(frozen=True)
class Plugin:
    """A provider in a package of its own.

    Attributes:
        device: what `device` calls it.
        title: what messages call it.
        package: its name on PyPI.
        module: the module that says where its library lies.
        provider: what onnxruntime calls it.
        hardware: "CPU" or "GPU", what it is used on.
        builds: packages of which one is installed in its place or by it.
        vendor: the maker whose devices it takes, and the maker's PCI id; None if it does not ask.
    """

    device: str
    title: str
    package: str
    module: str
    provider: str
    hardware: str
    builds: tuple[str, ...] = ()
    vendor: tuple[str, int] | None = None

    @property
    def packages(self) -> tuple[str, ...]:
        """All packages that bring it."""
        return (self.package, *self.builds)


OPENVINO = Plugin(
    "openvino",
    "OpenVINO",
    "onnxruntime-ep-openvino",
    "onnxruntime_ep_openvino",
    "OpenVINOExecutionProvider",
    "CPU",
    # https://github.com/microsoft/onnxruntime/pull/31981 would let it take others.
    vendor=("Intel", 0x8086),
)
TENSORRT_RTX = Plugin(
    "tensorrt-rtx",
    "TensorRT-RTX",
    "onnxruntime-ep-nv-tensorrt-rtx",
    "onnxruntime_ep_nv_tensorrt_rtx",
    "NvTensorRTRTXExecutionProvider",
    "GPU",
    ("onnxruntime-ep-nv-tensorrt-rtx-cu13", "onnxruntime-ep-nv-tensorrt-rtx-cu12"),
)
PLUGINS = (OPENVINO, TENSORRT_RTX)

_RECORD = "session.record_ep_graph_assignment_info"

_lock = threading.Lock()
_loaded: set[str] = set()


def plugin_device(plugin: Plugin) -> Any:
    """Load a plugin into onnxruntime, once in a process, and return its device.

    Returns:
        onnxruntime's OrtEpDevice, for `SessionOptions.add_provider_for_devices`.

    Raises:
        MissingDependencyError: the plugin, or an onnxruntime that takes plugins, is not installed.
        DeviceNotFoundError: it finds no device of its kind, or takes none of this maker.
        MlmfastError: it does not load.
    """
    import onnxruntime

    try:
        module = importlib.import_module(plugin.module)
    except ImportError as error:
        raise MissingDependencyError(
            f"The plugin is not installed: pip install {plugin.package}"
        ) from error
    if not hasattr(onnxruntime, "register_execution_provider_library"):
        raise MissingDependencyError(
            f"{plugin.package} needs onnxruntime >= 1.23, and {onnxruntime.__version__} is "
            "installed: pip install --upgrade onnxruntime"
        )
    with _lock:
        if plugin.package not in _loaded:
            library = module.get_library_path()
            _load_cuda_runtime(Path(library).parent)
            try:
                onnxruntime.register_execution_provider_library(plugin.package, library)
            except Exception as error:  # onnxruntime's own exceptions share no base but this
                raise MlmfastError(
                    f"{plugin.package} does not load: {first_sentence(error)}"
                ) from error
            _loaded.add(plugin.package)
    devices = onnxruntime.get_ep_devices()
    of_its_kind = [each for each in devices if each.device.type.name == plugin.hardware]
    for device in of_its_kind:
        if device.ep_name == plugin.provider:
            return device
    others = [each.device for each in of_its_kind]
    why = ""
    if plugin.vendor and others and plugin.vendor[1] not in {each.vendor_id for each in others}:
        there = ", ".join(sorted({each.vendor for each in others}))
        why = f": it takes those of {plugin.vendor[0]} only, and this one is of {there}"
    raise DeviceNotFoundError(
        f"{plugin.package} finds no {plugin.hardware} that it can use{why}. Use device='cpu'."
    )


def add_plugin(settings: Any, plugin: Plugin, threads: int) -> None:
    """Let a session run on a plugin.

    Args:
        settings: onnxruntime's SessionOptions.
        plugin: the plugin.
        threads: threads that it may use, where it computes on the CPU.

    Raises:
        MlmfastError: as `plugin_device`.
    """
    options = {}
    if plugin is OPENVINO:
        # By default it rounds to bfloat16 where it can.
        config = {"CPU": {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": str(threads)}}
        options["load_config"] = json.dumps(config)
    device = plugin_device(plugin)
    settings.add_session_config_entry(_RECORD, "1")
    settings.add_provider_for_devices([device], options)


def require_nodes(session: Any, plugin: Plugin) -> None:
    """Refuse a session of which onnxruntime's CPU provider runs every node.

    Raises:
        MlmfastError: the plugin has taken no node of the graph.
    """
    if not hasattr(session, "get_provider_graph_assignment_info"):  # onnxruntime before 1.24
        return
    taken = [part.ep_name for part in session.get_provider_graph_assignment_info()]
    if plugin.provider not in taken:
        raise MlmfastError(
            f"device={plugin.device!r} was asked for, but {plugin.title} takes no part of the "
            "graph, and onnxruntime would run it on the CPU. Use device='cpu'."
        )


def _load_cuda_runtime(folder: Path) -> None:
    """Load the CUDA runtime that lies beside a plugin, which needs it and does not look there."""
    for library in sorted(folder.glob("libcudart.so*")):
        with suppress(OSError):  # the plugin says what it misses
            ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
