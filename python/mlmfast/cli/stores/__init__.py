"""The commands that write, convert and check block stores."""
