"""Block stores at URLs, read through a bounded cache."""
