//! Messages that JavaScript sees where they lie.

use anasazi_sys::Held;
use napi::Env;
use napi::bindgen_prelude::BufferSlice;

/// A buffer over a held message, which is given back when the buffer is collected; a copy where
/// the environment allows no such buffers.
///
/// The memory is the session's own part of the ring, mapped for writing as well: who writes to the
/// buffer changes what it reads there itself, and nothing else.
///
/// # Errors
/// The environment is ending.
pub fn buffer(env: &Env, held: Held) -> napi::Result<BufferSlice<'_>> {
    let Some(data) = held.data() else {
        return BufferSlice::copy_from(env, []);
    };
    let (start, len) = (data.as_ptr().cast_mut(), data.len());
    let weight = len as i64;
    env.adjust_external_memory(weight)?;
    let give_back = move |env: Env, held: Held| {
        drop(held);
        _ = env.adjust_external_memory(-weight);
    };
    // SAFETY: so much is there until `held` goes, which the buffer owns.
    unsafe { BufferSlice::from_external(env, start, len, held, give_back) }
}
