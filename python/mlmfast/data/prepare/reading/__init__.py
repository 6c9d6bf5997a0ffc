"""The documents of all sources: read ahead, decoded, filtered, without duplicates."""
