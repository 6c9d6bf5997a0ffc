//! One column out of delimited text.

use mlmfast_core::csv::{Fault, Fields, Reader};
use numpy::{IntoPyArray, PyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Offsets, the fields' bytes, rows that are null.
type Column<'py> =
    (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<u8>>, Bound<'py, PyArray1<usize>>);

/// Reads one column of a text that comes piece by piece.
#[pyclass(module = "mlmfast._core")]
pub struct CsvColumn(Reader);

#[pymethods]
impl CsvColumn {
    #[new]
    #[pyo3(signature = (delimiter, quote, *, column, columns, line))]
    fn new(delimiter: u8, quote: Option<u8>, column: usize, columns: usize, line: u64) -> Self {
        Self(Reader::new(delimiter, quote, column, columns, line))
    }

    /// The rows that end in a piece: (offsets, bytes, rows that are null).
    fn feed<'py>(&mut self, py: Python<'py>, data: &[u8]) -> PyResult<Column<'py>> {
        let reader = &mut self.0;
        wrapped(py, py.detach(|| reader.feed(data)))
    }

    /// The row that no line end follows.
    fn finish<'py>(&mut self, py: Python<'py>) -> PyResult<Column<'py>> {
        wrapped(py, self.0.finish())
    }

    /// Where the first row begins that has not ended: (bytes before it, its line).
    #[getter]
    fn next_row(&self) -> (u64, u64) {
        self.0.next_row()
    }

    /// Lines on which quotes open that close on another one, a few of them, and how many there are.
    #[getter]
    fn many_lines(&self) -> (Vec<u64>, u64) {
        let (lines, count) = self.0.many_lines();
        (lines.to_vec(), count)
    }

    /// Lines of rows with fewer fields than the header, a few of them, and how many there are.
    #[getter]
    fn short(&self) -> (Vec<u64>, u64) {
        let (lines, count) = self.0.short();
        (lines.to_vec(), count)
    }
}

fn wrapped(py: Python<'_>, found: Result<Fields, Fault>) -> PyResult<Column<'_>> {
    let found = found.map_err(|fault| PyValueError::new_err(fault.to_string()))?;
    Ok((
        found.offsets.into_pyarray(py),
        found.values.into_pyarray(py),
        found.nulls.into_pyarray(py),
    ))
}
