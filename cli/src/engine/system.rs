//! What the router tells about itself: version, buffers, the log, the clock; and `wait`.

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use vnet::Router;

use crate::app::App;
use crate::args::Args;
use crate::columns::centred;
use crate::error::CliError;
use crate::reply::{Job, Reply, Step, Words};

pub(super) fn register(app: &mut App) {
    app.command("show version", "show version [verbose]", show_version)
        .command("show buffers", "show buffers", show_buffers)
        .command("show logging", "show logging", show_logging)
        .command("show clock", "show clock", show_clock)
        .command("wait", "wait <sec>", wait);
}

fn show_version(_: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let verbose = args.keyword("verbose");
    args.end()?;
    let version = env!("CARGO_PKG_VERSION");
    if !verbose {
        return Ok(Reply::words(format!("maglane v{version}")));
    }
    let pid = std::process::id();
    Ok(Reply::words(format!("Version:                  v{version}\nCurrent PID:              {pid}\n")))
}

/// The buffers of each packet thread.
#[derive(Serialize)]
struct Pools(Vec<vnet::mem::PoolStats>);

impl fmt::Display for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<20}", "Pool Name")?;
        for (text, width) in
            ["Index", "NUMA", "Size", "Data Size", "Total", "Avail", "Cached", "Used"].iter().zip(WIDTHS)
        {
            write!(f, "{}", centred(text, width))?;
        }
        writeln!(f)?;
        for (index, pool) in self.0.iter().enumerate() {
            let (total, available) = (pool.total as usize, pool.available as usize);
            let size = vnet::mem::STRIDE;
            write!(f, "{:<20}", format!("worker-{index}"))?;
            // A thread has a pool of its own: nothing is cached between the two.
            let values = [index, 0, size, vnet::mem::DATA_SIZE, total, available, 0, total - available];
            for (value, width) in values.into_iter().zip(WIDTHS) {
                // A number is never cut.
                write!(f, "{}", centred(value, width.max(value.checked_ilog10().unwrap_or(0) as usize + 2)))?;
            }
            writeln!(f)?;
        }
        for (index, pool) in self.0.iter().enumerate() {
            writeln!(f, "worker-{index} on {}, exhausted {} times", pool.pages, pool.exhausted)?;
        }
        Ok(())
    }
}

/// Columns of `show buffers` behind the name.
const WIDTHS: [usize; 8] = [6, 6, 6, 11, 7, 7, 8, 8];

fn show_buffers(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    args.end()?;
    Ok(Reply::new(Pools((0..router.workers()).map(|worker| router.pool_stats(worker)).collect())))
}

fn show_logging(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    args.end()?;
    let lines: String = router.log().lines().map(|line| format!("{line}\n")).collect();
    Ok(Reply::new(Words::from(lines)))
}

fn show_clock(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    args.end()?;
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let up = router.start_time().elapsed().as_secs_f64();
    Ok(Reply::words(format!("Time now {up:.6}, unix time {unix:.6}")))
}

/// Nothing, for a while.
struct Wait(Instant);

impl Job for Wait {
    fn poll(&mut self, _: &mut Router) -> Step {
        if Instant::now() >= self.0 { Step::Done(Ok(())) } else { Step::Wait(self.0) }
    }
}

fn wait(_: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let expected = CliError::at(format!("expected a number of seconds from 0 to 86400, got `{}'", args.rest()));
    let seconds: f64 = args.parse("a number of seconds").map_err(|_| expected.clone())?;
    args.end()?;
    let pause = Duration::try_from_secs_f64(seconds).ok().filter(|pause| pause.as_secs() <= 86_400).ok_or(expected)?;
    Ok(Reply::later(Wait(Instant::now() + pause)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_shown_in_vpps_columns_and_large_numbers_whole() {
        let pool = |total| vnet::mem::PoolStats {
            total,
            available: total - 498,
            exhausted: 7,
            pages: vnet::mem::PageKind::Small,
        };
        let text = Pools(vec![pool(16_383), pool(16_777_216)]).to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "Pool Name            Index NUMA  Size  Data Size  Total  Avail  Cached   Used  ");
        let size = vnet::mem::STRIDE;
        assert_eq!(
            lines[1],
            format!("worker-0               0     0   {size}     2048    16383  15885     0      498  ")
        );
        assert!(lines[2].contains(" 16777216 16776718 "), "{}", lines[2]);
        assert_eq!(lines[3], "worker-0 on 4 KB pages, exhausted 7 times");
    }
}
