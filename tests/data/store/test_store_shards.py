from __future__ import annotations

import numpy as np
import pyarrow as pa

from mlmfast.data.blocks.options import GroupOptions
from mlmfast.data.store.shard_file import write_shard


def test_how_the_tokens_lie_in_memory_does_not_show(tmp_path):
    ids = pa.array(np.arange(791, dtype=np.uint16))
    one = pa.LargeListArray.from_arrays(pa.array([0, 791], pa.int64()), ids)
    two = pa.LargeListArray.from_arrays(pa.array([0, 100, 791], pa.int64()), ids)
    within = pa.concat_arrays([one, one]).slice(1)
    files = []
    for number, lists in enumerate(
        [pa.chunked_array([one]), pa.chunked_array([two[:1], two[1:]]), pa.chunked_array([within])]
    ):
        (tmp_path / str(number)).mkdir()
        written = write_shard(tmp_path / str(number) / "a.arrow", lists, GroupOptions(16))
        assert (written.shard.blocks, written.dropped_tokens) == (49, 7)
        files.append((written, (tmp_path / str(number) / "a.arrow").read_bytes()))
    assert files[0] == files[1] == files[2]
