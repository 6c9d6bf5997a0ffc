"""MDS, the format of MosaicML streaming: folders of shards with an index."""
