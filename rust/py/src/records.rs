//! JSON lists and objects over many lines as JSON lines.

use mlmfast_core::records::Reader;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Makes JSON lines of a text that comes piece by piece.
#[pyclass(module = "mlmfast._core")]
pub struct JsonRecords(Reader);

#[pymethods]
impl JsonRecords {
    #[new]
    #[pyo3(signature = (field=None))]
    fn new(field: Option<String>) -> Self {
        Self(Reader::new(field))
    }

    /// What a piece gives of lines; the last one may not be whole.
    fn feed<'py>(&mut self, py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let reader = &mut self.0;
        let lines = py
            .detach(|| reader.feed(data))
            .map_err(|fault| PyValueError::new_err(fault.to_string()))?;
        Ok(PyBytes::new(py, &lines))
    }

    /// Raise `ValueError` where the text was cut off.
    fn finish(&self) -> PyResult<()> {
        self.0.finish().map_err(|fault| PyValueError::new_err(fault.to_string()))
    }
}
