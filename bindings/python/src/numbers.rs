//! Numbers that are arguments: what is none, or is too large, is told in a sentence.

use anasazi_sys::Member;
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyTuple};

use crate::errors::wrong;

/// A number of so many bits at most: `what` says which, for the sentence.
pub(crate) fn number(what: &str, bits: u32, given: &Bound<'_, PyAny>) -> PyResult<u64> {
    let sentence = || format!("{what} is an integer from 0 to 2**{bits} - 1, not {}", shown(given));
    if given.is_instance_of::<PyBool>() {
        return Err(PyTypeError::new_err(sentence()));
    }
    match given.extract::<u64>() {
        Ok(number) if bits == u64::BITS || number >> bits == 0 => Ok(number),
        Err(error) if !error.is_instance_of::<PyOverflowError>(given.py()) => {
            Err(PyTypeError::new_err(sentence()))
        }
        _ => Err(wrong(given.py(), &sentence())),
    }
}

/// A member: a pair of numbers. `what` says which, for the sentence.
pub(crate) fn pair(what: &str, given: &Bound<'_, PyAny>) -> PyResult<Member> {
    let Some(pair) = given.cast::<PyTuple>().ok().filter(|pair| pair.len() == 2) else {
        return Err(PyTypeError::new_err(format!(
            "{what} is a Member, or a pair of numbers, node and session, not {}",
            shown(given)
        )));
    };
    let part =
        |name: &str, at: usize| number(&format!("{what}'s {name}"), u64::BITS, &pair.get_item(at)?);
    Ok(Member { node: part("node", 0)?, session: part("session", 1)? })
}

/// As Python shows it, if that can be done: a number may have more digits than it prints.
pub(crate) fn shown(given: &Bound<'_, PyAny>) -> String {
    const SHOWN_LEN_MAX: usize = 60;
    let Ok(shown) = given.repr() else { return "that".to_owned() };
    let shown = shown.to_string();
    match shown.char_indices().nth(SHOWN_LEN_MAX) {
        Some((end, _)) => format!("{}...", &shown[..end]),
        None => shown,
    }
}
