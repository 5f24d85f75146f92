//! The control thread of the daemon: one loop over the CLI socket, the packet threads' messages, timers and signals.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use cli::server::{Polled, Ran, Server, SessionId, Shell};
use cli::startup::Startup;
use cli::{Console, Pending, Progress, Started};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use nix::sched::CpuSet;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;
use vnet::Config;
use vnet::router::Level;

use crate::early_end::EarlyEnd;

const WAKE: Token = Token(0);
const SIGNALS: Token = Token(1);
/// The server uses tokens from here.
const SESSIONS: Token = Token(1024);

/// A long start-up script lets signals and sessions go first this often.
const SCRIPT_SLICE: Duration = Duration::from_millis(50);

/// How often memory that was freed is looked for, to hand it back to the kernel.
const TIDY: Duration = Duration::from_secs(10);

const USAGE: &str = "usage: maglane [-c FILE | SECTION { WORDS }…]
  -c FILE         read the start-up file
  -h, --help      this text
  -V, --version   the version
Sections: unix { nodaemon cli-listen PATH runtime-dir DIR exec SCRIPT log FILE } cpu { main-core N workers N
corelist-workers L } buffers { buffers-per-numa N page-size S } plugins { plugin X { disable } }";

/// Runs the daemon until it is told to end.
///
/// # Errors
/// In words, when it cannot start: the start-up file, missing privileges, a socket in use.
pub fn run(arguments: &[String]) -> Result<(), String> {
    match arguments {
        [help] if help == "-h" || help == "--help" => {
            println!("{USAGE}");
            return Ok(());
        }
        [version] if version == "-V" || version == "--version" => {
            println!("maglane v{}", env!("CARGO_PKG_VERSION"));
            return Ok(());
        }
        _ => (),
    }
    let startup = read_startup(arguments)?;
    // Before any other thread exists, so that all of them have the signals blocked.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    signals.thread_block().map_err(|error| format!("cannot block signals: {error}"))?;
    let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
        .map_err(|error| format!("cannot watch signals: {error}"))?;
    let signals = Arc::new(signals);

    let socket = socket_path(&startup)?;
    check_cores(&startup)?;
    let mut server = Server::bind(&socket).map_err(|error| error.to_string())?;
    let early = EarlyEnd::watch(signals.clone(), server.file())?;
    let config = Config {
        workers: startup.cpu.workers.unwrap_or(0) as usize,
        buffers: startup.buffers.per_numa.unwrap_or(Config::default().buffers),
        pages: startup.buffers.page_size.unwrap_or_default(),
        cores: startup.cpu.corelist_workers.clone(),
        inline: false,
    };
    if let Some(core) = startup.cpu.main_core {
        pin_to(core as usize)?;
    }
    let mut console =
        crate::app_without(&startup.plugins.disabled).build(&config).map_err(|error| error.to_string())?;
    log_to(&mut console, startup.unix.log.as_deref())?;
    for warning in &startup.warnings {
        console.router().log().add(Level::Warn, "startup", warning);
    }
    for plugin in startup.plugins.disabled.iter().filter(|plugin| !crate::is_plugin(plugin)) {
        console.router().log().add(Level::Warn, "startup", format!("plugin `{plugin}': there is none of that name"));
    }

    warn_of_privileges(&mut console);
    let pools: Vec<_> = (0..console.router().workers()).map(|worker| console.router().pool_stats(worker)).collect();
    if let Some(note) = crate::pages::note(&pools) {
        console.router().log().add(Level::Info, "buffers", note);
    }
    let mut heap = nodes::sys::Heap::default();
    console.router().every(TIDY, move |_| {
        heap.look();
    });

    let mut poll = Poll::new().map_err(|error| format!("cannot make an event loop: {error}"))?;
    let waker = Waker::new(poll.registry(), WAKE).map_err(|error| format!("cannot make a waker: {error}"))?;
    // A wake-up that fails is followed by the next, or by the timer.
    console.router().set_waker(move || drop(waker.wake()));
    poll.registry()
        .register(&mut SourceFd(&signals.as_raw_fd()), SIGNALS, Interest::READABLE)
        .map_err(|error| format!("cannot watch signals: {error}"))?;
    server.register(poll.registry(), SESSIONS).map_err(|error| format!("cannot watch the CLI socket: {error}"))?;

    drop(early);

    let mut daemon = Daemon { console, pending: HashMap::new(), startup: None };
    let listening = socket.display().to_string();
    daemon.console.router().log().add(Level::Info, "cli", format!("listening on {listening}"));
    if let Some(script) = &startup.unix.exec {
        daemon.startup = match daemon.console.begin(&format!("exec {script}")) {
            Some(Started::Pending(pending)) => Some(pending),
            Some(Started::Done(Err(error))) => return Err(error),
            _ => None,
        };
    }
    let mut events = Events::with_capacity(64);
    loop {
        let timeout = daemon.run_startup()?;
        let deadline = [Some(daemon.console.router().deadline()), server.deadline(), timeout];
        let next = deadline.into_iter().flatten().min();
        let wait = next.map(|next| next.saturating_duration_since(Instant::now()) + Duration::from_micros(500));
        match poll.poll(&mut events, wait) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                return Err(format!("the event loop failed: {error}"));
            }
            _ => (),
        }
        for event in &events {
            match event.token() {
                WAKE => (),
                SIGNALS => {
                    if let Ok(Some(signal)) = signals.read_signal() {
                        let text = format!("ended by signal {}", signal.ssi_signo);
                        daemon.console.router().log().add(Level::Info, "main", text);
                        return Ok(());
                    }
                }
                _ => server.event(poll.registry(), event, &mut daemon),
            }
        }
        daemon.console.router().poll();
        server.tick(poll.registry(), &mut daemon);
    }
}

