"""Open onnxruntime sessions and run them, with errors that say what to do."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmfast.errors import InputError, MissingDependencyError, MlmfastError, first_sentence
from mlmfast.serving.engine.plugins import PLUGINS, add_plugin, require_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLUGIN_OF = {plugin.device: plugin for plugin in PLUGINS}
DEVICES = ("auto", "cpu", "cuda", *PLUGIN_OF)
CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"
_DEVICE_OF = {CUDA: "cuda", **{plugin.provider: plugin.device for plugin in PLUGINS}}


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """The options of a session.

    Attributes:
        device: one of DEVICES.
        threads: threads inside one operator on the CPU.
        spinning: whether these threads wait for work by spinning.
        cuda_graphs: whether runs with a `gpu_graph_id` are captured on a GPU, and then replayed.
    """

    device: str
    threads: int
    spinning: bool
    cuda_graphs: bool = False


def open_session(graph: Path, options: SessionOptions) -> Any:
    """Open `graph` on the device that `options` name.

    Raises:
        InputError: the file, or the file of its weights, is damaged or missing.
        MissingDependencyError: onnxruntime, or the plugin, is not installed.
        MlmfastError: `device` is "cuda" or a plugin, and cannot be used; or the graph cannot be
            captured.
    """
    onnxruntime = _library()
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.log_severity_level = 3
    settings.add_session_config_entry(
        "session.intra_op.allow_spinning", "1" if options.spinning else "0"
    )
    # Threads may spin within a run, never between two runs.
    settings.add_session_config_entry("session.force_spinning_stop", "1")
    plugin = PLUGIN_OF.get(options.device)
    if plugin is not None:
        add_plugin(settings, plugin, options.threads)
        providers = None  # those that the settings name
    else:
        providers = _providers(onnxruntime, options)
    # What is not captured would be opened on the CPU, and the reason printed.
    further = {"enable_fallback": 0} if options.cuda_graphs else {}
    try:
        session = onnxruntime.InferenceSession(str(graph), settings, providers=providers, **further)
    except Exception as error:  # onnxruntime's own exceptions share no base but this
        if plugin is not None:
            raise MlmfastError(
                f"{plugin.title} cannot run {graph}: {first_sentence(error)} Use device='cpu'."
            ) from error
        if options.cuda_graphs:
            raise MlmfastError(
                f"onnxruntime does not capture {graph}: {first_sentence(error)} "
                "Leave out cuda_graphs."
            ) from error
        raise _not_opened(graph, error) from error
    if plugin is not None:
        require_nodes(session, plugin)
    if options.device == "cuda" and session.get_providers()[0] != CUDA:
        raise MlmfastError(
            "device='cuda' was asked for, but onnxruntime fell back to the CPU: the NVIDIA driver "
            "or the CUDA and cuDNN libraries could not be loaded (the lines above name what is "
            "missing). pip install 'mlmfast[gpu]' brings the libraries; device='cpu' does without."
        )
    return session


def device_of(session: Any) -> str:
    """Return where a session really runs: "cpu", "cuda" or the device of a plugin."""
    return _DEVICE_OF.get(session.get_providers()[0], "cpu")


def run_session(session: Any, outputs: list[str], feed: dict[str, Any]) -> list[Any]:
    """Run one batch.

    Raises:
        MlmfastError: onnxruntime failed; the message names the batch's shape.
    """
    with running(feed):
        values: list[Any] = session.run(outputs, feed)
    return values


@contextmanager
def running(feed: dict[str, Any]) -> Iterator[None]:
    """Turn any error of onnxruntime into one that names the shape of the batch.

    Raises:
        MlmfastError: whatever onnxruntime raised.
    """
    try:
        yield
    except Exception as error:  # onnxruntime's own exceptions share no base but this
        rows, length = feed["input_ids"].shape
        raise MlmfastError(
            f"onnxruntime could not run a batch of {rows} x {length} tokens: "
            f"{first_sentence(error)}"
        ) from error


def _library() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingDependencyError(
            "Filling masks needs onnxruntime, which is not installed: pip install 'mlmfast[cpu]', "
            "or 'mlmfast[gpu]' for an NVIDIA GPU (one of the two, never both)."
        ) from error
    return onnxruntime


def _providers(onnxruntime: Any, options: SessionOptions) -> list[Any]:
    device = options.device
    available = onnxruntime.get_available_providers()
    if device == "cuda" and CUDA not in available:
        raise MlmfastError(
            "device='cuda' was asked for, but the installed onnxruntime has no CUDA provider (it "
            f"has {', '.join(available)}). Run: pip uninstall -y onnxruntime && "
            "pip install 'mlmfast[gpu]'"
        )
    if device == "cpu" or CUDA not in available:
        return [CPU]
    if hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls()
    # By default the arena doubles with every larger batch and never shrinks. TF32 would round the
    # factors of every fp32 product to 10 bits; whoever wants that speed exports in fp16.
    settings = {"arena_extend_strategy": "kSameAsRequested", "use_tf32": "0"}
    if options.cuda_graphs:
        settings["enable_cuda_graph"] = "1"
    return [(CUDA, settings), CPU]


def _not_opened(graph: Path, error: Exception) -> InputError:
    cause = first_sentence(error)
    # onnxruntime 1.20 tells only the file.
    if "external" in cause.lower() or ".onnx_data" in cause:
        return InputError(
            f"onnxruntime cannot open {graph}: {cause} The weights lie in a file beside it, which "
            "is missing or cut short: copy the whole folder again, or write it again with "
            "`mlmfast export --overwrite`."
        )
    return InputError(
        f"onnxruntime cannot open {graph}: {cause} The file may be damaged or cut short; write it "
        "again with `mlmfast export --overwrite`."
    )
