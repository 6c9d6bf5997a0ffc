//! `Masker`: masks into buffers that the caller owns.

use mlmfast_core::mask::{
    Address, Batch, ChosenTokens, MaskOptions, MaskRate, Masker as CoreMasker, Mode, Output,
    OutputId, RowSource, TokenId,
};
use numpy::{
    Element, IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArray2, PyReadwriteArray2,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::arrays::{contiguous, gathered, shard_arrays};
use crate::errors::to_python;

/// Checked options of masked language modelling, and the tables made from them.
#[pyclass(frozen, module = "mlmfast._core")]
pub struct Masker(CoreMasker);

/// A mask rate as Python gives it.
#[derive(FromPyObject)]
enum Rate {
    Fixed(f64),
    Drawn(String, f64, f64),
}

impl Rate {
    fn into_core(self) -> PyResult<MaskRate> {
        match self {
            Self::Fixed(rate) => Ok(rate.into()),
            Self::Drawn(name, first, second) => {
                MaskRate::drawn(&name, first, second).map_err(to_python)
            }
        }
    }
}

/// The positions and, if there is no buffer for them, the labels.
type Masked<'py> = (Bound<'py, PyArray1<i64>>, Option<Bound<'py, PyAny>>);

/// The arguments of one call that do not depend on the ids' type.
struct Call<'a> {
    key: (u64, u64),
    special_tokens_mask: Option<&'a [bool]>,
    address: Address<'a>,
    strict: bool,
    threads: Option<usize>,
}

/// The arrays that one call writes to.
struct Buffers<'py, O: Element> {
    input_ids: PyReadwriteArray2<'py, O>,
    labels: Option<PyReadwriteArray2<'py, O>>,
    attention_mask: Option<(u32, PyReadwriteArray2<'py, O>)>,
}

