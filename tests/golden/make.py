"""Write the golden files anew, from the plain-Python oracle: python tests/golden/make.py.

Only a breaking change of the format (docs/masks.md) is a reason to run this.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent / "support"))

import oracle  # noqa: E402 (it lies in that folder)

VOCABULARY = {"mask_token_id": 4, "vocab_size": 1000, "special_ids": [0, 1, 2, 3, 4]}
# Ids from 600 on go on with a word.
WORD_STARTS = {"first": 600}
KEYS = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (12345, 7, 1 << 40), ((1 << 64) - 1, 3, 9)]
MODES = {
    "token": {},
    "token_ordinary": {"random_ids": "ordinary", "mlm_probability": 0.5, "mask_replace_prob": 0.2,
                       "random_replace_prob": 0.7},
    "token_rare": {"mlm_probability": 0.004},
    "token_at_least_one": {"mlm_probability": 0.004, "at_least_one": True},
    "token_exactly_12": {"masks_per_row": 12},
    "whole_word": {"mode": "whole_word", "word_starts": WORD_STARTS},
    "span": {"mode": "span"},
    "span_of_words": {"mode": "span", "word_starts": WORD_STARTS, "mlm_probability": 0.3,
                      "span_probability": 0.4, "max_span_length": 4},
    "token_uniform": {"mlm_probability": "uniform:0.05,0.5"},
    "token_beta": {"mlm_probability": "beta:0.5,2.5", "at_least_one": True},
    "whole_word_beta": {"mode": "whole_word", "word_starts": WORD_STARTS,
                        "mlm_probability": "beta:3,9"},
    "span_uniform": {"mode": "span", "mlm_probability": "uniform:0,1"},
    "span_exactly_12": {"mode": "span", "masks_per_row": 12},
}  # fmt: skip


def row(length=96):
    """Ordinary ids between specials, with a special in the middle."""
    ids = [5 + number * 7919 % 995 for number in range(length)]
    ids[0], ids[length // 2], ids[-1] = 0, 2, 2
    return ids


def expand(options):
    """Options as the functions take them."""
    if "word_starts" in options:
        first = options["word_starts"]["first"]
        return options | {"word_starts": [token < first for token in range(1000)]}
    return options


def main():
    """Write every file."""
    ids = row()
    for name, options in MODES.items():
        cases = []
        for seed, epoch, block in KEYS:
            masked, labels = oracle.mask_row(
                ids, seed=seed, epoch=epoch, block=block, **VOCABULARY, **expand(options)
            )
            found = [at for at, label in enumerate(labels) if label != -100]
            cases.append(
                {"seed": seed, "epoch": epoch, "block": block, "positions": found,
                 "input_ids": [masked[at] for at in found]}
            )  # fmt: skip
        content = {"vocabulary": VOCABULARY, "options": options, "ids": ids, "cases": cases}
        write(name, content)
    orders = [
        {
            "count": count,
            "seed": seed,
            "epoch": epoch,
            "order": oracle.permutation(count, seed, epoch),
        }
        for count in (1, 2, 10, 300)
        for seed, epoch in ((0, 0), (0, 1), (12345, 7))
    ]
    write("permutation", {"cases": orders})


def write(name, content):
    """One case a line."""
    cases = ",\n".join(json.dumps(case) for case in content.pop("cases"))
    head = json.dumps(content)[1:-1]
    text = "{" + (head + ",\n" if head else "") + f'"cases": [\n{cases}\n]}}\n'
    json.loads(text)
    (FOLDER / f"{name}.json").write_text(text)


if __name__ == "__main__":
    main()
