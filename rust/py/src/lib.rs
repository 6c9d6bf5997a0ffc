//! The binding: extract, release the GIL, call the core, wrap. No algorithm lives here.

mod arrays;
mod blocks;
mod csv;
mod dedup;
mod documents;
mod errors;
mod fasta;
mod filters;
mod jsonl;
mod kmers;
mod mask;
mod near;
mod one_per_block;
mod permutation;
mod records;
mod row_packing;
mod tokenize;

use pyo3::prelude::*;

/// The compiled core of mlmfast. Use the functions of `mlmfast`, which accept more kinds of input.
#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use crate::blocks::{BlockPlan, ListColumn};
    #[pymodule_export]
    use crate::csv::CsvColumn;
    #[pymodule_export]
    use crate::dedup::TextHashSet;
    #[pymodule_export]
    use crate::documents::{block_lengths, document_ids};
    #[pymodule_export]
    use crate::fasta::FastaRecords;
    #[pymodule_export]
    use crate::filters::TextFilters;
    #[pymodule_export]
    use crate::jsonl::{json_strings, line_ends};
    #[pymodule_export]
    use crate::kmers::KmerTable;
    #[pymodule_export]
    use crate::mask::Masker;
    #[pymodule_export]
    use crate::near::{DocumentClusters, MinHasher, equal_keys};
    #[pymodule_export]
    use crate::one_per_block::pad_documents;
    #[pymodule_export]
    use crate::permutation::permutation;
    #[pymodule_export]
    use crate::records::JsonRecords;
    #[pymodule_export]
    use crate::row_packing::RowPacking;
    #[pymodule_export]
    use crate::tokenize::{Encoded, Encoder, simd};

    use super::{Bound, PyModule, PyModuleMethods, PyResult};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("DEBUG_BUILD", cfg!(debug_assertions))
    }
}
