//! A server is taken away under traffic: nobody notices but those who were on it.

use std::collections::HashSet;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use crate::bed::{AtEnd, Net, VIP};
use crate::http::Connection;
use crate::packet::PacketSocket;

const REMOVED: &str = "server2";
const BEFORE: u8 = 0;
const CHANGING: u8 = 1;
const AFTER: u8 = 2;
const END: u8 = 3;

/// A request on a connection of its own: when it began, and what became of it.
struct Short {
    began: u8,
    ended: u8,
    /// The client's port, if it was connected.
    port: Option<u16>,
    result: io::Result<String>,
}

/// A connection with request after request: where it began, and how it ended.
struct Long {
    server: String,
    result: io::Result<usize>,
}

fn short(net: &Net, phase: &AtomicU8) -> Short {
    let began = phase.load(SeqCst);
    let mut port = None;
    let result = net.connect().and_then(|mut connection| {
        port = Some(connection.local.port());
        Ok(connection.get("/bytes/20000")?.server)
    });
    Short { began, ended: phase.load(SeqCst), port, result }
}

fn long(mut connection: Connection, server: String, phase: &AtomicU8, path: &str) -> Long {
    let mut ask = || -> io::Result<usize> {
        let mut answers = 0;
        while phase.load(SeqCst) != END {
            let now = connection.get(path)?.server;
            if now != server {
                return Err(io::Error::other(format!("moved from {server} to {now}")));
            }
            answers += 1;
        }
        Ok(answers)
    };
    let result = ask();
    Long { server, result }
}

/// The client's ports that a server has answered a SYN to, by what comes in on the link between them.
fn greeted(link: &PacketSocket, phase: &AtomicU8) -> HashSet<u16> {
    let (mut ports, mut buffer) = (HashSet::new(), [0; 1 << 16]);
    loop {
        match link.receive(&mut buffer) {
            Some([_, _, _, _, _, _, _, _, _, _, _, _, 8, 0, packet @ ..]) if packet[9] == 6 => {
                let tcp = &packet[20..];
                if tcp[13] & 0x12 == 0x12 {
                    ports.insert(u16::from_be_bytes([tcp[2], tcp[3]]));
                }
            }
            None if phase.load(SeqCst) == END => return ports,
            _ => (),
        }
    }
}

#[test]
fn a_removed_server_takes_nobody_elses_requests_along() {
    let Some(net) = Net::new("removed", 3) else { return };
    let servers = ["server1", "server2", "server3"];
    let mut connections: Vec<(Connection, String)> = Vec::new();
    let share = |connections: &[(Connection, String)], server: &str| {
        connections.iter().filter(|(_, name)| name == server).count()
    };
    // Which server a connection gets is a matter of its port: tried until each has some.
    for _ in 0..200 {
        let mut connection = net.connect().unwrap();
        let server = connection.get("/").unwrap().server;
        if share(&connections, &server) < 6 {
            connections.push((connection, server));
        }
        if connections.len() == 6 * servers.len() {
            break;
        }
    }
    for server in servers {
        assert_eq!(share(&connections, server), 6, "{server}");
    }
    let (phase, shorts, longs) = (AtomicU8::new(BEFORE), Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let link = PacketSocket::open(net.client(), "d2");
    let greeted = thread::scope(|scope| {
        let end = AtEnd(|| phase.store(END, SeqCst));
        let greeted = scope.spawn(|| greeted(&link, &phase));
        for (number, (connection, server)) in connections.into_iter().enumerate() {
            // Some ask all the time; some have one transfer of about two seconds going on.
            let path = if number % 3 == 0 { "/slow/150" } else { "/bytes/5000" };
            scope.spawn(|| {
                let end = long(connection, server, &phase, path);
                longs.lock().unwrap().push(end);
            });
        }
        for _ in 0..4 {
            scope.spawn(|| {
                while phase.load(SeqCst) != END {
                    let end = short(&net, &phase);
                    shorts.lock().unwrap().push(end);
                    thread::sleep(Duration::from_millis(5));
                }
            });
        }
        thread::sleep(Duration::from_millis(700));
        phase.store(CHANGING, SeqCst);
        net.vppctl(&format!("lb as {VIP}/32 10.0.12.2 del flush"));
        phase.store(AFTER, SeqCst);
        thread::sleep(Duration::from_millis(1800));
        drop(end);
        greeted.join().unwrap()
    });

    for Long { server, result } in longs.into_inner().unwrap() {
        match result {
            Ok(answers) => assert!(answers > 0 && server != REMOVED, "{server} was removed and went on answering"),
            // Flushed: the next packet went to a server that does not know the connection.
            Err(_) if server == REMOVED => (),
            Err(error) => panic!("a connection to {server}: {error}"),
        }
    }
    let shorts = shorts.into_inner().unwrap();
    let (mut before, mut after) = (0, 0);
    for Short { began, ended, port, result } in &shorts {
        match result {
            Ok(server) if *began >= AFTER => {
                assert_ne!(server, REMOVED, "a new request went to the removed server");
                after += 1;
            }
            Ok(server) => before += usize::from(server == REMOVED),
            Err(error) => {
                let torn = *began <= CHANGING && *ended >= CHANGING;
                let there = port.is_some_and(|port| greeted.contains(&port));
                assert!(torn && there, "a request from port {port:?}, in phases {began} to {ended}: {error}");
            }
        }
    }
    assert!(before > 0 && after > 20, "{before} requests to {REMOVED} before, {after} in all afterwards");
    // Clients that are still retransmitting are answered with a reset, by another server.
    assert!(net.vppctl("show lb vip verbose").contains("#as:2"), "{}", net.vppctl("show lb vip verbose"));
    assert_eq!(net.tally(30).keys().collect::<Vec<_>>(), ["server1", "server3"]);
}
