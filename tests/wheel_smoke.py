"""Install the wheel of a folder into an empty environment and use it there, as `make wheel` does.

The environment has no Rust toolchain on its path and none of this checkout's packages; blocks and
masks must work with what the wheel itself asks for.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

PROGRAM = """
import sys
import numpy as np, pyarrow as pa
import mlmfast
assert "torch" not in sys.modules and "transformers" not in sys.modules
blocks = mlmfast.group_blocks(pa.array([[5, 6, 7], [8], [9, 10]], pa.list_(pa.uint16())), 2)
assert blocks.to_pylist() == [[5, 6], [7, 8], [9, 10]], blocks
batch = mlmfast.mask_tokens(blocks, mask_token_id=4, vocab_size=11, mlm_probability=1.0)
assert np.array_equal(batch.labels, np.arange(5, 11).reshape(3, 2)), batch
from importlib.resources import files
assert files("mlmfast").joinpath("serving/http/page/files/index.html").is_file()
print("the wheel of mlmfast", mlmfast.__version__, "works in", sys.prefix)
"""


def main(folder: str) -> None:
    """Try the one wheel that lies in `folder`."""
    wheels = sorted(Path(folder).glob("*.whl"))
    if len(wheels) != 1:
        raise SystemExit(f"expected one wheel in {folder}, found {[w.name for w in wheels]}")
    with tempfile.TemporaryDirectory() as where:
        venv.create(where, with_pip=True)
        scripts = Path(where) / ("Scripts" if os.name == "nt" else "bin")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
        clean["PATH"] = os.pathsep.join([str(scripts), "/usr/bin", "/bin"])
        clean["RUSTC"] = "no-rust-here"

        def run(*command: str) -> None:
            subprocess.run([scripts / command[0], *command[1:]], check=True, env=clean, cwd=where)

        run(
            "python",
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            str(wheels[0].resolve()),
        )
        run("python", "-c", PROGRAM)
        run("mlmfast", "--help")
        run("mlmfast", "version")


if __name__ == "__main__":
    main(sys.argv[1])