#[pymethods]
impl Masker {
    /// `mode`: `"token"`, `"whole_word"` or `"span"`; `word_starts`: bool `[vocab_size]` or None;
    /// `mlm_probability`: a rate, or `("uniform", low, high)` or `("beta", a, b)`.
    #[new]
    #[pyo3(signature = (*, mask_token_id, vocab_size, special_ids, mode, word_starts, span_probability,
        max_span_length, mlm_probability, masks_per_row, at_least_one, mask_replace_prob, random_replace_prob,
        random_specials))]
    #[allow(clippy::too_many_arguments, clippy::fn_params_excessive_bools)]
    fn new(
        mask_token_id: u32,
        vocab_size: u32,
        special_ids: Vec<u32>,
        mode: &str,
        word_starts: Option<PyReadonlyArray1<'_, bool>>,
        span_probability: f64,
        max_span_length: usize,
        mlm_probability: Rate,
        masks_per_row: Option<usize>,
        at_least_one: bool,
        mask_replace_prob: f64,
        random_replace_prob: f64,
        random_specials: bool,
    ) -> PyResult<Self> {
        let starts = word_starts.map(|array| array.as_slice().map(<[bool]>::to_vec)).transpose()?;
        let mode = match (mode, starts) {
            ("token", None) => Mode::Token,
            ("whole_word", Some(starts)) => Mode::WholeWord { starts },
            ("span", starts) => {
                Mode::Span { starts, probability: span_probability, longest: max_span_length }
            }
            (mode, starts) => {
                let with = if starts.is_some() { "with" } else { "without" };
                return Err(PyValueError::new_err(format!(
                    "mode must be 'token', 'whole_word' (with word_starts) or 'span', got {mode:?} {with} word_starts"
                )));
            }
        };
        let options = MaskOptions {
            mask_token_id,
            vocab_size,
            special_ids,
            mode,
            mlm_probability: mlm_probability.into_core()?,
            masks_per_row,
            at_least_one,
            mask_replace_prob,
            random_replace_prob,
            random_specials,
        };
        CoreMasker::new(&options).map(Self).map_err(to_python)
    }

    /// A masker with another rate.
    fn with_probability(&self, mlm_probability: f64) -> PyResult<Self> {
        self.0.with_probability(mlm_probability).map(Self).map_err(to_python)
    }

    /// Mask `input_ids` `[B, L]` into `out_ids` and `out_labels` (both int64 or both int32 `[B, L]`,
    /// C-contiguous).
    ///
    /// With `block_ids` (uint64 `[B]`) the masks are keyed by block number, otherwise by content.
    /// Returns the masked positions, int64 `[M]`, flat into `B * L`, and the labels there, `[M]`, or
    /// None if `out_labels` is given.
    #[pyo3(signature = (input_ids, out_ids, out_labels, *, seed, epoch, block_ids, special_tokens_mask, pad_id, strict,
        threads))]
    // Keyword arguments on the Python side, which arrive as owned borrows of numpy's.
    #[allow(clippy::too_many_arguments, clippy::needless_pass_by_value)]
    fn mask<'py>(
        &self,
        py: Python<'py>,
        input_ids: &Bound<'py, PyAny>,
        out_ids: &Bound<'py, PyAny>,
        out_labels: Option<&Bound<'py, PyAny>>,
        seed: u64,
        epoch: u64,
        block_ids: Option<PyReadonlyArray1<'py, u64>>,
        special_tokens_mask: Option<PyReadonlyArray2<'py, bool>>,
        pad_id: Option<u32>,
        strict: bool,
        threads: Option<usize>,
    ) -> PyResult<Masked<'py>> {
        let blocks = block_ids.as_ref().map(|array| array.as_slice()).transpose()?;
        let call = Call {
            key: (seed, epoch),
            special_tokens_mask: special_tokens_mask.as_ref().map(|a| a.as_slice()).transpose()?,
            address: blocks.map_or(Address::Content { pad_id }, Address::Blocks),
            strict,
            threads,
        };
        if let Ok(buffers) = Buffers::<i64>::extract(out_ids, out_labels, None) {
            self.mask_any(py, input_ids, buffers, &call)
        } else {
            let buffers = Buffers::<i32>::extract(out_ids, out_labels, None)?;
            self.mask_any(py, input_ids, buffers, &call)
        }
    }

    /// Gather the blocks `block_ids` (uint64 `[B]`) of `shards` (all uint16 or all uint32,
    /// `[n, L]`, C-contiguous) and mask them in one pass; see `mask`.
    ///
    /// `out_attention` (of the type of `out_ids`) gets 0 where the ids are `pad_id`, else 1.
    #[pyo3(signature = (shards, block_ids, out_ids, out_labels, out_attention, *, pad_id, seed, epoch, threads))]
    #[allow(clippy::too_many_arguments, clippy::needless_pass_by_value)]
    fn mask_blocks<'py>(
        &self,
        py: Python<'py>,
        shards: Vec<Bound<'py, PyAny>>,
        block_ids: PyReadonlyArray1<'py, u64>,
        out_ids: &Bound<'py, PyAny>,
        out_labels: Option<&Bound<'py, PyAny>>,
        out_attention: Option<&Bound<'py, PyAny>>,
        pad_id: Option<u32>,
        seed: u64,
        epoch: u64,
        threads: Option<usize>,
    ) -> PyResult<Masked<'py>> {
        let blocks = block_ids.as_slice()?;
        let call = Call {
            key: (seed, epoch),
            special_tokens_mask: None,
            address: Address::Blocks(blocks),
            strict: true,
            threads,
        };
        let attention = match (out_attention, pad_id) {
            (None, _) => None,
            (Some(array), Some(pad_id)) => Some((pad_id, array)),
            (Some(_), None) => return Err(PyValueError::new_err("out_attention needs a pad_id")),
        };
        if let Ok(buffers) = Buffers::<i64>::extract(out_ids, out_labels, attention) {
            self.mask_shards(py, &shards, blocks, buffers, &call)
        } else {
            let buffers = Buffers::<i32>::extract(out_ids, out_labels, attention)?;
            self.mask_shards(py, &shards, blocks, buffers, &call)
        }
    }
}

