"""What differs between the versions of transformers that are tested."""

from __future__ import annotations

import transformers

REPEATS_HOOKS = "__call__" in vars(transformers.modeling_layers.GradientCheckpointingLayer)
"""Whether a checkpointed layer that runs again runs its hooks again, as in transformers 4."""
