//! Ids in numpy arrays, as the core reads them.

use mlmfast_core::mask::{Shards, TokenId};
use numpy::{Element, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::errors::to_python;

/// The arrays of all shards, of one type.
pub fn shard_arrays<'py, I: Element>(
    shards: &[Bound<'py, PyAny>],
) -> PyResult<Vec<PyReadonlyArray2<'py, I>>> {
    shards
        .iter()
        .map(|shard| {
            shard.extract().map_err(|_| {
                PyTypeError::new_err("shards must be arrays [n, L], all uint16 or all uint32")
            })
        })
        .collect()
}

/// The shards, whose rows must have `length` ids.
pub fn gathered<'a, I: TokenId + Element>(
    shards: &'a [PyReadonlyArray2<'_, I>],
    length: usize,
) -> PyResult<Shards<'a, I>> {
    let parts: PyResult<Vec<&[I]>> = shards
        .iter()
        .map(|shard| {
            if shard.shape()[1] != length {
                return Err(PyValueError::new_err("all shards must have the rows of out_ids"));
            }
            contiguous(shard, "a shard")
        })
        .collect();
    Shards::new(parts?, length).map_err(to_python)
}

/// The ids of an array, row by row.
pub fn contiguous<'a, I: Element>(
    array: &'a PyReadonlyArray2<'_, I>,
    name: &str,
) -> PyResult<&'a [I]> {
    array
        .as_slice()
        .map_err(|_| PyValueError::new_err(format!("{name} must be C-contiguous: copy it first")))
}
