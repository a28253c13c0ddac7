//! A message, as Python sees it: an object with a buffer.

use std::ffi::c_int;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use anasazi_sys::Status;
use anasazi_sys::generated::{ANZ_AGREED, ANZ_EFORKED};
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyTuple};

use super::holding::Holding;
use crate::errors::explained;
use crate::numbers::{number, pair, shown};
use crate::receiving::as_member;

/// A message, at its place in the group's order. `memoryview(message)` is its bytes without a copy,
/// `data` is `bytes`.
#[pyclass(frozen, module = "anasazi", weakref)]
pub(crate) struct Message {
    /// Who sent it.
    #[pyo3(get)]
    sender: Py<PyAny>,
    /// Its place in the group's order within the view, from 1; 0 if it has none.
    #[pyo3(get)]
    seq: u64,
    /// Its service level.
    #[pyo3(get)]
    service: u32,
    /// Own messages: the tag that was given to `try_mcast()`.
    #[pyo3(get)]
    tag: u64,
    /// There from the start, or, if it is held, once somebody asked.
    data: PyOnceLock<Py<PyBytes>>,
    held: Option<Arc<Holding>>,
}

impl Message {
    pub(crate) fn of_bytes(
        sender: Py<PyAny>,
        data: Bound<'_, PyBytes>,
        seq: u64,
        service: u32,
        tag: u64,
    ) -> Self {
        let all = PyOnceLock::new();
        // It is empty.
        let _ = all.set(data.py(), data.unbind());
        Self { sender, seq, service, tag, data: all, held: None }
    }

    pub(crate) fn of_held(
        sender: Py<PyAny>,
        held: Arc<Holding>,
        seq: u64,
        service: u32,
        tag: u64,
    ) -> Self {
        Self { sender, seq, service, tag, data: PyOnceLock::new(), held: Some(held) }
    }

    /// Calls with what was sent.
    fn with<R>(&self, py: Python<'_>, call: impl FnOnce(&[u8]) -> R) -> PyResult<R> {
        if let Some(data) = self.data.get(py) {
            return Ok(call(data.as_bytes(py)));
        }
        let there = self.held.as_ref().and_then(|held| held.with(call));
        there.ok_or_else(|| forked(py))
    }

    fn len(&self, py: Python<'_>) -> PyResult<usize> {
        self.with(py, <[u8]>::len)
    }
}

fn forked(py: Python<'_>) -> PyErr {
    explained(py, Status(ANZ_EFORKED), "a message that was received before")
}

#[pymethods]
impl Message {
    #[new]
    #[pyo3(
        signature = (sender, data, seq=None, service=None, tag=None),
        text_signature = "(sender, data, seq=0, service=4, tag=0)"
    )]
    fn new(
        sender: &Bound<'_, PyAny>,
        data: &Bound<'_, PyAny>,
        seq: Option<&Bound<'_, PyAny>>,
        service: Option<&Bound<'_, PyAny>>,
        tag: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        // Nothing that could lead back to the message, which garbage collection does not look into.
        let sender = as_member(pair("a message's sender", sender)?, sender.py())?.unbind();
        let bytes = data.cast::<PyBytes>().map_err(|_| {
            PyTypeError::new_err(format!("a message's data is bytes, not {}", shown(data)))
        })?;
        let seq = seq.map_or(Ok(0), |seq| number("a message's seq", u64::BITS, seq))?;
        let level = |given| number("a message's service", u32::BITS, given);
        let service = service.map_or(Ok(u64::from(ANZ_AGREED)), level)?;
        let tag = tag.map_or(Ok(0), |tag| number("a message's tag", u64::BITS, tag))?;
        Ok(Self::of_bytes(sender, bytes.clone(), seq, service as u32, tag))
    }

    #[classattr]
    #[pyo3(name = "__match_args__")]
    fn match_args() -> (&'static str, &'static str) {
        ("sender", "data")
    }

    /// What was sent.
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let data = self
            .data
            .get_or_try_init(py, || self.with(py, |bytes| PyBytes::new(py, bytes).unbind()))?;
        Ok(data.bind(py).clone())
    }

    /// Whether its bytes lie where they were received, and no copy was made.
    #[getter]
    fn is_held(&self) -> bool {
        self.held.as_ref().is_some_and(|held| held.is_held())
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        self.len(py)
    }

    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let Ok(other) = other.cast::<Self>() else { return Ok(py.NotImplemented()) };
        let other = other.get();
        let same = (self.seq, self.service, self.tag) == (other.seq, other.service, other.tag)
            && self.sender.bind(py).eq(&other.sender)?
            && self.data(py)?.as_bytes() == other.data(py)?.as_bytes();
        Ok(same.into_pyobject(py)?.to_owned().into_any().unbind())
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<u64> {
        let mut hasher = DefaultHasher::new();
        (self.sender.bind(py).hash()?, self.seq).hash(&mut hasher);
        self.with(py, |bytes| bytes.hash(&mut hasher))?;
        Ok(hasher.finish())
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let sender = self.sender.bind(py).repr()?;
        let start = self.with(py, |bytes| PyBytes::new(py, &bytes[..bytes.len().min(64)]));
        let Ok(start) = start else {
            let seq = self.seq;
            return Ok(format!("Message(sender={sender}, of the parent process, seq={seq})"));
        };
        let (shown, len) = (start.repr()?, self.len(py)?);
        let rest = if len > 64 { format!("... {len} bytes") } else { String::new() };
        Ok(format!("Message(sender={sender}, data={shown}{rest}, seq={})", self.seq))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let (py, this) = (slf.py(), slf.get());
        let parts = (&this.sender, this.data(py)?, this.seq, this.service, this.tag);
        (slf.get_type(), parts).into_pyobject(py)
    }

    /// # Safety
    /// Python's: `view` is a place for a view.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        let copied = this.data.get(py).map(|data| data.as_bytes(py));
        // Counted also if they are copied: when a view goes nobody knows what it was of.
        let lent = this.held.as_ref().and_then(|held| held.lend());
        let there = copied.map(|bytes| (bytes.as_ptr(), bytes.len())).or(lent);
        let Some((first, len)) = there else {
            return Err(forked(py));
        };
        let (first, len) = (first.cast_mut().cast(), len.cast_signed());
        // SAFETY: a place for a view, by contract; the bytes do not change, and are there as long
        // as the object, which the view keeps: those that are held, until the view goes.
        if unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), first, len, 1, flags) } == 0 {
            return Ok(());
        }
        if let Some(held) = this.held.as_ref() {
            held.take_back();
        }
        Err(PyErr::fetch(py))
    }

    /// # Safety
    /// Python's: the view is one that `__getbuffer__` gave.
    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {
        if let Some(held) = self.held.as_ref() {
            held.take_back();
        }
    }
}
