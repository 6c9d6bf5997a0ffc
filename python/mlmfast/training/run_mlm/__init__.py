"""run_mlm.py as a command, on the package's own road."""
