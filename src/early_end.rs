//! The end before the beginning: a signal while the daemon starts, when nobody reads signals yet.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use cli::server::SocketFile;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signalfd::SignalFd;

/// A thread that ends the process at the first signal, from its making until it is dropped. Making the buffers of many
/// packet threads can take seconds; nothing exists by then that an orderly end would have to undo, but the CLI's socket.
pub struct EarlyEnd {
    over: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl EarlyEnd {
    /// Watches from now on.
    ///
    /// # Errors
    /// The kernel's, in words.
    pub fn watch(signals: Arc<SignalFd>, socket: SocketFile) -> Result<EarlyEnd, String> {
        let failed = |error: &dyn std::fmt::Display| format!("cannot watch signals: {error}");
        let over = EventFd::from_flags(EfdFlags::EFD_CLOEXEC).map_err(|error| failed(&error))?;
        let over = Arc::new(over);
        let until = over.clone();
        let thread = std::thread::Builder::new()
            .name("maglane-start".into())
            .spawn(move || {
                if comes_first(signals.as_fd(), until.as_fd()) {
                    socket.remove();
                    eprintln!("maglane: ended by a signal while starting");
                    std::process::exit(0);
                }
            })
            .map_err(|error| failed(&error))?;
        Ok(EarlyEnd { over, thread: Some(thread) })
    }
}

impl Drop for EarlyEnd {
    fn drop(&mut self) {
        // A counter that is 0 takes this.
        let _ = self.over.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Waits for one of two descriptors; whether it is the first. If both are there, it is the second: who has started
/// reads the signal.
fn comes_first(first: BorrowedFd<'_>, second: BorrowedFd<'_>) -> bool {
    let mut both = [PollFd::new(first, PollFlags::POLLIN), PollFd::new(second, PollFlags::POLLIN)];
    loop {
        match poll(&mut both, PollTimeout::NONE) {
            Err(Errno::EINTR) => (),
            Err(_) => return false,
            Ok(_) => return both[1].any() != Some(true),
        }
    }
}
