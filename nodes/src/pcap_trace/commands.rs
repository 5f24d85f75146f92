//! The grammar of `pcap trace`.

use std::fmt;

use cli::{App, Args, CliError, Given, Reply};
use vnet::Router;

use super::{Options, PcapTrace, PcapTraceError, Places, Status};

/// As in VPP.
const MAX: usize = 1000;

pub(crate) fn register(app: &mut App) {
    app.builder.state(PcapTrace::default()).on_start(|router| {
        router.observe(|router| {
            // Not there while a command has it; that follows by itself.
            router.with_state(PcapTrace::follow);
        });
    });
    let help =
        "pcap trace [rx] [tx] [drop] [off] [max <n>] [intfc <interface>|any] [file <name in /tmp or path>] [status]";
    app.command("pcap trace", help, run);
}

/// The words of a line.
#[derive(Default)]
struct Words {
    options: Option<Options>,
    places: Places,
    off: bool,
    status: bool,
}

fn words(router: &Router, args: &mut Args<'_>) -> Result<Words, CliError> {
    let mut words = Words::default();
    let (mut max, mut interface, mut file, mut only_to_begin) = (MAX, None, None, None);
    let mut given = Given::default();
    while let Some(word) = given.next(args)? {
        match word {
            "rx" => words.places.rx = true,
            "tx" => words.places.tx = true,
            "drop" => words.places.drop = true,
            "off" => words.off = true,
            "status" => words.status = true,
            "max" => max = args.number("a number of packets", 1..=10_000_000)?,
            "intfc" => interface = if args.keyword("any") { None } else { Some(args.interface(router)?) },
            "file" => file = Some(args.word("a file")?.to_string()),
            _ => return Err(given.unknown()),
        }
        if let "max" | "intfc" | "file" = word {
            only_to_begin = Some(word);
        }
    }
    given.exclude("off", "status")?;
    match (words.off || words.status, only_to_begin, words.places.is_empty()) {
        (true, Some(word), _) => return Err(CliError::at(format!("`{word}' is of no use with off or status"))),
        (false, _, true) => return Err(CliError::at("expected rx, tx, drop, off or status, got nothing of these")),
        (false, _, false) => words.options = Some(Options { places: words.places, max, interface, file }),
        (true, None, _) => (),
    }
    Ok(words)
}

fn run(router: &mut Router, args: &mut Args<'_>) -> Result<Reply, CliError> {
    let words = words(router, args)?;
    let done = router.with_state(|trace: &mut PcapTrace, router| -> Result<Reply, PcapTraceError> {
        if words.status {
            return Ok(Reply::new(Said::Status(trace.status())));
        }
        let Some(options) = words.options else {
            let (packets, file) = trace.end(router)?;
            return Ok(Reply::new(Said::Ended { packets, file }));
        };
        trace.begin(router, options)?;
        Ok(Reply::none())
    });
    done.ok_or_else(|| CliError::at("there is no capture in this router"))?.map_err(CliError::at)
}

/// What the command answers.
#[derive(serde::Serialize)]
enum Said {
    Status(Option<Status>),
    Ended { packets: usize, file: String },
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Said::Status(None) => writeln!(f, "pcap dispatch capture disabled"),
            Said::Status(Some(status)) => {
                let Status { places, packets, max, file } = status;
                let places = places.join(" and ");
                writeln!(f, "pcap {places} dispatch capture enabled: {packets} of {max} pkts...")?;
                writeln!(f, "capture to file {file}")
            }
            Said::Ended { packets: 0, .. } => writeln!(f, "No packets captured..."),
            Said::Ended { packets, file } => writeln!(f, "Write {packets} packets to {file}, and stop capture..."),
        }
    }
}
