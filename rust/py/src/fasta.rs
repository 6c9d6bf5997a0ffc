//! `FastaRecords`: the sequences of FASTA text.

use mlmfast_core::fasta::{Options, Reader, Sequences, Start};
use numpy::{IntoPyArray, PyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Offsets, the sequences' bytes.
type Column<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<u8>>);

/// Reads the sequences of a text, piece by piece.
#[pyclass(module = "mlmfast._core")]
pub struct FastaRecords(Reader);

#[pymethods]
impl FastaRecords {
    /// Read from byte `offset` in `line` on, which continues a record if `continues`; documents have
    /// at most `chunk` characters.
    #[new]
    #[pyo3(signature = (*, upper, chunk, offset, line, continues))]
    fn new(
        upper: bool,
        chunk: Option<usize>,
        offset: u64,
        line: u64,
        continues: bool,
    ) -> PyResult<Self> {
        if chunk == Some(0) {
            return Err(PyValueError::new_err("chunk must be positive"));
        }
        Ok(Self(Reader::new(Options { upper, chunk }, Start { offset, line, continues })))
    }

    /// The documents that end in a piece: (offsets, bytes).
    fn feed<'py>(&mut self, py: Python<'py>, data: &[u8]) -> PyResult<Column<'py>> {
        let reader = &mut self.0;
        let found = py
            .detach(|| reader.feed(data))
            .map_err(|fault| PyValueError::new_err(fault.to_string()))?;
        Ok(wrapped(py, found))
    }

    /// The last document.
    fn finish<'py>(&mut self, py: Python<'py>) -> Column<'py> {
        wrapped(py, self.0.finish())
    }

    /// The start of the unfinished document: (byte offset, line, whether it continues a record).
    #[getter]
    fn start(&self) -> (u64, u64, bool) {
        let Start { offset, line, continues } = self.0.start();
        (offset, line, continues)
    }
}

fn wrapped(py: Python<'_>, found: Sequences) -> Column<'_> {
    (found.offsets.into_pyarray(py), found.values.into_pyarray(py))
}
