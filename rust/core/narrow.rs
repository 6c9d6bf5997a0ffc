//! Copying token ids from one integer type to another, with a check that every id fits.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;

/// Copies the values from an index on into a slice; returns the slice index of the first value that
/// does not fit its type.
pub type Reader<'a, D> = Box<dyn Fn(usize, &mut [D]) -> Option<usize> + Send + Sync + 'a>;

/// An integer type that blocks can be made of.
pub trait Token: Copy + Default + Send + Sync + TryFrom<i64> + 'static {
    /// The Arrow type.
    const DATA_TYPE: DataType;

    /// A reader that converts `values` to this type; `None` if their type is not supported.
    fn reader(values: &ArrayRef) -> Option<Reader<'_, Self>>;
}

trait Narrow<D>: Copy {
    fn narrow(from: &[Self], to: &mut [D]) -> Option<usize>;
}

// The casts wrap on purpose: a value that changes in the round trip, or its sign, did not fit.
macro_rules! narrow {
    ($($from:ty => $($to:ty)+;)+) => {$($(
        #[allow(
            clippy::cast_lossless, clippy::cast_possible_truncation, clippy::cast_possible_wrap,
            clippy::cast_sign_loss, unused_comparisons, trivial_numeric_casts
        )]
        impl Narrow<$to> for $from {
            fn narrow(from: &[Self], to: &mut [$to]) -> Option<usize> {
                // No branch per value, so that the loop is vectorized; a search follows only on failure.
                let changed = |value: $from, cast: $to| {
                    (cast as $from != value) | ((cast < 0) != (value < 0))
                };
                let mut any = false;
                for (to, &from) in to.iter_mut().zip(from) {
                    *to = from as $to;
                    any |= changed(from, *to);
                }
                if any { from.iter().zip(to).position(|(&from, to)| changed(from, *to)) } else { None }
            }
        }
    )+)+};
}
narrow! {
    i8 => u16 u32 i32 i64;
    i16 => u16 u32 i32 i64;
    i32 => u16 u32 i64;
    i64 => u16 u32 i32;
    u8 => u16 u32 i32 i64;
    u16 => u32 i32 i64;
    u32 => u16 i32 i64;
    u64 => u16 u32 i32 i64;
}

macro_rules! token {
    ($($native:ty = $name:ident from $($other:ident)*;)+) => {$(
        impl Narrow<$native> for $native {
            fn narrow(from: &[Self], to: &mut [$native]) -> Option<usize> {
                to.copy_from_slice(from);
                None
            }
        }
        impl Token for $native {
            const DATA_TYPE: DataType = <$name as arrow_array::ArrowPrimitiveType>::DATA_TYPE;

            fn reader(values: &ArrayRef) -> Option<Reader<'_, Self>> {
                match values.data_type() {
                    &<$name as arrow_array::ArrowPrimitiveType>::DATA_TYPE => {
                        Some(read(values.as_primitive::<$name>().values()))
                    }
                    $(&<$other as arrow_array::ArrowPrimitiveType>::DATA_TYPE => {
                        Some(read(values.as_primitive::<$other>().values()))
                    })*
                    _ => None,
                }
            }
        }
    )+};
}
token! {
    i8 = Int8Type from ;
    i16 = Int16Type from ;
    u8 = UInt8Type from ;
    u64 = UInt64Type from ;
    u16 = UInt16Type from Int8Type Int16Type Int32Type Int64Type UInt8Type UInt32Type UInt64Type;
    u32 = UInt32Type from Int8Type Int16Type Int32Type Int64Type UInt8Type UInt16Type UInt64Type;
    i32 = Int32Type from Int8Type Int16Type Int64Type UInt8Type UInt16Type UInt32Type UInt64Type;
    i64 = Int64Type from Int8Type Int16Type Int32Type UInt8Type UInt16Type UInt32Type UInt64Type;
}

fn read<S: Narrow<D> + Send + Sync, D>(values: &[S]) -> Reader<'_, D> {
    Box::new(|start, to| S::narrow(&values[start..start + to.len()], to))
}

/// The value at `index` of any integer array; `None` for other types.
pub fn value_at(values: &ArrayRef, index: usize) -> Option<i128> {
    macro_rules! at {
        ($($variant:ident $name:ident)+) => {
            match values.data_type() {
                $(DataType::$variant => Some(i128::from(values.as_primitive::<$name>().value(index))),)+
                _ => None,
            }
        };
    }
    at!(Int8 Int8Type Int16 Int16Type Int32 Int32Type Int64 Int64Type
        UInt8 UInt8Type UInt16 UInt16Type UInt32 UInt32Type UInt64 UInt64Type)
}
