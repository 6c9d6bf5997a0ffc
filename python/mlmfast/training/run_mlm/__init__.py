"""run_mlm.py as a command, with the trainer and the blocks of mlmfast."""
