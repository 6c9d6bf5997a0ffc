"""Distillation: the teacher, the student made from it, and the loss between them."""
