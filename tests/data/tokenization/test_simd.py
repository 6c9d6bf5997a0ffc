"""Every path that the processor has reads text alike; the scans' own tests are in the core."""

from __future__ import annotations

import json
import os
import subprocess
import sys

# Prints the path in use and the ids of some texts.
SCRIPT = """
import json, random
from tokenizers import Tokenizer, models
from encoding import encoded
from mlmfast import _core
from bpe_layouts import bpe_tokenizer

random.seed(7)
parts = ["the", " cat", "  ", "'s", "n't", ".", " ", chr(9), chr(13) + chr(10), chr(10), "42", " é"]
parts += ["語本", chr(0x3000), chr(0xA0), "e" + chr(0x301), "한국", "😀", chr(0), "-", "Z" * 70]
texts = ["".join(random.choices(parts, k=length)) for length in range(200)]
texts += [" " * count + "a" * (130 - count) + "." for count in range(130)]
found = [encoded(bpe_tokenizer(name), texts) for name in ("roberta", "modernbert")]
print(json.dumps([_core.simd(), found]))
"""


def test_all_paths_give_the_same_ids():
    outcomes = {}
    for level in ("", "avx512", "avx2", "sse4.2", "sse2", "neon", "scalar"):
        environment = {
            **os.environ,
            "MLMFAST_SIMD": level,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        shown = subprocess.run(
            [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, check=True
        )
        name, ids = json.loads(shown.stdout)
        outcomes[name] = ids
    assert "scalar" in outcomes
    assert all(ids == outcomes["scalar"] for ids in outcomes.values())
