"""Trainings in phases: their batches, learning rate, evaluations and checkpoints."""
