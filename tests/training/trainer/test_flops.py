"""How much work a training is, and how fast it is done."""

from __future__ import annotations

import pytest
import torch
import transformers
from torch.utils._python_dispatch import TorchDispatchMode

import processes_at_work as work
from launching import launch
from mlmfast.data.store.store import BlockStore, open_splits
from mlmfast.training.datasets import MaskedBlocks
from mlmfast.training.model.from_scratch import new_model
from mlmfast.training.model.masked_head import ALL_ROWS, LAST_LAYER_TOO, MASKED_ROWS, MaskedHead
from mlmfast.training.trainer import flops
from mlmfast.training.trainer.flops import BlockFlops, Peak, count_block_flops, peak_of
from mlmfast.training.trainer.throughput import ThroughputCallback
from tolerances import GRAPHS, LAYERS
from toy import TINY, make_blocks

LENGTH = 64


def by_hand(*, vocab, hidden, layers, inner, embedding=None):
    """Six operations a weight and token, and attention's two products, as PaLM's appendix B."""
    weights = layers * (4 * hidden * hidden + 2 * hidden * inner)
    if embedding is not None:
        weights += embedding * hidden
    attention = 12 * layers * LENGTH * LENGTH * hidden
    width = embedding or hidden
    return BlockFlops(6 * weights * LENGTH + attention, 6 * (hidden * width + width * vocab))


def head_at_work(model, length):
    """The head of a training that has made a step."""
    head = MaskedHead(model)
    labels = torch.full((2, length), -100)
    labels[:, 1::4] = 5
    head(model, {"input_ids": torch.full((2, length), 5)}, labels)
    return head


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "albert"])
def test_the_count_is_the_formula(kind):
    """ALBERT uses one layer's weights again and again: counting weights would not do."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 500, "max_position_embeddings": LENGTH + 2}
    if kind == "distilbert":
        sizes |= {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}
    else:
        sizes |= TINY
    sizes |= {"embedding_size": 16} if kind == "albert" else {}
    config = transformers.AutoConfig.for_model(kind, **sizes)
    model = transformers.AutoModelForMaskedLM.from_config(config).train()
    head = head_at_work(model, LENGTH)
    state = torch.random.get_rng_state()
    found = count_block_flops(head, LENGTH, 500)
    expected = by_hand(
        vocab=500, hidden=32, layers=2, inner=64, embedding=16 if kind == "albert" else None
    )
    # With a mask on every token nothing can be left away, whatever runs on masked rows alone. (A
    # pooler that some types carry is one product of one token.)
    assert found.of_block(LENGTH) == pytest.approx(expected.of_block(LENGTH), rel=0.002)
    assert found.body <= expected.body * 1.002
    assert found.head_per_mask >= expected.head_per_mask * 0.999
    assert model.training
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("kind", "own_loss", "scope"),
    [
        ("roberta", False, LAST_LAYER_TOO),
        ("albert", False, MASKED_ROWS),  # all its layers are one
        ("roberta", True, ALL_ROWS),
    ],
)
@pytest.mark.parametrize(("count", "bf16"), [(1, False), (1, True), (2, False)])
def test_the_count_is_what_a_step_computes(
    toy_blocks, tmp_path, kind, own_loss, scope, count, bf16
):
    """Of masked rows, of the last layer or of all, in one process and in two; it is said once."""
    found = launch(count, work.count_a_step, toy_blocks, tmp_path, kind, own_loss, bf16)
    for each in found:
        assert each.status == 0, each
        counted, made, said = each.value
        # The pooler's one token, as above.
        assert counted == pytest.approx(made, rel=0.002)
        assert said == [f"the head runs on {scope}"]


def test_a_model_that_cannot_be_asked_has_no_count():
    class Odd(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, picture):
            raise AssertionError

    assert count_block_flops(MaskedHead(Odd()), LENGTH, 10) is None


def test_a_known_gpu_has_its_published_peak_and_others_are_measured(monkeypatch):
    names = {"cuda:0": "NVIDIA H100 PCIe", "cuda:1": "NVIDIA A10G", "cuda:2": "Some Future GPU"}
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: names[device])
    monkeypatch.setattr(flops, "_measure", lambda _device, _dtype: 1e12)
    peak_of.cache_clear()
    assert peak_of("cuda:0", "bf16").flops == 756.5e12
    assert peak_of("cuda:1", "bf16").flops == 70e12
    assert peak_of("cuda:2", "bf16") == Peak(1e12, "matrix products in bf16, measured")
    assert "measured" in peak_of("cuda:0", "fp32").source
    peak_of.cache_clear()


@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
def test_the_processors_peak_is_measured(device):
    """As `cpu:0`, one among several processes, by the same small matrices: by a GPU's, minutes."""
    shapes = set()

    class Products(TorchDispatchMode):
        def __torch_dispatch__(self, function, _types, args=(), kwargs=None):
            if function is torch.ops.aten.mm.default:
                shapes.update(each.shape for each in args)
            return function(*args, **(kwargs or {}))

    peak_of.cache_clear()
    with Products():
        assert 1e8 < peak_of(device, "fp32").flops < 1e15
    assert shapes == {torch.Size([flops.MATRIX, flops.MATRIX])}


