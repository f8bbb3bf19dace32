//! Waits of less than a millisecond, which is what Tokio's timer rounds up to.
//!
//! The markers of a transaction take about that long, and a transaction that waits for them twice as long as it needs to is half
//! as fast. Linux has timers with a file descriptor (`timerfd_create(2)`), exact to some 50 microseconds; elsewhere, and
//! where one cannot be had, Tokio's timer has to do.

use tokio::time::{Instant, sleep_until};

/// A timer that is set again for each wait.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    #[cfg(target_os = "linux")]
    timer: Option<linux::Timer>,
}

impl Alarm {
    /// Waits until `at`; for ever, if there is no such time.
    ///
    /// Cancel safe.
    pub(super) async fn until(&mut self, at: Option<Instant>) {
        let Some(at) = at else { return std::future::pending().await };
        #[cfg(target_os = "linux")]
        if linux::wait(&mut self.timer, at).await.is_ok() {
            return;
        }
        sleep_until(at).await;
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::OwnedFd;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;
    use tokio::time::Instant;

    #[derive(Debug)]
    pub(super) struct Timer(AsyncFd<OwnedFd>);

    /// Waits until `at` by the timer, which is made if there is none.
    ///
    /// # Errors
    /// There are no timers to be had.
    pub(super) async fn wait(timer: &mut Option<Timer>, at: Instant) -> io::Result<()> {
        let Timer(timer) = match timer {
            Some(timer) => timer,
            None => {
                let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
                let made = timerfd_create(TimerfdClockId::Monotonic, flags)?;
                // Unsound only for types that do not own their descriptor; the way without that is not a safe one.
                #[allow(deprecated)]
                let registered = AsyncFd::with_interest(made, Interest::READABLE)?;
                timer.insert(Timer(registered))
            }
        };
        let left = at.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        let left = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?;
        let once = Itimerspec { it_interval: Timespec::default(), it_value: left };
        // Setting it takes back what an earlier setting has left to be read.
        timerfd_settime(&*timer, TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = timer.readable().await?;
            let mut expirations = [0; 8];
            match rustix::io::read(ready.get_inner(), &mut expirations) {
                Ok(_) => return Ok(()),
                // Readiness that an earlier wait has left.
                Err(rustix::io::Errno::AGAIN) => ready.clear_ready(),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn it_rings_at_its_time_and_can_be_set_again() {
        let mut alarm = Alarm::default();
        for micros in [300, 0, 700] {
            let at = Instant::now() + Duration::from_micros(micros);
            alarm.until(Some(at)).await;
            assert!(Instant::now() >= at);
        }
    }

    #[tokio::test]
    async fn one_that_was_given_up_does_not_ring_later() {
        let mut alarm = Alarm::default();
        let soon = Instant::now() + Duration::from_millis(1);
        tokio::select! {
            biased;
            () = alarm.until(Some(soon)) => panic!("too early"),
            () = std::future::ready(()) => {}
        }
        // It has rung by now, and nobody has heard it.
        sleep_until(soon + Duration::from_millis(1)).await;
        let at = Instant::now() + Duration::from_millis(2);
        alarm.until(Some(at)).await;
        assert!(Instant::now() >= at);
    }

    #[tokio::test]
    async fn without_a_time_it_never_rings() {
        let mut alarm = Alarm::default();
        tokio::select! {
            biased;
            () = alarm.until(None) => panic!("it rang"),
            () = tokio::task::yield_now() => {}
        }
    }
}
