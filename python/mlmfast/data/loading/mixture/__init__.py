"""Blocks drawn from several stores, each with its share: `Mixture`."""
