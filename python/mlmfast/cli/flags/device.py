"""The options of the commands that run an ONNX folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

_OPTIONS = (
    click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda", "openvino", "tensorrt-rtx"]),
        default="auto",
        show_default=True,
        help="Where to run; cuda refuses to fall back to the CPU. openvino and tensorrt-rtx are "
        "the plugins onnxruntime-ep-openvino and -nv-tensorrt-rtx, used if they agree with the CPU "
        "provider.",
    ),
    click.option("--threads", type=int, help="Cores for the model.  [default: all it may use]"),
    click.option(
        "--batching",
        type=click.Choice(["shared", "independent"]),
        default="shared",
        show_default=True,
        help="independent: each text by itself, so that no answer depends on its neighbours.",
    ),
)


def device_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `device`, `threads` and `batching`, as `FillMask` takes them."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
