//! The core's errors as Python exceptions.

use mlmfast_core::Error;
use pyo3::PyErr;
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};

/// `TypeError` for data of the wrong type, `OverflowError` past the address space, else `ValueError`.
#[allow(clippy::needless_pass_by_value)] // the shape that `map_err` wants
pub fn to_python(error: Error) -> PyErr {
    let message = error.to_string();
    match error {
        Error::NotLists(_)
        | Error::NotIntegers(_)
        | Error::MixedTypes { .. }
        | Error::NoConversion(_) => PyTypeError::new_err(message),
        Error::TooLarge => PyOverflowError::new_err(message),
        _ => PyValueError::new_err(message),
    }
}
