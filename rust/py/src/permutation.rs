//! `permutation`: the order of the blocks in an epoch.

use mlmfast_core::permutation::Permutation;
use numpy::{IntoPyArray, PyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// The elements at `start..stop` of the permutation of `0..count` in an epoch, uint64.
#[pyfunction]
#[pyo3(signature = (count, start, stop, *, seed, epoch))]
pub fn permutation(
    py: Python<'_>,
    count: u64,
    start: u64,
    stop: u64,
    seed: u64,
    epoch: u64,
) -> PyResult<Bound<'_, PyArray1<u64>>> {
    let order = Permutation::new(count, seed, epoch)
        .filter(|_| start <= stop && stop <= count)
        .ok_or_else(|| {
            PyValueError::new_err(format!(
                "a range within 0..count and a count of at most 2^62 are needed, got {start}..{stop} of {count}"
            ))
        })?;
    let elements: Vec<u64> = py.detach(|| (start..stop).filter_map(|at| order.at(at)).collect());
    Ok(elements.into_pyarray(py))
}
