//! One string field of JSON lines.

use mlmfast_core::jsonl;
use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;

/// Offsets, the strings' bytes, rows that are null.
type Strings<'py> =
    (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<u8>>, Bound<'py, PyArray1<usize>>);

/// Count the line ends.
#[pyfunction]
pub fn line_ends(py: Python<'_>, data: &[u8]) -> usize {
    py.detach(|| jsonl::line_ends(data))
}

/// The string at `path` of every line's object: (offsets, bytes, rows that are null); None if a
/// slower reader must read the lines.
#[pyfunction]
#[allow(clippy::needless_pass_by_value)] // arguments from Python
pub fn json_strings<'py>(py: Python<'py>, data: &[u8], path: Vec<String>) -> Option<Strings<'py>> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let strings = py.detach(|| jsonl::strings(data, &path))?;
    Some((
        strings.offsets.into_pyarray(py),
        strings.values.into_pyarray(py),
        strings.nulls.into_pyarray(py),
    ))
}
