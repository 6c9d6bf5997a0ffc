//! `TextFilters`: documents and lines that the rules of published corpora leave out.

use arrow_array::LargeStringArray;
use arrow_array::cast::AsArray;
use mlmfast_core::filters::{Filters, LINE_RULES, RULES};
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3_arrow::PyArray;

use crate::errors::to_python;

/// Offsets and bytes of texts.
type Texts<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<u8>>);
/// Texts, if they have changed; rules; lines by rule.
type Filtered<'py> = (Option<Texts<'py>>, Bound<'py, PyArray1<u8>>, Bound<'py, PyArray2<u32>>);

/// Filters by name.
#[pyclass(module = "mlmfast._core", frozen)]
pub struct TextFilters(Filters);

#[pymethods]
impl TextFilters {
    #[new]
    #[allow(clippy::needless_pass_by_value)] // what extraction gives
    fn new(names: Vec<String>) -> PyResult<Self> {
        Filters::new(names.iter().map(String::as_str)).map(Self).map_err(to_python)
    }

    /// The names of the rules that leave out documents, by their numbers.
    #[staticmethod]
    fn rules() -> Vec<&'static str> {
        RULES.to_vec()
    }

    /// The names of the rules that leave out lines.
    #[staticmethod]
    fn line_rules() -> Vec<&'static str> {
        LINE_RULES.to_vec()
    }

    /// Filter a `LargeString` array: ((offsets, bytes) of the texts, if they may have changed, with
    /// nulls as empty texts; uint8 per text, the number of the rule that leaves it out, 255 for none;
    /// uint32 `[texts, line rules]`, the lines that were left out).
    #[allow(clippy::needless_pass_by_value)]
    fn apply<'py>(&self, py: Python<'py>, texts: PyArray) -> PyResult<Filtered<'py>> {
        let Some(texts) = texts.array().as_string_opt::<i64>() else {
            return Err(PyTypeError::new_err("texts must be a LargeString array"));
        };
        let found = py.detach(|| self.0.apply(texts));
        let lines = found.lines.as_flattened().to_vec().into_pyarray(py);
        let lines = lines.reshape([found.rules.len(), LINE_RULES.len()])?;
        let buffers = |texts: LargeStringArray| {
            let offsets = texts.value_offsets().to_vec().into_pyarray(py);
            (offsets, texts.value_data().to_vec().into_pyarray(py))
        };
        Ok((found.texts.map(buffers), found.rules.into_pyarray(py), lines))
    }
}
