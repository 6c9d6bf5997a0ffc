"""Install the wheel of a folder into an empty environment and use it there, as `make wheel` does.

The environment has no Rust toolchain on its path and none of this checkout's packages. Blocks and
masks must work with what the wheel itself asks for, and the server with its extras `serve` and
`cpu`: its page, its documentation, an answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
import venv
import zipfile
from pathlib import Path

SOURCES = Path(__file__).parents[2] / "python"
BLOCKS = """
import sys
import numpy as np, pyarrow as pa
import mlmfast
assert "torch" not in sys.modules and "transformers" not in sys.modules
blocks = mlmfast.group_blocks(pa.array([[5, 6, 7], [8], [9, 10]], pa.list_(pa.uint16())), 2)
assert blocks.to_pylist() == [[5, 6], [7, 8], [9, 10]], blocks
batch = mlmfast.mask_tokens(blocks, mask_token_id=4, vocab_size=11, mlm_probability=1.0)
assert np.array_equal(batch.labels, np.arange(5, 11).reshape(3, 2)), batch
print("the wheel of mlmfast", mlmfast.__version__, "works in", sys.prefix)
"""
# A folder like those of `mlmfast export`, of a model that answers each token by the next one.
MODEL = """
import json
from pathlib import Path
import numpy as np, onnx
from onnx import TensorProto, helper
from tokenizers import Tokenizer, models, pre_tokenizers
words = ["[PAD]", "[UNK]", "[MASK]", "paris", "is", "far"]
folder = Path("onnx")
folder.mkdir()
tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "[UNK]"))
tokenizer.add_special_tokens(words[:3])
tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer.save(str(folder / "tokenizer.json"))
special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "mask_token": "[MASK]"}
(folder / "tokenizer_config.json").write_text(json.dumps(special))
config = {"model_type": "bert", "vocab_size": len(words), "max_position_embeddings": 16}
(folder / "config.json").write_text(json.dumps(config))
ids, mask = (
    helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
    for name in ("input_ids", "attention_mask")
)
logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "sequence", 6])
table = onnx.numpy_helper.from_array(np.roll(np.eye(6, dtype="float32"), 1, axis=1), "table")
node = helper.make_node("Gather", ["table", "input_ids"], ["logits"])
graph = helper.make_graph([node], "next", [ids, mask], [logits], [table])
opset = helper.make_opsetid("", 17)
onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), folder / "model.onnx")
"""


def main(folder: str) -> None:
    """Try the one wheel that lies in `folder`."""
    wheels = sorted(Path(folder).resolve().glob("*.whl"))
    if len(wheels) != 1:
        raise SystemExit(f"expected one wheel in {folder}, found {[w.name for w in wheels]}")
    if missing := files_missing(wheels[0]):
        raise SystemExit(f"{wheels[0].name} lacks {', '.join(missing)}")
    with tempfile.TemporaryDirectory() as where:
        venv.create(where, with_pip=True)
        scripts = Path(where) / ("Scripts" if os.name == "nt" else "bin")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
        clean["PATH"] = os.pathsep.join([str(scripts), "/usr/bin", "/bin"])
        clean["RUSTC"] = "no-rust-here"

        def run(*command: str) -> None:
            subprocess.run([scripts / command[0], *command[1:]], check=True, env=clean, cwd=where)

        def install(*packages: str) -> None:
            quiet = ("-q", "--disable-pip-version-check")
            run("python", "-m", "pip", "install", *quiet, *packages)

        install(str(wheels[0]))
        run("python", "-c", BLOCKS)
        run("mlmfast", "--help")
        run("mlmfast", "version")
        install(f"{wheels[0]}[serve,cpu]", "onnx")
        run("python", "-c", MODEL)
        with subprocess.Popen(
            [scripts / "mlmfast", "serve", "onnx", "--port", "0", "--log-format", "text"],
            stderr=subprocess.PIPE,
            text=True,
            env=clean,
            cwd=where,
        ) as server:
            try:
                try_server(server)
            finally:
                server.kill()


def files_missing(wheel: Path) -> list[str]:
    """The files of the package that the wheel has not, of those that are no build output."""
    there = set(zipfile.ZipFile(wheel).namelist())
    built = (".pyc", ".so", ".pyd")
    return sorted(
        name
        for path in (SOURCES / "mlmfast").rglob("*")
        if path.is_file() and path.suffix not in built
        if (name := path.relative_to(SOURCES).as_posix()) not in there
    )


def try_server(server: subprocess.Popen[str]) -> None:
    """Ask for what is made of files in the wheel, and for an answer."""
    said = []
    for line in server.stderr or ():
        said.append(line)
        if line.startswith("Serving on "):
            url = line.split()[-1]
        elif "ready" in line:
            break
    else:
        raise SystemExit("mlmfast serve ended:\n" + "".join(said))

    def get(path: str, body: bytes | None = None) -> str:
        request = urllib.request.Request(url + path, body, {"Accept": "text/html"})
        with urllib.request.urlopen(request) as answer:
            text: str = answer.read().decode()
            return text

    assert "<textarea" in get("/")
    assert "/v1/fill-mask" in get("/docs")
    asked = json.dumps({"inputs": "paris [MASK] far", "top_k": 1}).encode()
    answer = json.loads(get("/v1/fill-mask", asked))
    assert answer["answers"][0]["masks"][0][0]["sequence"] == "paris paris far", answer
    print("mlmfast serve works there, too")


if __name__ == "__main__":
    main(sys.argv[1])
