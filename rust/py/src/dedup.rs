//! `TextHashSet`: exact deduplication.

use arrow_array::cast::AsArray;
use mlmfast_core::dedup::TextHashSet as CoreTextHashSet;
use numpy::{IntoPyArray, PyArray1};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyo3_arrow::PyArray;

/// A set of texts by their 128-bit hashes.
#[pyclass(module = "mlmfast._core")]
#[derive(Default)]
pub struct TextHashSet(CoreTextHashSet);

/// For each text whether it is new, and the hashes of the new ones.
type Fresh<'py> = (Bound<'py, PyArray1<bool>>, Bound<'py, PyBytes>);

#[pymethods]
impl TextHashSet {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    /// Add a `LargeString` array: (bool per text, True if new; the hashes of the new ones).
    #[allow(clippy::needless_pass_by_value)] // what extraction gives
    fn add<'py>(&mut self, py: Python<'py>, texts: PyArray) -> PyResult<Fresh<'py>> {
        let Some(texts) = texts.array().as_string_opt::<i64>() else {
            return Err(PyTypeError::new_err("texts must be a LargeString array"));
        };
        let seen = &mut self.0;
        let (fresh, keys) = py.detach(|| seen.add(texts));
        Ok((fresh.into_pyarray(py), PyBytes::new(py, &keys)))
    }

    /// Add hashes returned by `add`.
    fn load(&mut self, py: Python<'_>, keys: &[u8]) {
        let seen = &mut self.0;
        py.detach(|| seen.load(keys));
    }
}