AFTER_A_STEP = transformers.TrainerState(global_step=1)


def speed_of(store, clock, monkeypatch, **options):
    monkeypatch.setattr(
        "mlmfast.training.trainer.throughput.time.perf_counter", lambda: clock["now"]
    )
    speed = ThroughputCallback(MaskedBlocks(store, **options), head=None)
    arguments = transformers.TrainingArguments(output_dir="unused", use_cpu=True, report_to=[])
    speed.on_train_begin(arguments, transformers.TrainerState(), None)
    return speed


def test_evaluations_and_checkpoints_are_not_the_steps_time(toy_blocks, monkeypatch):
    store, clock = open_splits(toy_blocks)["train"], {"now": 0.0}
    speed = speed_of(store, clock, monkeypatch)
    clock["now"] = 2.0
    speed.on_step_end(None, AFTER_A_STEP)
    clock["now"] = 50.0
    speed.on_evaluate()
    clock["now"] = 90.0
    speed.on_save()
    clock["now"] = 91.0
    speed.on_step_end(None, AFTER_A_STEP)
    tokens = len(store) * store.block_size * 0.5
    assert speed.since_last(0.5) == {"tokens_per_second": pytest.approx(tokens / 3, abs=0.1)}
    clock["now"] = 92.0
    speed.on_step_end(None, AFTER_A_STEP)
    assert speed.since_last(1.0)["tokens_per_second"] == pytest.approx(tokens, abs=0.1)
    assert speed.since_start(1.0)["tokens_per_second"] == pytest.approx(2 * tokens / 4, abs=0.1)


def test_padding_is_no_work_and_the_head_counts_at_masks(tmp_path, monkeypatch):
    store = BlockStore.open(make_blocks(tmp_path, count=40, packing="none", test_size=None))
    manifest, clock = store.manifest, {"now": 0.0}
    assert manifest.padding_tokens
    speed = speed_of(store, clock, monkeypatch, mlm_probability=0.5)
    clock["now"] = 1.0
    speed.on_step_end(None, AFTER_A_STEP)
    real = manifest.tokens - manifest.padding_tokens
    assert speed.since_start(1.0)["tokens_per_second"] == pytest.approx(real, rel=LAYERS)
    assert speed.mfu(real, 0.5) is None
    ordinary = (
        (
            ~torch.isin(
                torch.from_numpy(store[:].astype("int64")), torch.tensor(manifest.special_ids)
            )
        )
        .sum()
        .item()
    )
    speed.block_flops, speed.peak = BlockFlops(0.0, 10.0), Peak(1e6, "told")
    assert speed.mfu(real, 0.5) == pytest.approx(0.5 * ordinary * 10 / 1e6, rel=GRAPHS)


def test_the_first_blocks_are_counted_by_their_own_padding(tmp_path, monkeypatch):
    store = BlockStore.open(make_blocks(tmp_path, count=40, packing="none", test_size=None))
    clock = {"now": 0.0}
    speed = speed_of(store, clock, monkeypatch, limit=3)
    clock["now"] = 1.0
    speed.on_step_end(None, AFTER_A_STEP)
    real = (store[:3] != store.manifest.pad_token_id).sum()
    assert speed.since_start(1.0)["tokens_per_second"] == pytest.approx(real, rel=LAYERS)


def test_the_trained_model_is_counted_with_its_vocabulary(toy_blocks):
    store = open_splits(toy_blocks)["train"]
    model = new_model(store, model_type="bert", config_overrides=TINY)
    head = head_at_work(model, store.block_size)
    small = count_block_flops(head, store.block_size, store.manifest.vocab_size)
    assert small.head_per_mask >= 6 * (32 * 32 + 32 * store.manifest.vocab_size)


def test_frozen_weights_count_no_gradient_of_their_own():
    """Forward, and the gradient of the hidden states: two thirds, and the adapters' own."""
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    sizes = {"vocab_size": 500, "max_position_embeddings": LENGTH, "intermediate_size": 1024}
    config = transformers.AutoConfig.for_model("bert", **TINY | sizes)
    model = transformers.AutoModelForMaskedLM.from_config(config).train()
    whole = count_block_flops(head_at_work(model, LENGTH), LENGTH, 500)
    # In the first layer, so that the gradient reaches all that lies behind.
    adapters = peft.LoraConfig(target_modules=["layer.0.attention.self.query"], r=1)
    adapted = peft.get_peft_model(model, adapters)
    found = count_block_flops(head_at_work(adapted, LENGTH), LENGTH, 500)
    assert found.of_block(LENGTH) == pytest.approx(whole.of_block(LENGTH) * 2 / 3, rel=0.05)
    assert found.head_per_mask == pytest.approx(whole.head_per_mask * 2 / 3, rel=0.01)
    assert all(weight.grad is None for weight in adapted.parameters())
