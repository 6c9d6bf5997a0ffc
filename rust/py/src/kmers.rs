//! `KmerTable`: sequences to the ids of their overlapping k-mers.

use mlmfast_core::tokenize::encode::Around;
use mlmfast_core::tokenize::kmers::Kmers;
use numpy::PyReadonlyArray1;
use pyo3::prelude::*;
use pyo3_arrow::input::AnyArray;

use crate::errors::to_python;
use crate::tokenize::{AnyEncoded, Encoded, encode_column};

/// The ids of all k-mers of an alphabet.
#[pyclass(frozen, module = "mlmfast._core")]
pub struct KmerTable(Kmers);

#[pymethods]
impl KmerTable {
    /// `ids` has the id of each k-mer, in the order of `itertools.product(alphabet, repeat=k)`.
    #[new]
    #[pyo3(signature = (ids, *, k, stride, alphabet))]
    #[allow(clippy::needless_pass_by_value)] // arguments from Python
    fn new(
        ids: PyReadonlyArray1<'_, u32>,
        k: usize,
        stride: usize,
        alphabet: &[u8],
    ) -> PyResult<Self> {
        let ids = ids.as_slice()?.to_vec();
        Kmers::new(k, stride, alphabet, ids).map(Self).map_err(to_python)
    }

    /// Encode a column of sequences, as uint16 if `narrow`, with the ids `before` and `after` around
    /// each. Sequences with a letter outside the alphabet are left pending.
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
