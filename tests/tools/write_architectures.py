"""Write docs/architectures.md from what becomes of every model type: run it after a change.

    PYTHONPATH=python python tests/tools/write_architectures.py

It rewrites the table of the installed transformers and leaves those of other versions.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from architectures import masked_types
from matrix import Outcome, measure

DOCUMENT = Path(__file__).parents[2] / "docs" / "architectures.md"
TITLES = (
    "type",
    "trains",
    "documents",
    "Optimum",
    "head",
    "last layer",
    "padding",
    "difference",
    "remark",
)
INTRODUCTION = """# Model types

This page lists what mlmfast does with every type for which transformers has a masked language
model. `tests/tools/write_architectures.py` writes the tables from what happened to a tiny random
model of each type, and the tests check that it still does.

- **trains**: what runs on the masked rows only during training: the head, or the head and the part
  of the last layer after its attention (output, norms, feed-forward), or nothing. Loss and all
  gradients were those of all rows, up to rounding. The last layer stays whole if one layer serves
  as all of them (albert), if it is not a module of its own (flaubert, xlm), if it keeps keys and
  values (bart, mbart, mvp) or runs again in the backward pass (reformer), if hidden states do not
  lie as batch, length, width (mega, squeezebert), and if the first layer's are mixed in (neomme).
- **documents**: whether the documents of a row are kept apart ([Documents](documents.md)), with the
  attention that transformers chooses. *each alone* means that attention runs document by document
  (on a CPU), *by mask* that it runs under a mask of the whole row. *joined* gives the reason why
  the model cannot: it mixes neighbours in another way (convolutions, pooling, words beside each
  other in mobilebert), hashes, samples or approximates attention, or shifts the text for a decoder.
  BigBird keeps them apart with `attention_type=original_full`.
- **Optimum**: whether `--exporter optimum` writes model.onnx, too. It *knows* the type itself, or
  mlmfast has *registered* the type and its inputs with it; where the remark mentions a patch, it is
  at work for both.
- **head**: the rows on which the head of `fill_mask.onnx` runs.
- **last layer**: the part of the last layer that runs on the masked rows only: the feed-forward
  network after the attention, the queries too, or nothing (-).
- **padding**: *shows* if padding after a text changes the model's predictions for it, in PyTorch
  too. mlmfast gives such a model texts of one length at a time.
