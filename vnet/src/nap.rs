//! How long a worker sleeps, and how.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::epoll::{Epoll, EpollEvent, EpollTimeout};

/// A sleeping worker looks around this often, for the housekeeping of its nodes.
const LONGEST_MS: u16 = 1000;
/// By how much the kernel may be late: its timers may wait a thousandth of the time for others, and the thread has to be woken. A
/// worker wakes so much too early, and looks around for the rest.
const LATE: Duration = Duration::from_micros(30);

/// Has the kernel wake this thread without waiting for other timers, for which it takes up to 50 µs otherwise (`PR_SET_TIMERSLACK` in
/// prctl(2)).
pub(crate) fn be_punctual() {
    // Without it, deadlines are met late by that much.
    let _ = nix::sys::prctl::set_timerslack(1);
}

/// How long to sleep at `now` where there is nothing to do before `until` (nanoseconds both); `None` where it is not worth it.
pub(crate) fn length(until: Option<u64>, now: u64) -> Option<Duration> {
    let longest = Duration::from_millis(LONGEST_MS.into());
    let Some(until) = until else { return Some(longest) };
    let ahead = Duration::from_nanos(until.saturating_sub(now));
    ahead.checked_sub(LATE + ahead / 1000).filter(|ahead| !ahead.is_zero()).map(|ahead| ahead.min(longest))
}

/// Sleeps for so long, or until one of the descriptors is ready; gives the number of events.
pub(crate) fn sleep(epoll: &Epoll, events: &mut [EpollEvent], length: Duration) -> usize {
    let timeout = if length < Duration::from_millis(LONGEST_MS.into()) {
        // epoll_wait counts in milliseconds: a worker that slept whole ones only would spin for up to one at each deadline.
        let mut descriptors = [PollFd::new(epoll.0.as_fd(), PollFlags::POLLIN)];
        // An interrupted wait is a short one, here and below.
        let _ = ppoll(&mut descriptors, Some(length.into()), None);
        EpollTimeout::ZERO
    } else {
        EpollTimeout::from(LONGEST_MS)
    };
    epoll.wait(events, timeout).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_sleeps_until_shortly_before_its_deadline() {
        let micros = |until: u64, now: u64| length(Some(until * 1000), now * 1000).map(|length| length.as_micros());
        assert_eq!(micros(3_000, 1_000), Some(1_968), "not whole milliseconds");
        assert_eq!(micros(1_032, 1_000), Some(1));
        for until in [0, 999, 1_000, 1_030] {
            assert_eq!(micros(until, 1_000), None, "{until}");
        }
        assert_eq!(micros(u64::MAX / 1000, 0), Some(1_000_000));
        assert_eq!(length(None, 7), Some(Duration::from_secs(1)));
    }

    #[test]
    fn an_event_ends_the_sleep() {
        use std::{thread, time::Instant};

        use nix::sys::epoll::{EpollCreateFlags, EpollFlags};
        use nix::sys::eventfd::{EfdFlags, EventFd};

        let (epoll, event) =
            (Epoll::new(EpollCreateFlags::empty()).unwrap(), EventFd::from_flags(EfdFlags::EFD_NONBLOCK).unwrap());
        epoll.add(&event, EpollEvent::new(EpollFlags::EPOLLIN, 5)).unwrap();
        let mut events = [EpollEvent::empty(); 2];
        let (begin, short) = (Instant::now(), Duration::from_millis(2));
        assert_eq!(sleep(&epoll, &mut events, short), 0);
        assert!(begin.elapsed() >= short);
        for millis in [999, 1000] {
            thread::scope(|scope| {
                scope.spawn(|| {
                    thread::sleep(short);
                    event.write(1).unwrap();
                });
                assert_eq!(sleep(&epoll, &mut events, Duration::from_millis(millis)), 1);
            });
            assert_eq!((events[0].data(), event.read().unwrap()), (5, 1));
        }
    }
}
