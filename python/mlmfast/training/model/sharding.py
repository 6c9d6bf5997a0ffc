"""Comparisons that processes which share the weights of a model make together."""

from __future__ import annotations

import torch
import torch.distributed as dist


def holds_everywhere(holds: bool) -> bool:
    """Return whether something holds in all processes.

    Under FSDP a forward pass gathers weights from all processes, so that all must decide alike
    which pass is next. Without a process group, this is the process itself.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return holds
    on_gpu = dist.get_backend() == "nccl"
    flag = torch.tensor(int(holds), device="cuda" if on_gpu else "cpu")
    dist.all_reduce(flag, op=dist.ReduceOp.MIN)
    return bool(flag.item())