- **difference**: the largest |ONNX - PyTorch|, of any logit of `model.onnx` (mlmfast's, and
  Optimum's where it writes one) and any log-probability of `fill_mask.onnx`, at 2 x 16, 3 x 24
  (padded), 1 x 9, 4 x 5 and 1 x 64 tokens, with one mask and with many; the graphs were traced with
  2 x 19 (mlmfast) and 2 x 16 tokens (Optimum). The likeliest token was the same at every mask.

The graphs leave out inputs that plain text does not have: boxes on a page (layoutlm), table cells
(tapas), entities (luke), marks of global attention (longformer), pronunciations and shapes
(roc_bert), images (modernvbert, neomme, ultravbert). If they are not given, PyTorch fills in the
same values or does without them.

What encodes a type's tokenizer is [below](#tokenizers). Some types come with one that exists only
in Python: `prepare`, `train` and `evaluate` take every one of them, but more slowly. ESM's
tokenizer, a list of words, is written as a tokenizer.json with the same ids when it is opened, so
such a model is exported and served like any other. The others of 4.57 have no such form, and
`export` says so: PhoBERT, BERTweet, Japanese BERT, FlauBERT, XLM, RoCBERT, LUKE, TAPAS, Perceiver,
and RoFormer, whose words come from a splitter in Python.

transformers 5 has esmc, eurobert, gte, jina_embeddings_v3, modernvbert, neomme, nomic_bert,
ultrabert and ultravbert, which 4.57 does not have. It no longer has mega, nezha and qdqbert, and no
masked language model of wav2vec2. `make test-transformers5` tests all of it.
"""
REMARKS = {
    "big_bird": "Full attention, so texts up to (5 + 2 x num_random_blocks) x block_size tokens "
    "(704), unless config.json says `original_full`.",
    "esm": "Patched: rotary tables are made for every text. Its tokenizer becomes a "
    "tokenizer.json.",
    "fnet": "Patched: Fourier transforms as matrix products. It has no attention mask.",
    "funnel": "Patched: pooling and relative positions follow the length. Texts of fewer than five "
    "tokens are not compared, for PyTorch fails at them where there are three blocks.",
    "longformer": "Patched: local attention as attention under a band, which costs less for short "
    "texts and length^2 for long ones.",
    "mega": "Patched: moving averages as matrix products. Texts up to max_positions tokens, or up "
    "to a chunk where it uses them.",
    "modernvbert": "Text only: without what reads images.",
    "neomme": "Text only: without what reads images.",
    "perceiver": "Patched: logits for the tokens of the text only. The head trains on all rows, "
    "for the decoder has a row a position.",
    "reformer": "Patched: an encoder that is not reversible. Texts up to a chunk (64 tokens): "
    "longer ones are hashed with random numbers.",
    "tapas": "Patched: positions of plain text.",
    "ultravbert": "Text only: without what reads images.",
    "xmod": "Patched: the adapters of `default_language`, which config.json must name.",
}


def table() -> list[tuple[str, ...]]:
    """Measure every type and return the rows."""
    return [row(measure(kind)) for kind in masked_types()]


def row(outcome: Outcome) -> tuple[str, ...]:
    """Put one type into words; the last but one says a number, and differs between machines."""
    kind = outcome.kind
    if outcome.refused:
        reason = outcome.refused.partition(": ")[2]
        nothing = ("-",) * 4
        trained = (outcome.trains or "-", outcome.documents or "-")
        return (kind, *trained, *nothing, "", reason[:1].upper() + reason[1:])
    difference = max(outcome.model_difference, outcome.fused_difference)
    return (
        kind,
        outcome.trains,
        outcome.documents,
        outcome.optimum or "-",
        "all rows" if outcome.fused == "after the head" else "masked rows",
        outcome.moved or "-",
        "shows" if outcome.padding else "-",
        f"{difference:.0e}",
        REMARKS.get(kind, ""),
    )


def heading() -> str:
    """Name the versions that a table belongs to."""
    from importlib.metadata import PackageNotFoundError, version

    import transformers

    def named(package: str) -> str:
        try:
            return f"{package} {version(package)}"
        except PackageNotFoundError:
            return f"no {package}"

    others = ", ".join(named(name) for name in ("optimum-onnx", "torch", "onnxruntime"))
    return f"## transformers {transformers.__version__}\n\nWith {others}.\n"


def read(document: Path = DOCUMENT) -> dict[str, list[tuple[str, ...]]]:
    """Return the tables' rows by version of transformers."""
    tables: dict[str, list[tuple[str, ...]]] = {}
    text = document.read_text(encoding="utf-8")
    for section in re.split(r"^## transformers ", text, flags=re.MULTILINE)[1:]:
        version, _, body = section.partition("\n")
        body = body.partition("\n## ")[0]
        lines = [line for line in body.splitlines() if line.startswith("| ")][2:]
        tables[version] = [tuple(cell.strip() for cell in line[2:-2].split("|")) for line in lines]
    return tables


def write(document: Path = DOCUMENT) -> None:
    """Rewrite the table of the installed transformers."""
    import transformers

    old = document.read_text(encoding="utf-8") if document.exists() else ""
    sections = re.split(r"^(?=## )", old, flags=re.MULTILINE)[1:]
    mine = f"## transformers {transformers.__version__}\n"
    others = [section.strip() for section in sections if not section.startswith("## transformers ")]
    sections = [section for section in sections if section.startswith("## transformers ")]
    lines = [TITLES, tuple("---" for _ in TITLES), *table()]
    body = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    kept = [section.strip() for section in sections if not section.startswith(mine)]
    written = sorted([*kept, f"{heading()}\n{body}"])
    text = "\n\n".join([INTRODUCTION.strip(), *written, *others])
    document.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    write()
    sys.stdout.write(f"{DOCUMENT} is written.\n")
