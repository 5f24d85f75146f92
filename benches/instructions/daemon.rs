//! The daemon under callgrind.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What is counted: the function that runs a node over a vector, of which every node has its own.
pub const NODES: &str = "*Dispatch*dispatch*";
/// The generator, the only input node that is busy.
pub const GENERATOR: &str = "*PgInput*poll*";
/// A configuration takes a few seconds; a machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// Whether valgrind can be started.
pub fn valgrind_is_there() -> bool {
    let version = Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// The target folder, which has this program in `PROFILE/examples/`.
fn target() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.ancestors().nth(3).map_or_else(|| PathBuf::from("target"), Path::to_path_buf)
}

/// A daemon that is built.
pub struct Build {
    /// Where it is, and what is written about it.
    target: PathBuf,
}

/// Builds the daemon and its client as they are shipped, if they are not there.
///
/// # Errors
/// If that fails; the compiler has said why.
pub fn build() -> Result<Build, String> {
    // As `build_lb_config` does it: without the examples, libraries have other features, and all is built once more.
    build_in(target(), "", &["--package", "cli", "--bins", "--example", "http", "--example", "frames"])
}

/// Builds the daemon alone, without tracing, in a folder of its own.
///
/// # Errors
/// Likewise.
pub fn build_without_tracing() -> Result<Build, String> {
    build_in(target().join("no-trace"), "--cfg maglane_no_trace", &["--bin", "maglane"])
}

fn build_in(target: PathBuf, flags: &str, what: &[&str]) -> Result<Build, String> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    if !flags.is_empty() {
        // Only then: even an empty one puts aside what is configured elsewhere.
        cargo.env("RUSTFLAGS", std::env::var("RUSTFLAGS").unwrap_or_default() + " " + flags);
    }
    let status = cargo
        .args(["build", "--release", "--quiet", "--package", "maglane"])
        .args(what)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("CARGO_TARGET_DIR", &target)
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    status.success().then_some(Build { target }).ok_or_else(|| "the daemon cannot be built".into())
}

impl Build {
    /// Whether the other's daemon is the very same.
    pub fn is_that_of(&self, other: &Build) -> bool {
        let [one, other] = [self, other].map(|build| std::fs::read(build.target.join("release/maglane")).ok());
        one == other
    }
}

/// Lets a daemon carry out a script that sends packets, until so many have left by `pg1`, and counts the instructions in
/// the functions that are named.
///
/// # Errors
/// A sentence.
pub fn count(build: &Build, what: &[&str], number: usize, script: &[String], packets: u64) -> Result<u64, String> {
    let folder = build.target.join("instructions");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let file = |name: &str| folder.join(format!("{number}.{name}"));
    let [lines, counts, said] = ["cli", "callgrind", "log"].map(file);
    let wrong = |file: &Path| format!("{}: cannot be written or read", file.display());
    std::fs::write(&lines, script.join("\n") + "\n").map_err(|_| wrong(&lines))?;
    let log = || File::options().create(true).append(true).open(&said).map_err(|_| wrong(&said));
    let _ = std::fs::remove_file(&said);
    // A socket's path must be short.
    let socket = std::env::temp_dir().join(format!("maglane-{}-{number}.sock", std::process::id()));
    let child = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no"])
        .args(what.iter().map(|what| format!("--toggle-collect={what}")))
        .arg(format!("--callgrind-out-file={}", counts.display()))
        .arg(build.target.join("release/maglane"))
        .args(["unix", "{", "nodaemon", "cli-listen"])
        .arg(&socket)
        .arg("exec")
        .arg(&lines)
        .args(["}", "buffers", "{", "buffers-per-numa", "4096", "page-size", "default", "}"])
        .stdout(log()?)
        .stderr(log()?)
        .spawn()
        .map_err(|error| format!("valgrind: {error}"))?;
    let ended = Daemon { child, socket }.end_after(packets);
    ended.map_err(|error| format!("{error}; {} may say more", said.display()))?;
    let text = std::fs::read_to_string(&counts).map_err(|_| wrong(&counts))?;
    total(&text).ok_or_else(|| format!("{}: nothing was counted", counts.display()))
}

/// A daemon that runs.
struct Daemon {
    child: Child,
    socket: PathBuf,
}

impl Daemon {
    /// Lets it go on until so many packets have left, and end; no more may leave.
    fn end_after(mut self, packets: u64) -> Result<(), String> {
        let late = Instant::now() + PATIENCE;
        while self.sent() < Some(packets) {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("the daemon ended: {status}"));
            }
            if Instant::now() > late {
                return Err(format!("only {} of {packets} packets were sent", self.sent().unwrap_or_default()));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        if self.sent() != Some(packets) {
            return Err("more packets were sent than there were".into());
        }
        self.end().map_err(|error| format!("the daemon did not end: {error}"))
    }

    /// Packets that left by `pg1`.
    fn sent(&self) -> Option<u64> {
        let output = Command::new(target().join("release/vppctl"))
            .arg("-s")
            .arg(&self.socket)
            .args(["show", "interface", "pg1"])
            .stderr(Stdio::null())
            .output()
            .ok()?;
        sent(&String::from_utf8_lossy(&output.stdout))
    }

    fn end(&mut self) -> std::io::Result<()> {
        kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGTERM)?;
        self.child.wait().map(drop)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Nothing is left running where something went wrong.
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// The packets sent, in what `show interface` says of one.
fn sent(text: &str) -> Option<u64> {
    text.split_once("tx packets")?.1.split_whitespace().next()?.parse().ok()
}

/// The sum that a file of callgrind's ends with; none where it is 0.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().rev().find_map(|line| line.strip_prefix("totals:"))?;
    line.split_whitespace().next()?.parse().ok().filter(|total| *total > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read() {
        assert_eq!(total("events: Ir\nfn=(1) f\n3 4\n\ntotals: 4321\n"), Some(4321));
        assert_eq!(total("totals: 0\n"), None);
        assert_eq!(total("events: Ir\n"), None);
    }

    #[test]
    fn packets_that_left_are_read() {
        let text = "pg1   2  up  9000/0/0/0  tx packets     102400\n        tx bytes   9011200\n";
        assert_eq!(sent(text), Some(102_400));
        assert_eq!(sent("pg1   2  up  9000/0/0/0\n"), None);
    }
}
