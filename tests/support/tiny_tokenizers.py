"""Small tokenizers for tests, made here, so that no test needs a network or a file of others."""

from __future__ import annotations

from pathlib import Path

WORDS = (
    "the quick brown fox jumps over the lazy dog while seven wizards quietly mix a jar of very "
    "strange unbelievably complicated potions and nobody notices that the moon is rising again"
)
JAPANESE = "\u65e5\u672c\u8a9e\u306e\u6587\u306f\u30b3\u30fc\u30d2\u30fc\u3068\u66f8\u304f\u3002"


def bert_tokenizer(folder: Path):
    """A WordPiece tokenizer of a few dozen pieces, as transformers' BertTokenizerFast."""
    from transformers import BertTokenizerFast

    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces += [chr(letter) for letter in range(ord("a"), ord("z") + 1)]
    pieces += ["##" + piece for piece in pieces[5:31]] + ["##ing", "##ably", "##ably"[2:]]
    pieces += sorted({word for word in WORDS.split() if len(word) < 6 and len(word) > 1})
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(dict.fromkeys(pieces)) + "\n", encoding="utf-8")
    return BertTokenizerFast.from_pretrained(folder, model_max_length=64)


def roberta_tokenizer(folder: Path, vocab_size: int = 330):
    """A byte-level BPE tokenizer trained on a sentence, as transformers' RobertaTokenizerFast."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import RobertaTokenizerFast

    trainer = ByteLevelBPETokenizer()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer.train_from_iterator([WORDS] * 4, vocab_size, 1, False, specials)
    trainer.save_model(str(folder))
    return RobertaTokenizerFast(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=64
    )


def japanese_tokenizer():
    """A SentencePiece-like tokenizer whose pieces are single characters, with a marker of words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    marked = [f"\u2581{letter}" for letter in "abcdefgh"]
    pieces = [*specials, *marked, "\u2581", *sorted(set(JAPANESE))]
    tokenizer = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    names = ("bos_token", "pad_token", "eos_token", "unk_token", "mask_token")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **dict(zip(names, specials, strict=True))
    )
