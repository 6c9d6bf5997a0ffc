//! `Masker`: masks into buffers that the caller owns.

use mlmfast_core::mask::{Address, Batch, MaskOptions, Masker as CoreMasker, TokenId};
use numpy::{
    Element, IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArray2, PyReadwriteArray2,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::errors::to_python;

/// Checked options of masked language modelling, and the tables made from them.
#[pyclass(frozen, module = "mlmfast._core")]
pub struct Masker(CoreMasker);

/// What one call adds to the options, whatever the ids' type.
struct Call<'a> {
    seed: u64,
    epoch: u64,
    special_tokens_mask: Option<&'a [bool]>,
    address: Address<'a>,
    strict: bool,
    threads: Option<usize>,
}

#[pymethods]
impl Masker {
    /// `word_starts`: bool `[vocab_size]` for whole-word masking, else None.
    #[new]
    #[pyo3(signature = (*, mask_token_id, vocab_size, special_ids, word_starts, mlm_probability, mask_replace_prob,
        random_replace_prob))]
    fn new(
        mask_token_id: u32,
        vocab_size: u32,
        special_ids: Vec<u32>,
        word_starts: Option<PyReadonlyArray1<'_, bool>>,
        mlm_probability: f64,
        mask_replace_prob: f64,
        random_replace_prob: f64,
    ) -> PyResult<Self> {
        let word_starts = word_starts.map(|array| array.as_slice().map(<[bool]>::to_vec));
        let options = MaskOptions {
            mask_token_id,
            vocab_size,
            special_ids,
            word_starts: word_starts.transpose()?,
            mlm_probability,
            mask_replace_prob,
            random_replace_prob,
        };
        CoreMasker::new(&options).map(Self).map_err(to_python)
    }

    /// Mask `input_ids` `[B, L]` into `out_ids` and `out_labels` (int64 `[B, L]`, C-contiguous).
    ///
    /// With `block_ids` (uint64 `[B]`) the masks are keyed by block number, without by content.
    /// Returns the masked positions, int64 `[M]`, flat into `B * L`.
    #[pyo3(signature = (input_ids, out_ids, out_labels, *, seed, epoch, block_ids, special_tokens_mask, pad_id, strict,
        threads))]
    // Keyword arguments on the Python side, which arrive as owned borrows of numpy's.
    #[allow(clippy::too_many_arguments, clippy::needless_pass_by_value)]
    fn mask<'py>(
        &self,
        py: Python<'py>,
        input_ids: &Bound<'py, PyAny>,
        mut out_ids: PyReadwriteArray2<'py, i64>,
        mut out_labels: PyReadwriteArray2<'py, i64>,
        seed: u64,
        epoch: u64,
        block_ids: Option<PyReadonlyArray1<'py, u64>>,
        special_tokens_mask: Option<PyReadonlyArray2<'py, bool>>,
        pad_id: Option<u32>,
        strict: bool,
        threads: Option<usize>,
    ) -> PyResult<Bound<'py, PyArray1<i64>>> {
        let blocks = block_ids.as_ref().map(|array| array.as_slice()).transpose()?;
        let call = Call {
            seed,
            epoch,
            special_tokens_mask: special_tokens_mask.as_ref().map(|a| a.as_slice()).transpose()?,
            address: blocks.map_or(Address::Content { pad_id }, Address::Blocks),
            strict,
            threads,
        };
        let out = (out_ids.as_slice_mut()?, out_labels.as_slice_mut()?);
        // The types that stores and tokenizers give come first.
        let positions = if let Ok(ids) = input_ids.extract::<PyReadonlyArray2<'_, u16>>() {
            self.run(py, &ids, out, &call)
        } else if let Ok(ids) = input_ids.extract::<PyReadonlyArray2<'_, i64>>() {
            self.run(py, &ids, out, &call)
        } else if let Ok(ids) = input_ids.extract::<PyReadonlyArray2<'_, u32>>() {
            self.run(py, &ids, out, &call)
        } else if let Ok(ids) = input_ids.extract::<PyReadonlyArray2<'_, i32>>() {
            self.run(py, &ids, out, &call)
        } else if let Ok(ids) = input_ids.extract::<PyReadonlyArray2<'_, i16>>() {
            self.run(py, &ids, out, &call)
        } else if let Ok(ids) = input_ids.extract::<PyReadonlyArray2<'_, u8>>() {
            self.run(py, &ids, out, &call)
        } else {
            Err(PyTypeError::new_err(
                "input_ids must be a two-dimensional array of uint8, uint16, uint32, int16, int32 or int64",
            ))
        }?;
        Ok(positions.into_pyarray(py))
    }
}

impl Masker {
    fn run<I: TokenId + Element>(
        &self,
        py: Python<'_>,
        ids: &PyReadonlyArray2<'_, I>,
        out: (&mut [i64], &mut [i64]),
        call: &Call<'_>,
    ) -> PyResult<Vec<i64>> {
        let input_ids = ids
            .as_slice()
            .map_err(|_| PyValueError::new_err("input_ids must be C-contiguous: copy it first"))?;
        let batch = Batch {
            input_ids,
            length: ids.shape()[1],
            special_tokens_mask: call.special_tokens_mask,
            address: call.address,
            strict: call.strict,
        };
        py.detach(|| self.0.mask(&batch, (call.seed, call.epoch), out, call.threads))
            .map_err(to_python)
    }
}
