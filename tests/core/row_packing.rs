//! Rows of documents: each document once an epoch, as few rows as best-fit decreasing needs.

use mlmfast_core::Error;
use mlmfast_core::packing::best_fit;
use mlmfast_core::row_packing::RowPacking;
use proptest::collection::vec;
use proptest::prelude::*;

/// The documents of every row in an epoch.
fn rows_of(packing: &RowPacking, seed: u64, epoch: u64) -> Vec<Vec<u64>> {
    let rows: Vec<u64> = (0..packing.rows() as u64).collect();
    let (documents, ends) = packing.documents_of(&rows, (seed, epoch)).unwrap();
    let mut first = 0;
    let row =
        |&end: &i64| documents[std::mem::replace(&mut first, end as usize)..end as usize].to_vec();
    ends.iter().map(row).collect()
}

proptest! {
    #[test]
    fn every_document_has_a_row(
        lengths in vec(0_i32..=20, 0..200), seed in any::<u64>(), epoch in any::<u64>(),
    ) {
        let packing = RowPacking::new(&lengths, 20).unwrap();
        // One without tokens takes the place of one.
        let taken: Vec<usize> = lengths.iter().map(|&length| length.max(1) as usize).collect();
        prop_assert_eq!(packing.rows(), best_fit(&taken, 20, 0).ends.len() - 1);
        let rows = rows_of(&packing, seed, epoch);
        for row in &rows {
            prop_assert!(row.iter().map(|&document| taken[document as usize]).sum::<usize>() <= 20);
            prop_assert!(!row.is_empty());
        }
        let mut all = rows.concat();
        all.sort_unstable();
        prop_assert_eq!(all, (0..lengths.len() as u64).collect::<Vec<_>>());
    }
}

#[test]
fn a_document_meets_others_in_each_epoch() {
    let lengths: Vec<i32> = (0..10_000).map(|document| 1 + document % 7).collect();
    let packing = RowPacking::new(&lengths, 8).unwrap();
    let (first, second) = (rows_of(&packing, 1, 0), rows_of(&packing, 1, 1));
    assert_eq!(first, rows_of(&packing, 1, 0));
    let together: std::collections::HashSet<_> =
        first.iter().filter(|row| row.len() > 1).cloned().collect();
    let again = second.iter().filter(|row| together.contains(*row)).count();
    assert!(again < second.len() / 100, "{again} of {} rows", second.len());
    // Every document of a length is as likely in any place: the mean of the numbers in the rows of
    // the first half is that of all, within five standard errors.
    let half = first[..first.len() / 2].concat();
    let mean = half.iter().sum::<u64>() as f64 / half.len() as f64;
    assert!((mean - 4999.5).abs() < 5.0 * 2887.0 / (half.len() as f64).sqrt(), "{mean}");
}

#[test]
fn what_cannot_be_packed_is_refused() {
    for length in [-1, 9] {
        let error = RowPacking::new(&[3, length], 8).unwrap_err();
        assert_eq!(error, Error::DocumentLength { document: 1, length, capacity: 8 });
    }
    let packing = RowPacking::new(&[3, 3], 8).unwrap();
    assert_eq!((packing.rows(), packing.documents()), (1, 2));
    let error = packing.documents_of(&[1], (0, 0)).unwrap_err();
    assert_eq!(error, Error::NoSuchBlock { block: 1, blocks: 1 });
    assert_eq!(RowPacking::new(&[], 8).unwrap().rows(), 0);
}
