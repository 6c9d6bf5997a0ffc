from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import mlmfast
from mlmfast.errors import InputTypeError
from tolerances import KERNELS


def test_tokens_see_their_own_document_alone():
    ids = np.array([[0, 0, 1, -1], [0, 1, 2, 2]])
    mask = mlmfast.block_diagonal_mask(ids)
    assert mask.shape == (2, 1, 4, 4)
    assert mask.dtype == bool
    for block in range(2):
        for one in range(4):
            for other in range(4):
                assert mask[block, 0, one, other] == (ids[block, one] == ids[block, other])
    assert mask.any(axis=-1).all()


def test_a_packed_block_gives_the_logits_of_its_documents_alone():
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = transformers.RobertaConfig(
        vocab_size=40, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=34, pad_token_id=1,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.RobertaForMaskedLM(config).eval()
    documents = [list(range(5, 5 + n)) for n in (9, 4, 6, 3, 7)]
    table = pa.table({"input_ids": documents})
    how = {"packing": "best_fit", "pad_id": 1}
    packed = mlmfast.group_blocks(table, 16, boundaries="document_ids", **how)
    placed = mlmfast.group_blocks(
        table, 16, boundaries="sequence_lengths", position_offset=2, **how
    )
    ids, numbers = (torch.tensor(packed[name].to_pylist()) for name in packed.column_names)
    positions = torch.tensor(placed["position_ids"].to_pylist())
    mask = mlmfast.block_diagonal_mask(numbers)
    assert mask.dtype == torch.bool
    five = int(transformers.__version__.split(".")[0]) >= 5
    accepted = mask if five else mask[:, 0].float()
    with torch.no_grad():
        together = model(ids, attention_mask=accepted, position_ids=positions).logits
        assert torch.isfinite(together).all()
        found = []
        for block in range(len(ids)):
            for number in range(int(numbers[block].max()) + 1):
                chosen = numbers[block] == number
                document = ids[block][chosen]
                alone = model(document[None]).logits[0]
                assert torch.allclose(together[block][chosen], alone, atol=KERNELS)
                found.append(document.tolist())
    assert sorted(found) == sorted(documents)
    assert (numbers.max(dim=1).values > 0).any()


@pytest.mark.parametrize("wrong", [[[0, 1]], np.zeros(3, int), np.zeros((2, 2)), None])
def test_what_is_no_block_of_ids_is_refused(wrong):
    with pytest.raises(InputTypeError, match="document_ids must be"):
        mlmfast.block_diagonal_mask(wrong)
