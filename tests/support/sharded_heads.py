"""A process of two that share a model's weights: loss and gradients beside those of one process.

python sharded_heads.py RANK FILE CASE...; a case is a model type with `+` and options, the last of
which is the version of FSDP. The first process writes a JSON object of all cases to FILE.json.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.fsdp.wrap import ModuleWrapPolicy

from mlmfast.training.model.loss import masked_loss_sum
from mlmfast.training.model.masked_head import MaskedHead
from mlmfast.training.model.masked_rows import at_masks
from tiny_networks import WITHOUT_DROPOUT, batch, make_network

PROCESSES = 2


def layers(model):
    lists = (each for each in model.modules() if isinstance(each, torch.nn.ModuleList))
    return list(next(lists))


def whole_gradients(model, version):
    if version == "2":
        grads = {name: weight.grad for name, weight in model.named_parameters()}
        return {name: grad.full_tensor() for name, grad in grads.items() if grad is not None}
    with FullyShardedDataParallel.summon_full_params(model, with_grads=True):
        return {
            name.replace("_fsdp_wrapped_module.", ""): weight.grad.clone()
            for name, weight in model.named_parameters()
            if weight.grad is not None
        }


class Neighbours(torch.nn.Module):
    """A head that looks at the neighbours of a row."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, hidden):
        return self.head(hidden + hidden.roll(1, dims=1))


def compare(rank, kind, options, version):
    """Compare the mean of both processes' losses, and its gradients, with those of one process."""
    model = make_network(kind, **WITHOUT_DROPOUT)
    if "neighbours" in options:
        model.cls = Neighbours(model.cls)
    inputs, labels = batch(rows=4)
    dense = masked_loss_sum(at_masks(model(**inputs).logits, labels)) / PROCESSES
    dense.backward()
    expected = {
        name: weight.grad.clone()
        for name, weight in model.named_parameters()
        if weight.grad is not None
    }
    model.zero_grad()
    if "checkpointing" in options:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model = sharded(model, version)
    mine = slice(2 * rank, 2 * rank + 2)
    inputs = {name: tensor[mine] for name, tensor in inputs.items()}
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    logger = logging.getLogger("mlmfast")
    logger.addHandler(handler)
    head = MaskedHead(model, last_layer=version == "2", sharded=f"FSDP {version}")
    masked = head(model, inputs, labels[mine])
    logger.removeHandler(handler)
    loss = masked_loss_sum(masked)
    loss.backward()
    found = whole_gradients(model, version)
    total = loss.detach().clone()
    dist.all_reduce(total)
    differences = [
        (found[name] - grad).abs().max().item() if name in found else float("inf")
        for name, grad in expected.items()
    ]
    return {
        "scope": head.scope,
        "rows": len(masked.logits),
        "masked": int((labels[mine] != -100).sum()),
        "loss": total.item() / PROCESSES,
        "dense": dense.item(),
        "gradients": max(differences),
        "said": said,
    }


def sharded(model, version):
    """Divide the weights of a model among the processes, layer by layer."""
    if version == "2":
        for layer in layers(model):
            fully_shard(layer)
        fully_shard(model)
        return model
    return FullyShardedDataParallel(
        model,
        auto_wrap_policy=ModuleWrapPolicy({type(layers(model)[0])}),
        use_orig_params=True,
        device_id=torch.device("cpu"),
    )


def main(rank, file, *cases):
    """Run all cases in one process group."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=PROCESSES)
    results = {}
    for case in cases:
        kind, *options, version = case.split("+")
        results[case] = compare(rank, kind, options, version)
    if rank == 0:
        Path(f"{file}.json").write_text(json.dumps(results))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
