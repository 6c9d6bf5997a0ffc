//! `CsvColumn`: one column of delimited text.

use mlmfast_core::csv::{Fault, Fields, Reader};
use numpy::{IntoPyArray, PyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Offsets, the fields' bytes, rows that are null.
type Column<'py> =
    (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<u8>>, Bound<'py, PyArray1<usize>>);

/// Reads one column of a text, piece by piece.
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

    /// The last row, if no line end follows it.
    fn finish<'py>(&mut self, py: Python<'py>) -> PyResult<Column<'py>> {
        wrapped(py, self.0.finish())
    }

    /// The start of the current, unfinished row: (byte offset, line).
    #[getter]
    fn next_row(&self) -> (u64, u64) {
        self.0.next_row()
    }

    /// Quoted fields that span several lines: the lines on which the first few begin, and their number.
    #[getter]
    fn many_lines(&self) -> (Vec<u64>, u64) {
        let (lines, count) = self.0.many_lines();
        (lines.to_vec(), count)
    }

    /// Rows with fewer fields than the header: the lines of the first few, and their number.
    #[getter]
    fn short(&self) -> (Vec<u64>, u64) {
        let (lines, count) = self.0.short();
        (lines.to_vec(), count)
    }
}

fn wrapped(py: Python<'_>, fields: Result<Fields, Fault>) -> PyResult<Column<'_>> {
    let fields = fields.map_err(|fault| PyValueError::new_err(fault.to_string()))?;
    Ok((
        fields.offsets.into_pyarray(py),
        fields.values.into_pyarray(py),
        fields.nulls.into_pyarray(py),
    ))
}
