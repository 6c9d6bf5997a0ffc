"""Execution providers in packages of their own, which onnxruntime loads while it runs."""

from __future__ import annotations

import importlib
import json
import threading
from dataclasses import dataclass
from typing import Any

from mlmfast.errors import MissingDependencyError, MlmfastError, first_sentence


@dataclass(frozen=True)
class Plugin:
    """A provider in a package of its own.

    Attributes:
        package: its name on PyPI.
        module: the module that says where its library lies.
        hardware: "CPU" or "GPU", what it is used on.
        builds: packages of which one is installed in its place or by it.
    """

    package: str
    module: str
    hardware: str
    builds: tuple[str, ...] = ()

    @property
    def packages(self) -> tuple[str, ...]:
        """All packages that bring it."""
        return (self.package, *self.builds)


OPENVINO = Plugin("onnxruntime-ep-openvino", "onnxruntime_ep_openvino", "CPU")
TENSORRT_RTX = Plugin(
    "onnxruntime-ep-nv-tensorrt-rtx",
    "onnxruntime_ep_nv_tensorrt_rtx",
    "GPU",
    ("onnxruntime-ep-nv-tensorrt-rtx-cu13", "onnxruntime-ep-nv-tensorrt-rtx-cu12"),
)
PLUGINS = (OPENVINO, TENSORRT_RTX)

_lock = threading.Lock()
_loaded: set[str] = set()


def plugin_device(plugin: Plugin) -> Any:
    """Load a plugin into onnxruntime, once in a process, and return its device.

    Returns:
        onnxruntime's OrtEpDevice, for `SessionOptions.add_provider_for_devices`.

    Raises:
        MissingDependencyError: the plugin, or an onnxruntime that takes plugins, is not installed.
        MlmfastError: it does not load, or finds no device of its kind.
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
            try:
                onnxruntime.register_execution_provider_library(
                    plugin.package, module.get_library_path()
                )
            except Exception as error:  # onnxruntime's own exceptions share no base but this
                raise MlmfastError(
                    f"{plugin.package} does not load: {first_sentence(error)}"
                ) from error
            _loaded.add(plugin.package)
    name = module.get_ep_name()
    for device in onnxruntime.get_ep_devices():
        if device.ep_name == name and device.device.type.name == plugin.hardware:
            return device
    raise MlmfastError(f"{plugin.package} finds no {plugin.hardware} that it can use.")


def add_openvino(settings: Any, threads: int) -> None:
    """Let a session run on OpenVINO, in float32: by default it rounds to bfloat16 where it can.

    Args:
        settings: onnxruntime's SessionOptions.
        threads: threads that it may use.

    Raises:
        MlmfastError: as `plugin_device`.
    """
    config = {"CPU": {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": str(threads)}}
    device = plugin_device(OPENVINO)
    settings.add_provider_for_devices([device], {"load_config": json.dumps(config)})
