"""Where text comes from: a module for each kind; `open` finds what was named."""
