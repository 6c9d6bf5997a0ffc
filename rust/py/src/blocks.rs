//! `group_lists`: one list column to blocks.

use mlmfast_core::blocks::{GroupOptions, Remainder, group};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3_arrow::PyArray;
use pyo3_arrow::input::AnyArray;

use crate::errors::to_python;

/// Concatenate the rows of one Arrow list column and cut them into blocks.
///
/// Returns the blocks as a pyarrow array and the number of tokens before cutting.
#[pyfunction]
#[pyo3(signature = (column, block_size, *, remainder, separator_id, pad_id, threads))]
pub fn group_lists(
    py: Python<'_>,
    column: AnyArray,
    block_size: usize,
    remainder: &str,
    separator_id: Option<i64>,
    pad_id: Option<i64>,
    threads: Option<usize>,
) -> PyResult<(Py<PyAny>, usize)> {
    let remainder = match (remainder, pad_id) {
        ("drop", _) => Remainder::Drop,
        ("keep", _) => Remainder::Keep,
        ("pad", Some(id)) => Remainder::Pad(id),
        ("pad", None) => return Err(PyValueError::new_err("remainder='pad' needs pad_id")),
        (other, _) => {
            let message = format!("remainder must be 'drop', 'pad' or 'keep', got '{other}'");
            return Err(PyValueError::new_err(message));
        }
    };
    let options = GroupOptions { block_size, remainder, separator: separator_id, threads };
    let (chunks, field) = column.into_chunked_array()?.into_inner();
    let grouped = py.detach(|| group(&chunks, field.data_type(), &options)).map_err(to_python)?;
    let blocks = PyArray::from_array_ref(grouped.blocks);
    let blocks = blocks.to_pyarrow(py)?.unbind();
    Ok((blocks, grouped.tokens))
}
