use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;
use std::thread;

use super::*;

const MS: u64 = 1_000_000;
/// Far beyond anything that should happen: a wait that takes this long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

fn wait(poller: &mut Poller, timeout: Duration) -> Vec<u64> {
    let mut ready = Vec::new();
    poller.wait(&mut ready, Some(timeout)).unwrap();
    ready
}

/// What an outer loop sees: poll(2) on the one descriptor.
fn readable(fd: RawFd, timeout_ms: i32) -> bool {
    let mut entry = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, writable.
    let count = unsafe { libc::poll(&raw mut entry, 1, timeout_ms) };
    count == 1 && entry.revents & libc::POLLIN != 0
}

/// What the kernel has armed: nanoseconds until the timer fires, 0 when stopped or expired.
fn kernel_remaining_ns(poller: &Poller) -> u64 {
    let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let mut spec = libc::itimerspec { it_interval: zero, it_value: zero };
    // SAFETY: `spec` is writable.
    unsafe { libc::timerfd_gettime(poller.timer.as_raw_fd(), &raw mut spec) };
    spec.it_value.tv_sec as u64 * 1_000 * MS + spec.it_value.tv_nsec as u64
}

#[test]
fn the_timer_fires_once_and_not_early() {
    let mut poller = Poller::new().unwrap();
    let deadline_ns = now_ns() + 20 * MS;
    poller.set_timer(Some(deadline_ns)).unwrap();
    assert!(wait(&mut poller, PATIENCE).is_empty());
    let late_ns = now_ns().checked_sub(deadline_ns).expect("it fired before its deadline");
    assert!(late_ns < 5_000 * MS, "it fired {late_ns} ns late");
    assert!(!readable(poller.fd(), 0), "an expired timer that was seen must not stay readable");
    assert_eq!(kernel_remaining_ns(&poller), 0);
}

#[test]
fn the_timer_moves_forward_only() {
    let mut poller = Poller::new().unwrap();
    let start_ns = now_ns();
    let second_ns = 1_000 * MS;
    poller.set_timer(Some(start_ns + 100 * second_ns)).unwrap();
    poller.set_timer(Some(start_ns + 200 * second_ns)).unwrap();
    assert!(kernel_remaining_ns(&poller) <= 100 * second_ns, "a later deadline costs no call");
    poller.set_timer(Some(start_ns + 50 * second_ns)).unwrap();
    assert!(kernel_remaining_ns(&poller) <= 50 * second_ns, "an earlier deadline is armed");
    poller.set_timer(None).unwrap();
    assert_eq!(kernel_remaining_ns(&poller), 0, "None stops the timer");
    poller.set_timer(Some(start_ns + 200 * second_ns)).unwrap();
    assert!(kernel_remaining_ns(&poller) > 100 * second_ns, "a stopped timer can be set late");
}

#[test]
fn a_fired_timer_can_be_set_again() {
    let mut poller = Poller::new().unwrap();
    for _ in 0..3 {
        poller.set_timer(Some(now_ns() + MS)).unwrap();
        assert!(readable(poller.fd(), 10_000));
        assert!(wait(&mut poller, PATIENCE).is_empty());
        assert!(!readable(poller.fd(), 0));
    }
}

#[test]
fn a_deadline_in_the_past_fires_at_once() {
    for deadline_ns in [0, 1, now_ns()] {
        let mut poller = Poller::new().unwrap();
        poller.set_timer(Some(deadline_ns)).unwrap();
        assert!(readable(poller.fd(), 10_000), "deadline {deadline_ns}");
        wait(&mut poller, PATIENCE);
    }
}

#[test]
fn a_deadline_at_the_end_of_time_never_fires() {
    let mut poller = Poller::new().unwrap();
    poller.set_timer(Some(u64::MAX)).unwrap();
    assert!(wait(&mut poller, Duration::ZERO).is_empty());
    assert!(kernel_remaining_ns(&poller) > 0);
}

#[test]
fn another_thread_ends_the_wait() {
    let mut poller = Poller::new().unwrap();
    let waker = poller.waker();
    let thread = thread::spawn(move || waker.wake());
    let start_ns = now_ns();
    assert!(wait(&mut poller, PATIENCE).is_empty());
    assert!(now_ns() - start_ns < PATIENCE.as_nanos() as u64, "only the timeout ended the wait");
    thread.join().unwrap();
}

#[test]
fn wake_ups_before_the_wait_are_kept_and_melt_into_one() {
    let mut poller = Poller::new().unwrap();
    let waker = poller.waker();
    (0..1_000).for_each(|_| waker.wake());
    assert!(readable(poller.fd(), 0));
    assert!(wait(&mut poller, PATIENCE).is_empty());
    assert!(!readable(poller.fd(), 0));
}

static SIGNAL_WAKER: OnceLock<Waker> = OnceLock::new();

extern "C" fn wake_on_signal(_signal: libc::c_int) {
    if let Some(waker) = SIGNAL_WAKER.get() {
        waker.wake();
    }
}

