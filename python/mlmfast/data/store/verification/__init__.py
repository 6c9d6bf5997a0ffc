"""Comparing the files of block stores with their manifests, to the last byte."""
