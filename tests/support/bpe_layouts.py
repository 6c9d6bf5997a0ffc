"""Byte-level BPE tokenizers in the layouts of the encoders in use, trained here on a few lines."""

from __future__ import annotations

import json
from functools import cache

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, trainers

TRAINING = [
    "The quick brown fox doesn't jump over the lazy dogs' 12 bowls; they're 345 years, we'll see.",
    "I'm sure it's what you've said, he'd say: naïve café — Äpfel für 3½ €… and so on and so on",
    "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。カタカナ、データ",
    "สวัสดีชาวโลก กู้ที่ Tiếng Việt hôm nay अनुच्छेद १ مرحبا بالعالم 한국어 텍스트 🦊👩‍👩‍👧",
    "def f(x):\n    return x\n\n\tif  x  :\r\n        pass   # done\n",
] * 3

SPACES = [AddedToken(" " * count, normalized=True) for count in range(24, 1, -1)]


@cache
def bpe_tokenizer(layout: str) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    if layout == "modernbert":
        tokenizer.normalizer = normalizers.NFC()
    elif layout == "sequence":
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFC()])
    split = pre_tokenizers.ByteLevel(add_prefix_space=layout == "prefix")
    if layout == "sequence":
        split = pre_tokenizers.Sequence([split])
    tokenizer.pre_tokenizer = split
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        min_frequency=1,
        special_tokens=["<s>", "<pad>", "</s>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TRAINING, trainer)
    if layout == "whole":
        form = json.loads(tokenizer.to_str())
        form["model"]["ignore_merges"] = True
        vocabulary = form["model"]["vocab"]
        for word in ["Ġquickly", "xyzzy", "èªŀæľ¬èªŀ", "ĊĊĊ"]:
            vocabulary[word] = len(vocabulary)
        tokenizer = Tokenizer.from_str(json.dumps(form))
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False)])
    if layout == "modernbert":
        tokenizer.add_tokens(SPACES)
        tokenizer.add_tokens([AddedToken("|||IP|||", normalized=True), "[unused0]"])
    return tokenizer
