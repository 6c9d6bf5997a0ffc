//! `BlockPlan`: list columns to blocks, written into buffers that the caller owns.

use mlmfast_core::blocks::Fills;
use mlmfast_core::lists::ListColumn as CoreColumn;
use mlmfast_core::plan::{Packing, Plan, PlanOptions, Remainder};
use numpy::{IntoPyArray, PyArray1, PyReadwriteArray1};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3_arrow::PyArray;
use pyo3_arrow::input::AnyArray;

use crate::errors::to_python;

/// An Arrow column of lists of integers, validated once.
#[pyclass(frozen, module = "mlmfast._core")]
pub struct ListColumn(CoreColumn);

#[pymethods]
impl ListColumn {
    #[new]
    fn new(py: Python<'_>, column: AnyArray) -> PyResult<Self> {
        let (chunks, field) = column.into_chunked_array()?.into_inner();
        py.detach(|| CoreColumn::try_new(&chunks, field.data_type())).map(Self).map_err(to_python)
    }

    /// Tokens of all rows.
    #[getter]
    fn tokens(&self) -> PyResult<usize> {
        self.0.tokens().map_err(to_python)
    }

    /// The tokens' numpy type name, such as "uint16".
    #[getter]
    fn dtype(&self) -> String {
        self.0.item_type().to_string().to_lowercase()
    }
}

/// The layout of blocks, computed for one column and valid for all columns with rows of the same
/// lengths.
#[pyclass(frozen, module = "mlmfast._core")]
pub struct BlockPlan(Plan);

#[pymethods]
impl BlockPlan {
    /// Each flag is True if `write` will receive the id of that name.
    #[new]
    #[pyo3(signature = (column, block_size, *, remainder, packing, separator_id, cls_id, sep_id, boundaries))]
    #[allow(clippy::too_many_arguments, clippy::fn_params_excessive_bools)] // keyword arguments in Python
    fn new(
        py: Python<'_>,
        column: &ListColumn,
        block_size: usize,
        remainder: &str,
        packing: &str,
        separator_id: bool,
        cls_id: bool,
        sep_id: bool,
        boundaries: bool,
    ) -> PyResult<Self> {
        let remainder = match remainder {
            "drop" => Remainder::Drop,
            "pad" => Remainder::Pad,
            "keep" => Remainder::Keep,
            other => return Err(unknown("remainder", other)),
        };
        let packing = match packing {
            "concat" => Packing::Concat,
            "best_fit" => Packing::BestFit,
            other => return Err(unknown("packing", other)),
        };
        let options = PlanOptions {
            block_size,
            remainder,
            packing,
            separator: separator_id,
            cls: cls_id,
            sep: sep_id,
            boundaries,
        };
        py.detach(|| Plan::new(&column.0, options)).map(Self).map_err(to_python)
    }

    #[getter]
    fn tokens(&self) -> usize {
        self.0.tokens()
    }

    #[getter]
    fn dropped_tokens(&self) -> usize {
        self.0.dropped()
    }

    #[getter]
    fn padding_tokens(&self) -> usize {
        self.0.padding()
    }

    #[getter]
    fn blocks(&self) -> usize {
        self.0.blocks()
    }

    /// Number of positions of all blocks: the required length of the buffers.
    #[getter]
    fn length(&self) -> usize {
        self.0.length()
    }

    /// The blocks' values as a pyarrow array over the column's own memory; None if tokens must be
    /// moved.
    fn share(&self, py: Python<'_>, column: &ListColumn) -> PyResult<Option<Py<PyAny>>> {
        let shared = py.detach(|| self.0.share(&column.0)).map_err(to_python)?;
        shared
            .map(|values| Ok(PyArray::from_array_ref(values).to_pyarrow(py)?.unbind()))
            .transpose()
    }

    /// Write the column's blocks into `out`, an integer array `[length]`, converted to its type.
    #[pyo3(signature = (column, out, *, separator_id, cls_id, sep_id, pad_id, threads))]
    #[allow(clippy::too_many_arguments)] // keyword arguments in Python
    fn write(
        &self,
        py: Python<'_>,
        column: &ListColumn,
        out: &Bound<'_, PyAny>,
        separator_id: Option<i64>,
        cls_id: Option<i64>,
        sep_id: Option<i64>,
        pad_id: Option<i64>,
        threads: Option<usize>,
    ) -> PyResult<()> {
        let fills = Fills { separator: separator_id, cls: cls_id, sep: sep_id, pad: pad_id };
        let blocks = 0..self.0.blocks();
        macro_rules! write {
            ($($native:ty)+) => {$(
                if let Ok(mut out) = out.extract::<PyReadwriteArray1<'_, $native>>() {
                    let out = out.as_slice_mut()?;
                    return py
                        .detach(|| self.0.write(&column.0, &fills, blocks, out, threads))
                        .map_err(to_python);
                }
            )+};
        }
        write!(u16 u32 i32 i64 u8 i8 i16 u64);
        Err(PyTypeError::new_err("out must be a writable array of integers in one dimension"))
    }

    /// Lengths of the documents in each block: (offsets int64 `[blocks + 1]`, lengths int32).
    #[pyo3(signature = (*, threads))]
    #[allow(clippy::type_complexity)] // two arrays
    fn segments<'py>(
        &self,
        py: Python<'py>,
        threads: Option<usize>,
    ) -> PyResult<(Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<i32>>)> {
        let segments = py.detach(|| self.0.segments(threads)).map_err(to_python)?;
        Ok((segments.ends.into_pyarray(py), segments.lengths.into_pyarray(py)))
    }

    /// Where documents begin in each block: (offsets int64 `[blocks + 1]`, starts int32).
    #[pyo3(signature = (*, threads))]
    #[allow(clippy::type_complexity)]
    fn document_starts<'py>(
        &self,
        py: Python<'py>,
        threads: Option<usize>,
    ) -> PyResult<(Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<i32>>)> {
        let documents = py.detach(|| self.0.document_starts(threads)).map_err(to_python)?;
        Ok((documents.ends.into_pyarray(py), documents.starts.into_pyarray(py)))
    }

    /// Write the documents' numbers within their blocks into `out`, int32 `[length]`.
    #[pyo3(signature = (out, *, threads))]
    // Keyword arguments on the Python side, which arrive as owned borrows of numpy's.
    #[allow(clippy::needless_pass_by_value)]
    fn document_ids(
        &self,
        py: Python<'_>,
        mut out: PyReadwriteArray1<'_, i32>,
        threads: Option<usize>,
    ) -> PyResult<()> {
        let out = out.as_slice_mut()?;
        py.detach(|| self.0.document_ids(&self.0.segments(threads)?, out)).map_err(to_python)
    }

    /// Write the positions within the documents into `out`, int32 `[length]`.
    #[pyo3(signature = (out, *, offset, threads))]
    #[allow(clippy::needless_pass_by_value)]
    fn position_ids(
        &self,
        py: Python<'_>,
        mut out: PyReadwriteArray1<'_, i32>,
        offset: i32,
        threads: Option<usize>,
    ) -> PyResult<()> {
        let out = out.as_slice_mut()?;
        py.detach(|| self.0.position_ids(&self.0.segments(threads)?, offset, out))
            .map_err(to_python)
    }
}

fn unknown(option: &str, value: &str) -> PyErr {
    PyValueError::new_err(format!("unknown {option} {value:?}"))
}
