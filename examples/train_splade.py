"""Train a SPLADE model from a masked language model with sentence-transformers.

    pip install 'sentence-transformers[train]>=6'
    mlmfast train blocks/ --model bert-base-uncased --output model/
    python examples/train_splade.py model/ pairs.jsonl splade/
    mlmfast export splade/ onnx/ --task sparse

pairs.jsonl has a line of JSON for each pair: a `query`, and a `document` that answers it. The other
documents of a batch are the wrong answers. The two regularizers decide how many words a vector has:
the larger, the fewer.
"""

from __future__ import annotations

import argparse

from datasets import Dataset
from sentence_transformers import (
    SparseEncoder,
    SparseEncoderTrainer,
    SparseEncoderTrainingArguments,
)
from sentence_transformers.sparse_encoder.losses import (
    SparseMultipleNegativesRankingLoss,
    SpladeLoss,
)


def train(checkpoint: str, pairs: str, output: str, **options: object) -> None:
    """Train on pairs of a query and its document, and save what `mlmfast export` opens.

    Args:
        checkpoint: a masked language model.
        pairs: the file of pairs.
        output: the folder to write.
        **options: further ones of SparseEncoderTrainingArguments.
    """
    # For a masked language model: log(1 + relu) of its logits, and the maximum over the tokens.
    encoder = SparseEncoder(checkpoint)
    loss = SpladeLoss(
        encoder,
        loss=SparseMultipleNegativesRankingLoss(encoder),
        query_regularizer_weight=5e-5,
        document_regularizer_weight=3e-5,
    )
    arguments = SparseEncoderTrainingArguments(
        output_dir=f"{output}-checkpoints", save_strategy="no", report_to="none", **options
    )
    dataset = Dataset.from_json(pairs).select_columns(["query", "document"])
    SparseEncoderTrainer(encoder, args=arguments, train_dataset=dataset, loss=loss).train()
    encoder.save_pretrained(output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", help="a masked language model, a folder or a Hub name")
    parser.add_argument("pairs", help="a file of JSON lines with query and document")
    parser.add_argument("output", help="the folder to write the SPLADE model into")
    parser.add_argument("--epochs", type=float, default=1, help="passes over the pairs")
    parser.add_argument("--batch-size", type=int, default=32, help="pairs in a batch")
    parser.add_argument("--learning-rate", type=float, default=2e-5, help="the highest")
    options = parser.parse_args()
    train(
        options.checkpoint,
        options.pairs,
        options.output,
        num_train_epochs=options.epochs,
        per_device_train_batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        warmup_steps=0.1,
    )
