//! `pad_documents`: a block for every document.

use mlmfast_core::one_per_block::{Layout, pad};
use numpy::{Element, IntoPyArray, PyReadonlyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::to_python;

/// The ids of the blocks, the number of padding ids, the number of ids that were cut off.
type Blocks<'py> = (Bound<'py, PyAny>, usize, usize);

/// A block for each document that is not empty: `ids[offsets[n]:offsets[n + 1]]`, uint16 or uint32,
/// filled up with `pad_id`, or cut off and then ending with the ids `end`.
#[pyfunction]
#[pyo3(signature = (offsets, ids, *, block_size, pad_id, end))]
#[allow(clippy::needless_pass_by_value)] // owned borrows of numpy's
pub fn pad_documents<'py>(
    py: Python<'py>,
    offsets: PyReadonlyArray1<'py, i64>,
    ids: &Bound<'py, PyAny>,
    block_size: usize,
    pad_id: u32,
    end: Vec<u32>,
) -> PyResult<Blocks<'py>> {
    let offsets = offsets.as_slice()?;
    if let Ok(ids) = ids.extract::<PyReadonlyArray1<'py, u16>>() {
        let narrow = |id: u32| {
            u16::try_from(id).map_err(|_| PyValueError::new_err(format!("{id} is no uint16")))
        };
        let end = end.into_iter().map(narrow).collect::<PyResult<Vec<_>>>()?;
        let layout = Layout { block_size, pad: narrow(pad_id)?, end: &end };
        return padded(py, offsets, ids.as_slice()?, layout);
    }
    let ids = ids.extract::<PyReadonlyArray1<'py, u32>>()?;
    padded(py, offsets, ids.as_slice()?, Layout { block_size, pad: pad_id, end: &end })
}

fn padded<'py, T: Element + Copy + Sync>(
    py: Python<'py>,
    offsets: &[i64],
    ids: &[T],
    layout: Layout<'_, T>,
) -> PyResult<Blocks<'py>> {
    let (blocks, counts) = py.detach(|| pad(offsets, ids, layout)).map_err(to_python)?;
    Ok((blocks.into_pyarray(py).into_any(), counts.padding, counts.truncated))
}
