//! `RowPacking`: which documents share a row, new in every epoch.

use mlmfast_core::row_packing::RowPacking as CorePacking;
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::errors::to_python;

/// Documents packed into rows by their lengths.
#[pyclass(frozen, module = "mlmfast._core")]
pub struct RowPacking(CorePacking);

#[pymethods]
impl RowPacking {
    /// Pack documents of `lengths` (int32 `[N]`) into rows of `capacity` tokens.
    #[new]
    #[allow(clippy::needless_pass_by_value)] // an owned borrow of numpy's
    fn new(py: Python<'_>, lengths: PyReadonlyArray1<'_, i32>, capacity: usize) -> PyResult<Self> {
        let lengths = lengths.as_slice()?;
        py.detach(|| CorePacking::new(lengths, capacity)).map(Self).map_err(to_python)
    }

    /// Number of rows, in every epoch.
    #[getter]
    fn rows(&self) -> usize {
        self.0.rows()
    }

    /// The documents of `rows` (uint64 `[B]`) in an epoch, uint64 `[D]`, and where those of each row
    /// end, int64 `[B]`.
    #[pyo3(signature = (rows, *, seed, epoch))]
    #[allow(clippy::needless_pass_by_value, clippy::type_complexity)]
    fn documents_of<'py>(
        &self,
        py: Python<'py>,
        rows: PyReadonlyArray1<'py, u64>,
        seed: u64,
        epoch: u64,
    ) -> PyResult<(Bound<'py, PyArray1<u64>>, Bound<'py, PyArray1<i64>>)> {
        let rows = rows.as_slice()?;
        let (documents, ends) =
            py.detach(|| self.0.documents_of(rows, (seed, epoch))).map_err(to_python)?;
        Ok((documents.into_pyarray(py), ends.into_pyarray(py)))
    }
}