#[test]
fn a_signal_handler_ends_the_wait_and_keeps_errno() {
    let mut poller = Poller::new().unwrap();
    SIGNAL_WAKER.set(poller.waker()).unwrap();
    // SAFETY: the handler calls only what is async-signal-safe; the signal is used by this test
    // alone, and goes to this thread.
    let errno = unsafe {
        let handler = wake_on_signal as extern "C" fn(libc::c_int);
        libc::signal(libc::SIGUSR2, handler as libc::sighandler_t);
        // Fill the counter, so that the write in the handler fails and would set errno.
        let full = (u64::MAX - 1).to_ne_bytes();
        libc::write(poller.waker.0.as_raw_fd(), full.as_ptr().cast(), full.len());
        *libc::__errno_location() = 4242;
        libc::pthread_kill(libc::pthread_self(), libc::SIGUSR2);
        *libc::__errno_location()
    };
    assert_eq!(errno, 4242);
    assert!(readable(poller.fd(), 0));
    wait(&mut poller, PATIENCE);
    // SAFETY: this thread outlives the other one, which is joined.
    let waiter = unsafe { libc::pthread_self() };
    // SAFETY: as above.
    let thread = thread::spawn(move || unsafe { libc::pthread_kill(waiter, libc::SIGUSR2) });
    let start_ns = now_ns();
    wait(&mut poller, PATIENCE);
    assert!(now_ns() - start_ns < PATIENCE.as_nanos() as u64, "the signal did not end the wait");
    assert_eq!(thread.join().unwrap(), 0);
}

#[test]
fn a_readable_descriptor_is_reported_until_it_is_read() {
    let mut poller = Poller::new().unwrap();
    let (mut near, mut far) = UnixStream::pair().unwrap();
    poller.add(near.as_raw_fd(), 7).unwrap();
    assert!(wait(&mut poller, Duration::ZERO).is_empty());
    far.write_all(b"x").unwrap();
    assert_eq!(wait(&mut poller, PATIENCE), [7]);
    assert_eq!(wait(&mut poller, PATIENCE), [7], "level-triggered");
    near.read_exact(&mut [0]).unwrap();
    assert!(wait(&mut poller, Duration::ZERO).is_empty());
    drop(far);
    assert_eq!(wait(&mut poller, PATIENCE), [7], "a hang-up is reported too");
    poller.remove(near.as_raw_fd()).unwrap();
    assert!(wait(&mut poller, Duration::ZERO).is_empty());
    assert!(poller.remove(near.as_raw_fd()).is_err(), "not in the set any more");
}

#[test]
fn more_descriptors_than_one_wait_reports_all_get_their_turn() {
    let mut poller = Poller::new().unwrap();
    let pairs: Vec<_> = (0..200).map(|_| UnixStream::pair().unwrap()).collect();
    for (key, (near, far)) in pairs.iter().enumerate() {
        poller.add(near.as_raw_fd(), key as u64).unwrap();
        (&*far).write_all(b"x").unwrap();
    }
    let mut ready = Vec::new();
    for _ in 0..200usize.div_ceil(EVENTS_PER_WAIT) {
        poller.wait(&mut ready, Some(PATIENCE)).unwrap();
    }
    ready.sort_unstable();
    ready.dedup();
    assert_eq!(ready.len(), 200);
}

#[test]
fn a_zero_timeout_only_looks() {
    let mut poller = Poller::new().unwrap();
    let start_ns = now_ns();
    for _ in 0..100 {
        assert!(wait(&mut poller, Duration::ZERO).is_empty());
    }
    assert!(now_ns() - start_ns < 1_000 * MS);
}

#[test]
fn a_timeout_is_rounded_up() {
    assert_eq!(round_up_ms(Duration::ZERO), 0);
    assert_eq!(round_up_ms(Duration::from_nanos(1)), 1);
    assert_eq!(round_up_ms(Duration::from_millis(3)), 3);
    assert_eq!(round_up_ms(Duration::MAX), libc::c_int::MAX);
    let mut poller = Poller::new().unwrap();
    let start_ns = now_ns();
    wait(&mut poller, Duration::from_micros(1_500));
    assert!(now_ns() - start_ns >= 1_500_000);
}

#[test]
fn an_outer_poll_sees_descriptors_timer_and_waker() {
    let mut poller = Poller::new().unwrap();
    let (near, far) = UnixStream::pair().unwrap();
    poller.add(near.as_raw_fd(), 1).unwrap();
    assert!(!readable(poller.fd(), 0));
    (&far).write_all(b"x").unwrap();
    assert!(readable(poller.fd(), 10_000));
    poller.remove(near.as_raw_fd()).unwrap();
    assert!(!readable(poller.fd(), 0));
    poller.set_timer(Some(now_ns() + MS)).unwrap();
    assert!(readable(poller.fd(), 10_000));
    wait(&mut poller, PATIENCE);
    let waker = poller.waker();
    let thread = thread::spawn(move || waker.wake());
    assert!(readable(poller.fd(), 10_000));
    thread.join().unwrap();
}

#[test]
fn bad_arguments_are_errors() {
    let poller = Poller::new().unwrap();
    let (near, _far) = UnixStream::pair().unwrap();
    assert!(poller.add(near.as_raw_fd(), u64::MAX).is_err(), "the timer's key");
    assert!(poller.add(near.as_raw_fd(), u64::MAX - 1).is_err(), "the waker's key");
    poller.add(near.as_raw_fd(), 1).unwrap();
    assert!(poller.add(near.as_raw_fd(), 2).is_err(), "twice");
    assert!(poller.add(-1, 3).is_err(), "no descriptor");
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    assert!(poller.add(file.as_raw_fd(), 4).is_err(), "a regular file cannot be polled");
}

#[test]
fn descriptors_are_not_inherited() {
    let poller = Poller::new().unwrap();
    for fd in [poller.fd(), poller.timer.as_raw_fd(), poller.waker.0.as_raw_fd()] {
        // SAFETY: a query about a descriptor that is open.
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
        assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
    }
}
