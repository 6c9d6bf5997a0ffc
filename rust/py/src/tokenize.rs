//! `Encoder`: strings in Arrow to token ids in Arrow.

use std::sync::{Mutex, PoisonError};

use mlmfast_core::tokenize::any::Tokenizer;
use mlmfast_core::tokenize::encode::Around;
use mlmfast_core::tokenize::output::{Encoded as CoreEncoded, StoredId};
use mlmfast_core::tokenize::simd as levels;
use mlmfast_core::tokenize::texts::Texts;
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3_arrow::input::AnyArray;

use crate::errors::to_python;

/// The vector instructions in use: the processor's best, or those that `MLMFAST_SIMD` names.
#[pyfunction]
#[must_use]
pub fn simd() -> &'static str {
    levels::name(levels::level())
}

/// An encoder for a tokenizer whose pipeline the core supports; `ValueError` for others.
#[pyclass(frozen, module = "mlmfast._core")]
pub struct Encoder(Tokenizer);

#[pymethods]
impl Encoder {
    /// Read a tokenizer.json. Texts with a code point of `exceptions`, ranges (first, one past the
    /// last), are left pending.
    #[new]
    #[pyo3(signature = (json, exceptions))]
    #[allow(clippy::needless_pass_by_value)] // arguments from Python
    fn new(py: Python<'_>, json: String, exceptions: Vec<(u32, u32)>) -> PyResult<Self> {
        let points: Vec<u32> =
            exceptions.into_iter().flat_map(|(first, end)| first..end.min(0x11_0000)).collect();
        py.detach(|| Tokenizer::from_json(&json, &points)).map(Self).map_err(to_python)
    }

    /// The family's name.
    #[getter]
    fn family(&self) -> &'static str {
        self.0.family()
    }

    /// Encode a column of strings except pending parts, as uint16 if `narrow`, with the ids `before`
    /// and `after` around each text.
    #[pyo3(signature = (texts, *, before, after, narrow, threads))]
    #[allow(clippy::needless_pass_by_value)] // arguments from Python
    fn encode(
        &self,
        py: Python<'_>,
        texts: AnyArray,
        before: Vec<u32>,
        after: Vec<u32>,
        narrow: bool,
        threads: Option<usize>,
    ) -> PyResult<Encoded> {
        let around = Around { before: &before, after: &after };
        encode_column(py, texts, |texts| {
            Ok(if narrow {
                AnyEncoded::Narrow(self.0.encode(texts, around, threads)?)
            } else {
                AnyEncoded::Wide(self.0.encode(texts, around, threads)?)
            })
        })
    }
}

/// Ids in either width.
pub enum AnyEncoded {
    /// uint16.
    Narrow(CoreEncoded<u16>),
    /// uint32.
    Wide(CoreEncoded<u32>),
}

/// Encode a column of strings from Python, without the interpreter's lock.
///
/// # Errors
/// The column does not hold strings, or `encode` fails.
pub fn encode_column(
    py: Python<'_>,
    texts: AnyArray,
    encode: impl Send + FnOnce(&Texts) -> mlmfast_core::Result<AnyEncoded>,
) -> PyResult<Encoded> {
    let (chunks, _) = texts.into_chunked_array()?.into_inner();
    py.detach(|| {
        let texts = Texts::try_new(&chunks)?;
        let encoded = encode(&texts)?;
        Ok(Encoded { texts, encoded: Mutex::new(Some(encoded)) })
    })
    .map_err(to_python)
}

/// The ids of a column of strings, and the stretches of text that only the library can encode.
#[pyclass(frozen, module = "mlmfast._core")]
pub struct Encoded {
    texts: Texts,
    encoded: Mutex<Option<AnyEncoded>>,
}

#[pymethods]
impl Encoded {
    /// The pending stretches, in order.
    fn pending(&self) -> PyResult<Vec<String>> {
        let encoded = self.encoded.lock().unwrap_or_else(PoisonError::into_inner);
        let pending: Vec<_> = match &*encoded {
            Some(AnyEncoded::Narrow(encoded)) => encoded.pending().copied().collect(),
            Some(AnyEncoded::Wide(encoded)) => encoded.pending().copied().collect(),
            None => return Err(finished()),
        };
        pending
            .into_iter()
            .map(|place| {
                let bytes = self.texts.bytes(place.row).map_err(to_python)?;
                Ok(String::from_utf8_lossy(&bytes[place.start..place.end]).into_owned())
            })
            .collect()
    }

    /// The rows that the pending stretches are in, in order.
    fn pending_rows(&self) -> PyResult<Vec<usize>> {
        let encoded = self.encoded.lock().unwrap_or_else(PoisonError::into_inner);
        match &*encoded {
            Some(AnyEncoded::Narrow(encoded)) => {
                Ok(encoded.pending().map(|place| place.row).collect())
            }
            Some(AnyEncoded::Wide(encoded)) => {
                Ok(encoded.pending().map(|place| place.row).collect())
            }
            None => Err(finished()),
        }
    }

    /// Insert the ids of the pending stretches, of which each has the number given in `lengths`.
    /// Returns the offsets of the texts and all ids.
    #[pyo3(signature = (ids, lengths))]
    #[allow(clippy::needless_pass_by_value)] // arguments from Python
    fn finish<'py>(
        &self,
        py: Python<'py>,
        ids: PyReadonlyArray1<'py, u32>,
        lengths: PyReadonlyArray1<'py, usize>,
    ) -> PyResult<(Bound<'py, PyArray1<i64>>, Bound<'py, PyAny>)> {
        let (ids, lengths) = (ids.as_slice()?, lengths.as_slice()?);
        let encoded = self.encoded.lock().unwrap_or_else(PoisonError::into_inner).take();
        match encoded.ok_or_else(finished)? {
            AnyEncoded::Narrow(encoded) => lists(py, encoded, ids, lengths),
            AnyEncoded::Wide(encoded) => lists(py, encoded, ids, lengths),
        }
    }
}

fn lists<'py, T: StoredId + numpy::Element>(
    py: Python<'py>,
    encoded: CoreEncoded<T>,
    ids: &[u32],
    lengths: &[usize],
) -> PyResult<(Bound<'py, PyArray1<i64>>, Bound<'py, PyAny>)> {
    let (offsets, ids) = py.detach(|| encoded.finish(ids, lengths)).map_err(to_python)?;
    Ok((offsets.into_pyarray(py), ids.into_pyarray(py).into_any()))
}

fn finished() -> PyErr {
    PyValueError::new_err("the ids have been handed out already")
}