fn read_startup(arguments: &[String]) -> Result<Startup, String> {
    match arguments {
        [flag, file] if flag == "-c" => {
            let text = cli::read_text_file(file)?;
            Startup::parse(&text).map_err(|error| format!("{file}: {error}"))
        }
        [flag] if flag == "-c" => Err("-c: expected a file".into()),
        [flag, ..] if flag.starts_with('-') => Err(format!("unknown option `{flag}'\n{USAGE}")),
        words => Startup::parse(&words.join(" ")).map_err(|error| format!("command line: {error}")),
    }
}

/// Where the CLI listens: as configured, or where VPP's own client looks for it.
fn socket_path(startup: &Startup) -> Result<PathBuf, String> {
    if let Some(path) = &startup.unix.cli_listen {
        if !path.contains('/') && path.contains(':') {
            return Err(format!("cli-listen: expected the path of a socket, got `{path}' (there is no CLI over TCP)"));
        }
        return Ok(PathBuf::from(path));
    }
    if let Some(dir) = &startup.unix.runtime_dir {
        return Ok(Path::new(dir).join("cli.sock"));
    }
    if nix::unistd::geteuid().is_root() {
        return Ok(PathBuf::from("/run/vpp/cli.sock"));
    }
    let dir = std::env::var("XDG_RUNTIME_DIR").map_err(
        |_| "XDG_RUNTIME_DIR is not set: say where the CLI socket shall be, as in `unix { cli-listen /tmp/cli.sock }`",
    )?;
    Ok(Path::new(&dir).join("vpp/cli.sock"))
}

fn pin_to(core: usize) -> Result<(), String> {
    let mut set = CpuSet::new();
    set.set(core).map_err(|error| format!("main-core {core}: {error}"))?;
    nix::sched::sched_setaffinity(Pid::from_raw(0), &set).map_err(|error| format!("main-core {core}: {error}"))
}

/// Whether the process may run where the start-up file says.
fn check_cores(startup: &Startup) -> Result<(), String> {
    let named = startup.cpu.main_core.map(|core| ("main-core", core as usize));
    let named = named.into_iter().chain(startup.cpu.corelist_workers.iter().map(|&core| ("corelist-workers", core)));
    let allowed = nix::sched::sched_getaffinity(Pid::from_raw(0)).map_err(|error| format!("cpu: {error}"))?;
    for (word, core) in named {
        if !allowed.is_set(core).unwrap_or(false) {
            let cores = (0..CpuSet::count()).filter(|&core| allowed.is_set(core).unwrap_or(false));
            let cores: Vec<_> = cores.map(|core| core.to_string()).collect();
            return Err(format!("`{word}': expected a core of this machine ({}), got `{core}'", cores.join(", ")));
        }
    }
    Ok(())
}

