//! `JsonRecords`: JSON lists, and objects over several lines, to JSON lines.

use mlmfast_core::records::Reader;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Converts JSON to JSON lines, piece by piece.
#[pyclass(module = "mlmfast._core")]
pub struct JsonRecords(Reader);

#[pymethods]
impl JsonRecords {
    #[new]
    #[pyo3(signature = (field=None))]
    fn new(field: Option<String>) -> Self {
        Self(Reader::new(field))
    }

    /// The lines of a piece; the last one may be incomplete.
    fn feed<'py>(&mut self, py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let reader = &mut self.0;
        let lines = py
            .detach(|| reader.feed(data))
            .map_err(|fault| PyValueError::new_err(fault.to_string()))?;
        Ok(PyBytes::new(py, &lines))
    }

    /// Raise `ValueError` if the text is truncated.
    fn finish(&self) -> PyResult<()> {
        self.0.finish().map_err(|fault| PyValueError::new_err(fault.to_string()))
    }
}