impl Masker {
    fn mask_any<'py, O: OutputId + Element>(
        &self,
        py: Python<'py>,
        ids: &Bound<'py, PyAny>,
        buffers: Buffers<'py, O>,
        call: &Call<'_>,
    ) -> PyResult<Masked<'py>> {
        // The types of stores and tokenizers come first.
        if let Ok(ids) = ids.extract::<PyReadonlyArray2<'_, u16>>() {
            self.mask_matrix(py, &ids, buffers, call)
        } else if let Ok(ids) = ids.extract::<PyReadonlyArray2<'_, i64>>() {
            self.mask_matrix(py, &ids, buffers, call)
        } else if let Ok(ids) = ids.extract::<PyReadonlyArray2<'_, u32>>() {
            self.mask_matrix(py, &ids, buffers, call)
        } else if let Ok(ids) = ids.extract::<PyReadonlyArray2<'_, i32>>() {
            self.mask_matrix(py, &ids, buffers, call)
        } else if let Ok(ids) = ids.extract::<PyReadonlyArray2<'_, i16>>() {
            self.mask_matrix(py, &ids, buffers, call)
        } else if let Ok(ids) = ids.extract::<PyReadonlyArray2<'_, u8>>() {
            self.mask_matrix(py, &ids, buffers, call)
        } else {
            Err(PyTypeError::new_err(
                "input_ids must be a two-dimensional array of uint8, uint16, uint32, int16, int32 or int64",
            ))
        }
    }

    fn mask_matrix<'py, I: TokenId + Element, O: OutputId + Element>(
        &self,
        py: Python<'py>,
        ids: &PyReadonlyArray2<'py, I>,
        buffers: Buffers<'py, O>,
        call: &Call<'_>,
    ) -> PyResult<Masked<'py>> {
        let matrix = contiguous(ids, "input_ids")?;
        self.run(py, RowSource::Matrix(matrix), ids.shape()[1], buffers, call)
    }

    fn mask_shards<'py, O: OutputId + Element>(
        &self,
        py: Python<'py>,
        shards: &[Bound<'py, PyAny>],
        blocks: &[u64],
        buffers: Buffers<'py, O>,
        call: &Call<'_>,
    ) -> PyResult<Masked<'py>> {
        if let Ok(shards) = shard_arrays::<u16>(shards) {
            self.mask_gathered(py, &shards, blocks, buffers, call)
        } else {
            self.mask_gathered(py, &shard_arrays::<u32>(shards)?, blocks, buffers, call)
        }
    }

    fn mask_gathered<'py, I: TokenId + Element, O: OutputId + Element>(
        &self,
        py: Python<'py>,
        shards: &[PyReadonlyArray2<'py, I>],
        blocks: &[u64],
        buffers: Buffers<'py, O>,
        call: &Call<'_>,
    ) -> PyResult<Masked<'py>> {
        let length = buffers.input_ids.shape()[1];
        let shards = gathered(shards, length)?;
        self.run(py, RowSource::Blocks(&shards, blocks), length, buffers, call)
    }

    fn run<'py, I: TokenId, O: OutputId + Element>(
        &self,
        py: Python<'py>,
        rows: RowSource<'_, I>,
        length: usize,
        mut buffers: Buffers<'py, O>,
        call: &Call<'_>,
    ) -> PyResult<Masked<'py>> {
        let batch = Batch {
            rows,
            length,
            special_tokens_mask: call.special_tokens_mask,
            address: call.address,
            strict: call.strict,
        };
        let dense = buffers.labels.is_some();
        let output = buffers.output()?;
        let ChosenTokens { positions, labels } =
            py.detach(|| self.0.mask(&batch, call.key, output, call.threads)).map_err(to_python)?;
        let labels = (!dense).then(|| labels.into_pyarray(py).into_any());
        Ok((positions.into_pyarray(py), labels))
    }
}

impl<'py, O: Element> Buffers<'py, O> {
    fn extract(
        input_ids: &Bound<'py, PyAny>,
        labels: Option<&Bound<'py, PyAny>>,
        attention_mask: Option<(u32, &Bound<'py, PyAny>)>,
    ) -> PyResult<Self> {
        let array = |array: &Bound<'py, PyAny>| array.extract::<PyReadwriteArray2<'py, O>>();
        let attention_mask =
            attention_mask.map(|(pad_id, mask)| array(mask).map(|mask| (pad_id, mask))).transpose();
        let buffers = (array(input_ids), labels.map(array).transpose(), attention_mask);
        let (Ok(input_ids), Ok(labels), Ok(attention_mask)) = buffers else {
            return Err(PyTypeError::new_err(
                "outputs must be distinct writable arrays [B, L], all int64 or all int32",
            ));
        };
        Ok(Self { input_ids, labels, attention_mask })
    }

    fn output(&mut self) -> PyResult<Output<'_, O>> {
        let attention_mask = match &mut self.attention_mask {
            Some((pad_id, mask)) => Some((*pad_id, mask.as_slice_mut()?)),
            None => None,
        };
        Ok(Output {
            input_ids: self.input_ids.as_slice_mut()?,
            labels: self.labels.as_mut().map(|labels| labels.as_slice_mut()).transpose()?,
            attention_mask,
        })
    }
}
