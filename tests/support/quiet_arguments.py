"""`transformers.TrainingArguments` for trainings on the CPU that print, report and save nothing."""

from __future__ import annotations

from typing import Any

import transformers


def quiet_arguments(folder: Any, **given: Any) -> transformers.TrainingArguments:
    """Build the arguments; those that are given win."""
    defaults = {
        "use_cpu": True,
        "report_to": "none",
        "save_strategy": "no",
        "dataloader_pin_memory": False,
        "disable_tqdm": True,
    }
    return transformers.TrainingArguments(**{"output_dir": str(folder), **defaults, **given})