/// Says which privileges are missing for what: without them there are still packet generators, and what was made by
/// others.
fn warn_of_privileges(console: &mut Console) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let Some(effective) = effective.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()) else { return };
    // Numbers from capabilities(7).
    for (bit, name, what) in [
        (12, "CAP_NET_ADMIN", "no taps, and no host-interface can be set up"),
        (13, "CAP_NET_RAW", "no host-interfaces"),
    ] {
        if effective & (1 << bit) == 0 {
            console.router().log().add(Level::Warn, "main", format!("{name} is missing: {what}"));
        }
    }
}

/// Sends the log to a file, or to standard error.
fn log_to(console: &mut Console, file: Option<&str>) -> Result<(), String> {
    let mut to: Box<dyn Write> = match file {
        None => Box::new(std::io::stderr()),
        Some(path) => {
            let opened: std::io::Result<File> = OpenOptions::new().create(true).append(true).open(path);
            Box::new(opened.map_err(|error| format!("cannot open the log `{path}': {error}"))?)
        }
    };
    // A log that cannot be written must not end the router.
    console.router().log().set_sink(move |line| drop(writeln!(to, "{line}")));
    Ok(())
}

/// The console and what its sessions have not finished.
struct Daemon {
    console: Console,
    pending: HashMap<SessionId, Pending>,
    startup: Option<Pending>,
}

impl Daemon {
    /// Goes on with the start-up script for a moment; gives the time when it has to be continued.
    fn run_startup(&mut self) -> Result<Option<Instant>, String> {
        let begun = Instant::now();
        while let Some(mut pending) = self.startup.take() {
            if begun.elapsed() > SCRIPT_SLICE {
                self.startup = Some(pending);
                return Ok(Some(Instant::now()));
            }
            match self.console.go_on(&mut pending) {
                Progress::Print(text) => {
                    for line in text.lines() {
                        self.console.router().log().add(Level::Info, "exec", line);
                    }
                    self.startup = Some(pending);
                }
                Progress::Wait(when) => {
                    self.startup = Some(pending);
                    return Ok(Some(when));
                }
                Progress::Done(result) => {
                    result?;
                    self.console.router().log().add(Level::Info, "exec", "the start-up script has run");
                }
            }
        }
        Ok(None)
    }
}

impl Shell for Daemon {
    fn run(&mut self, session: SessionId, line: &str) -> Ran {
        match self.console.begin(line) {
            None => Ran::Quit,
            Some(Started::Done(Ok(text))) => Ran::Done { text, ok: true },
            Some(Started::Done(Err(error))) => Ran::Done { text: error + "\n", ok: false },
            Some(Started::Pending(pending)) => {
                self.pending.insert(session, pending);
                Ran::Later
            }
        }
    }

    fn poll(&mut self, session: SessionId) -> Polled {
        let Some(pending) = self.pending.get_mut(&session) else {
            return Polled::Done { text: String::new(), ok: true };
        };
        match self.console.go_on(pending) {
            Progress::Print(text) => Polled::Print(text),
            Progress::Wait(when) => Polled::Wait(when),
            Progress::Done(result) => {
                self.pending.remove(&session);
                match result {
                    Ok(()) => Polled::Done { text: String::new(), ok: true },
                    Err(error) => Polled::Done { text: error + "\n", ok: false },
                }
            }
        }
    }

    fn cancel(&mut self, session: SessionId) {
        self.pending.remove(&session);
    }

    fn complete(&mut self, line: &str) -> Vec<String> {
        self.console.complete(line)
    }

    fn help(&mut self, line: &str) -> String {
        self.console.table().help(line).to_string()
    }

    fn banner(&self) -> String {
        format!("maglane v{}, a packet dataplane in the style of VPP\n\n", env!("CARGO_PKG_VERSION"))
    }
}
