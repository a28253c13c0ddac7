//! Ending the other side's sleep: one raw `write` to an eventfd.

/// Adds 1 to the eventfd `fd`. Any error is ignored: a counter at its maximum is awake already, and
/// nobody sleeps behind a closed one. The descriptor should be an eventfd of the caller's, in
/// non-blocking mode.
///
/// Async-signal-safe; `errno` is untouched; never a cancellation point.
pub fn wake(fd: i32) {
    let one = 1_u64;
    // SAFETY: the kernel reads the 8 bytes of `one`.
    unsafe { raw(libc::SYS_write, fd, (&raw const one).cast_mut().cast()) };
}

/// Sets the eventfd `fd` to 0. Errors, such as that it was 0 already, are ignored.
///
/// Async-signal-safe; `errno` is untouched; never a cancellation point.
pub fn clear(fd: i32) {
    let mut count = 0_u64;
    // SAFETY: the kernel writes the 8 bytes of `count`.
    unsafe { raw(libc::SYS_read, fd, (&raw mut count).cast()) };
}

/// A system call with a descriptor and a buffer of 8 bytes, without libc: no errno, no
/// cancellation.
///
/// # Safety
/// `buffer` must be valid for what the call does with 8 bytes.
#[cfg(target_arch = "x86_64")]
unsafe fn raw(number: libc::c_long, fd: i32, buffer: *mut u8) {
    // SAFETY: the kernel's calling convention; it clobbers rcx, r11 and rax and may access
    // `buffer`.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") number => _,
            in("rdi") i64::from(fd),
            in("rsi") buffer,
            in("rdx") 8_usize,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
}

/// As above.
#[cfg(target_arch = "aarch64")]
unsafe fn raw(number: libc::c_long, fd: i32, buffer: *mut u8) {
    // SAFETY: the kernel's calling convention; it returns in x0 and may access `buffer`.
    unsafe {
        core::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") i64::from(fd) => _,
            in("x1") buffer,
            in("x2") 8_usize,
            options(nostack),
        );
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn count(fd: i32) -> u64 {
        let mut value = 0_u64;
        // SAFETY: `value` has 8 bytes.
        let got = unsafe { libc::read(fd, (&raw mut value).cast(), 8) };
        if got == 8 { value } else { 0 }
    }

    #[test]
    fn wakes_and_clears() {
        // SAFETY: no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
        assert!(fd >= 0);
        wake(fd);
        wake(fd);
        assert_eq!(count(fd), 2);
        wake(fd);
        clear(fd);
        assert_eq!(count(fd), 0);
        // SAFETY: our own descriptor.
        unsafe { libc::close(fd) };
    }

    #[test]
    fn errno_survives_failures() {
        // SAFETY: this thread's errno.
        let errno = unsafe { libc::__errno_location() };
        // SAFETY: as above.
        unsafe { *errno = 4_242 };
        wake(-1);
        clear(-1);
        // SAFETY: as above.
        assert_eq!(unsafe { *errno }, 4_242);
    }
}
