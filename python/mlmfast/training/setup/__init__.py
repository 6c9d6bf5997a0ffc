"""From the options of `train` to a trainer that is ready to run."""
