"""The block store: manifest, shards, reading and writing."""
