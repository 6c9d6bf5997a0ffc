"""Walks docs/adapt.md: runs its commands and its Python, in their order, in one shell.

The page names a model of the Hub; here it is a small one of ../shared/data. It begins with texts
and labels, which `adapt_data.py` writes. What the commands print is shown as it comes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path += [str(Path(__file__).parents[1] / "support"), str(Path(__file__).parent)]
from adapt_data import write_adapt_data
from places import ROOT, SHARED

PAGE = ROOT / "docs" / "adapt.md"
MODEL = SHARED / "models" / "bert-tiny-splade"
_BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_MODEL_LINE = re.compile(r"^export MODEL=.*$", re.MULTILINE)
_PORT = "8080"


def script_of(page: str, model: Path, port: int) -> str:
    """Return the page's blocks as one script that stops at the first failure."""
    blocks = _BLOCK.findall(page)
    parts = ["set -eu", "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"]
    for kind, body in blocks:
        code = body
        if kind == "python":
            code = f"{shlex.quote(sys.executable)} - <<'PYTHON'\n{body}PYTHON\n"
        parts.append(code)
    script = "\n".join(parts)
    changed, lines = _MODEL_LINE.subn(lambda _: f"export MODEL={shlex.quote(str(model))}", script)
    if lines != 1:
        raise SystemExit(f"{PAGE} must name the model in one line, `export MODEL=...`.")
    return changed.replace(_PORT, str(port))


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def check(folder: Path) -> None:
    """Check that the files say what the page says of them."""
    found = json.loads((folder / "probe" / "probe.json").read_text())
    methods = {row["method"] for row in found["rows"]}
    assert methods == {"linear probe", "fine-tuned"}, methods
    assert all(row["accuracy"] > found["majority_accuracy"] for row in found["rows"])
    trained = json.loads((folder / "model" / "mlmfast_training.json").read_text())
    assert trained["after"]["perplexity"] < trained["before"]["perplexity"]
    sizes = [
        sum(file.stat().st_size for file in (folder / name).glob("*.onnx*"))
        for name in ("onnx", "onnx-int8")
    ]
    assert sizes[1] < 0.5 * sizes[0], sizes


def main() -> None:
    """Prepare the data, run the page, check what it left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache" / "adapt")
    parser.add_argument("--folder", type=Path, help="keep the outputs in this new folder")
    arguments = parser.parse_args()
    if not arguments.model.is_dir():
        raise SystemExit(f"There is no model {arguments.model}: name one with --model.")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        write_adapt_data(folder, arguments.cache)
        script = script_of(PAGE.read_text("utf-8"), arguments.model.resolve(), free_port())
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HF_HUB_OFFLINE": "1",
        }
        status = subprocess.run(
            ["bash", "-xc", script], cwd=folder, env=environment, check=False
        ).returncode
        if status:
            raise SystemExit(f"A command of {PAGE.name} failed with status {status}.")
        check(folder)
    print(f"All of {PAGE.name} ran in {time.perf_counter() - started:,.0f} s.")


if __name__ == "__main__":
    main()
