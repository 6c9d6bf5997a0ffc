//! `document_ids` and `block_lengths`: the documents and the padding of a store's blocks.

use mlmfast_core::documents::{self, ShardStarts};
use numpy::{PyReadonlyArray1, PyReadwriteArray1, PyReadwriteArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::arrays::{gathered, shard_arrays};
use crate::errors::to_python;

/// The offsets and the values of a `list<int32>`.
type Starts<'py> = (PyReadonlyArray1<'py, i32>, PyReadonlyArray1<'py, i32>);

/// Write the number of its document for every position of the blocks `block_ids` (uint64 `[B]`) of
/// `shards` (all uint16 or all uint32, `[n, L]`, C-contiguous) into `out`, int32 `[B, L]`; -1 where
/// `pad_id` ends a block. `starts` has the offsets and values of each shard's document starts, int32.
#[pyfunction]
#[pyo3(signature = (shards, starts, block_ids, out, *, pad_id, threads))]
#[allow(clippy::needless_pass_by_value)] // owned borrows of numpy's
pub fn document_ids<'py>(
    py: Python<'py>,
    shards: Vec<Bound<'py, PyAny>>,
    starts: Vec<Starts<'py>>,
    block_ids: PyReadonlyArray1<'py, u64>,
    mut out: PyReadwriteArray2<'py, i32>,
    pad_id: Option<u32>,
    threads: Option<usize>,
) -> PyResult<()> {
    let numbers = block_ids.as_slice()?;
    let starts: Vec<ShardStarts<'_>> = starts
        .iter()
        .map(|(offsets, starts)| {
            Ok(ShardStarts { offsets: offsets.as_slice()?, starts: starts.as_slice()? })
        })
        .collect::<PyResult<_>>()?;
    let length = out.shape()[1];
    let out = out.as_slice_mut()?;
    if let Ok(shards) = shard_arrays::<u16>(&shards) {
        let shards = gathered(&shards, length)?;
        py.detach(|| documents::document_ids(&shards, &starts, numbers, pad_id, out, threads))
    } else {
        let shards = shard_arrays::<u32>(&shards)?;
        let shards = gathered(&shards, length)?;
        py.detach(|| documents::document_ids(&shards, &starts, numbers, pad_id, out, threads))
    }
    .map_err(to_python)
}

/// Write how many ids each block has before the `pad_id` at its end into `out`, int32 `[n]`, for the
/// first `n` blocks of `shards`.
#[pyfunction]
#[pyo3(signature = (shards, out, *, pad_id, threads))]
#[allow(clippy::needless_pass_by_value)]
pub fn block_lengths<'py>(
    py: Python<'py>,
    shards: Vec<Bound<'py, PyAny>>,
    mut out: PyReadwriteArray1<'py, i32>,
    pad_id: u32,
    threads: Option<usize>,
) -> PyResult<()> {
    let out = out.as_slice_mut()?;
    if let Ok(shards) = shard_arrays::<u16>(&shards) {
        let length = shards.first().map_or(1, |shard| shard.shape()[1]);
        let shards = gathered(&shards, length)?;
        py.detach(|| documents::block_lengths(&shards, pad_id, out, threads))
    } else {
        let shards = shard_arrays::<u32>(&shards)?;
        let length = shards.first().map_or(1, |shard| shard.shape()[1]);
        let shards = gathered(&shards, length)?;
        py.detach(|| documents::block_lengths(&shards, pad_id, out, threads))
    }
    .map_err(to_python)
}
