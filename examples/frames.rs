//! `frames FILE.pcap VIP` reads what a balancer took in and sent out (`pcap trace rx tx`) of packets to an IPv4 address,
//! and says whether each that went out is one that came in, with another destination MAC and nothing else changed. It
//! prints the first of them side by side, and exits with 1 when anything else differs, or when there are none.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::process::ExitCode;

/// Pairs that are printed.
const SHOWN: usize = 6;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, vip] = arguments.as_slice() else {
        eprintln!("usage: frames FILE.pcap VIP");
        return ExitCode::from(2);
    };
    let result = vip.parse().map_err(|_| format!("expected an IPv4 address, got `{vip}`"));
    match result.and_then(|vip| compare(&read(file)?, vip)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("frames: {error}");
            ExitCode::from(2)
        }
    }
}

/// The frames of a file, oldest first.
fn read(file: &str) -> Result<Vec<Vec<u8>>, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("{file}: {error}"))?;
    let (head, mut rest) = bytes.split_at_checked(24).ok_or_else(|| format!("{file}: no pcap file"))?;
    let magic = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
    if magic != 0xa1b2_c3d4 && magic != 0xa1b2_3c4d {
        return Err(format!("{file}: no pcap file of this kind of machine"));
    }
    let mut frames = Vec::new();
    while let Some((record, more)) = rest.split_at_checked(16) {
        let len = u32::from_le_bytes([record[8], record[9], record[10], record[11]]) as usize;
        let (frame, more) = more.split_at_checked(len).ok_or_else(|| format!("{file}: it ends in a packet"))?;
        frames.push(frame.to_vec());
        rest = more;
    }
    Ok(frames)
}

/// Pairs frames that differ in the first six bytes, at most.
fn compare(frames: &[Vec<u8>], vip: Ipv4Addr) -> Result<bool, String> {
    let to_vip = |frame: &&Vec<u8>| frame.len() >= 34 && frame[12..14] == [8, 0] && frame[30..34] == vip.octets();
    let all: Vec<_> = frames.iter().filter(to_vip).collect();
    let ours = all.first().map(|first| first[..6].to_vec()).ok_or_else(|| format!("no packet to {vip}"))?;
    let (mut came, mut went, mut lone) = (HashMap::<&[u8], usize>::new(), 0, 0);
    for frame in all {
        if frame[..6] == *ours {
            *came.entry(&frame[6..]).or_default() += 1;
            continue;
        }
        match came.get_mut(&frame[6..]).filter(|count| **count > 0) {
            Some(count) => *count -= 1,
            None => {
                lone += 1;
                eprintln!("went out, and did not come in: {}", line(frame));
            }
        }
        went += 1;
        if went <= SHOWN {
            println!("in   {} > {}", mac(&ours), line(frame));
            println!("out  {} > {}", mac(&frame[..6]), line(frame));
        }
    }
    let left: usize = came.values().sum();
    println!("{went} packets went out; differing in more than the destination MAC: {lone}; not sent on: {left}");
    Ok(went > 0 && lone == 0 && left == 0)
}

fn mac(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

/// What stands behind the destination MAC, in short.
fn line(frame: &[u8]) -> String {
    let address = |at: usize| Ipv4Addr::new(frame[at], frame[at + 1], frame[at + 2], frame[at + 3]);
    let (from, to, ttl, protocol) = (address(26), address(30), frame[22], frame[23]);
    let sum = u16::from_be_bytes([frame[24], frame[25]]);
    format!(
        "{} {from} > {to} protocol {protocol} ttl {ttl} checksum {sum:04x} {} bytes",
        mac(&frame[6..12]),
        frame.len()
    )
}
