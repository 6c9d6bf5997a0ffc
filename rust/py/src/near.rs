//! `MinHasher`, `equal_keys` and `DocumentClusters`: near-duplicates.

use arrow_array::cast::AsArray;
use mlmfast_core::near::{self, Clusters, MinHash};
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyo3_arrow::PyArray;

use crate::errors::to_python;

/// Records by bucket, and where the buckets begin.
type Records<'py> = (Bound<'py, PyBytes>, Bound<'py, PyArray1<usize>>);

/// The keys of documents by which LSH finds similar ones.
#[pyclass(module = "mlmfast._core", frozen)]
pub struct MinHasher(MinHash);

#[pymethods]
impl MinHasher {
    #[new]
    #[pyo3(signature = (*, ngram, bands, rows))]
    fn new(ngram: usize, bands: usize, rows: usize) -> PyResult<Self> {
        MinHash::new(ngram, bands, rows).map(Self).map_err(to_python)
    }

    /// The records of the documents of a `LargeString` array, whose numbers are uint64: (records, one
    /// bucket after the other; where each of the 256 buckets begins, and the end).
    #[allow(clippy::needless_pass_by_value)] // what extraction gives
    fn records<'py>(
        &self,
        py: Python<'py>,
        texts: PyArray,
        numbers: PyReadonlyArray1<'py, u64>,
    ) -> PyResult<Records<'py>> {
        let Some(texts) = texts.array().as_string_opt::<i64>() else {
            return Err(PyTypeError::new_err("texts must be a LargeString array"));
        };
        let numbers = numbers.as_slice()?;
        let buckets = py.detach(|| self.0.records(texts, numbers)).map_err(to_python)?;
        let bounds = buckets.bounds.to_vec().into_pyarray(py);
        Ok((PyBytes::new(py, &buckets.records), bounds))
    }
}

/// The pairs of documents whose records have an equal key, uint32 `[2 * pairs]`.
#[pyfunction]
pub fn equal_keys<'py>(py: Python<'py>, records: &[u8]) -> Bound<'py, PyArray1<u32>> {
    py.detach(|| near::equal_keys(records)).into_pyarray(py)
}

/// Which of `count` documents belong together.
#[pyclass(module = "mlmfast._core")]
pub struct DocumentClusters(Clusters);

#[pymethods]
impl DocumentClusters {
    #[new]
    fn new(py: Python<'_>, count: u64) -> PyResult<Self> {
        py.detach(|| Clusters::new(count)).map(Self).map_err(to_python)
    }

    /// Join the documents of pairs, as `equal_keys` returns them.
    #[allow(clippy::needless_pass_by_value)]
    fn join(&mut self, py: Python<'_>, pairs: PyReadonlyArray1<'_, u32>) -> PyResult<()> {
        let pairs = pairs.as_slice()?;
        let clusters = &mut self.0;
        py.detach(|| clusters.join(pairs)).map_err(to_python)
    }

    /// The documents that are not the first of their cluster, ascending, uint32.
    fn duplicates<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u32>> {
        py.detach(|| self.0.duplicates()).into_pyarray(py)
    }
}
