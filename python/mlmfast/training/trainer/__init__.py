"""`MLMTrainer`, its batches, callbacks and checkpoints."""
