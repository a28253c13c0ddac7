//! Where and how urgently the calling thread runs.

use std::io;

/// The calling thread runs on these processors only.
///
/// # Errors
/// This machine, or this process, has none of them; or one has a number that no machine has.
pub(crate) fn run_on(cpus: &[u32]) -> io::Result<()> {
    // SAFETY: plain old data, for which all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for cpu in cpus {
        if *cpu >= libc::CPU_SETSIZE as u32 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: the number is below the size of the set.
        unsafe { libc::CPU_SET(*cpu as usize, &mut set) };
    }
    // SAFETY: the set is readable for its size; 0 is the calling thread.
    check(unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) })
}

/// The calling thread runs on all processors that the system lets this process have.
///
/// # Errors
/// None that a caller could cause.
pub(crate) fn run_anywhere() -> io::Result<()> {
    let all: Vec<u32> = (0..libc::CPU_SETSIZE as u32).collect();
    run_on(&all)
}

/// The calling thread goes before all that have no real-time priority (SCHED_RR); threads and
/// processes that it starts do not.
///
/// # Errors
/// This process may not.
pub(crate) fn be_urgent(priority: u32) -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: priority as libc::c_int };
    let policy = libc::SCHED_RR | libc::SCHED_RESET_ON_FORK;
    // SAFETY: the parameters live across the call; 0 is the calling thread.
    check(unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a thread that ends, so that nothing else runs as it does.
    fn in_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| scope.spawn(work).join().expect("no panic"))
    }

    fn allowed() -> String {
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("status");
        let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        line.expect("a list").trim().to_owned()
    }

    #[test]
    fn a_thread_stays_where_it_is_told_to() {
        let first = allowed().split([',', '-']).next().expect("one").parse().expect("a number");
        let now = in_a_thread(|| {
            run_on(&[first]).expect("it runs there already");
            allowed()
        });
        assert_eq!(now, first.to_string());
        let everywhere = in_a_thread(|| {
            run_on(&[first]).and_then(|()| run_anywhere()).expect("as before");
            allowed()
        });
        assert!(everywhere.starts_with(&allowed()), "{everywhere}");
        for nowhere in [libc::CPU_SETSIZE as u32 - 1, u32::MAX] {
            let error = in_a_thread(|| run_on(&[nowhere])).expect_err("nobody has so many");
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn urgency_is_the_threads_own_or_refused() {
        let outcome = in_a_thread(|| {
            be_urgent(1).map(|()| {
                // SAFETY: no pointers are passed.
                let policy = unsafe { libc::sched_getscheduler(0) };
                assert_eq!(policy & !libc::SCHED_RESET_ON_FORK, libc::SCHED_RR);
                // SAFETY: as above.
                in_a_thread(|| assert_eq!(unsafe { libc::sched_getscheduler(0) }, 0));
            })
        });
        if let Err(error) = outcome {
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            eprintln!("SKIPPED: this process may not have real-time priority");
        }
    }
}
