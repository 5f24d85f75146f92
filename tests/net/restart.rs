//! The balancer's daemon is killed and started again.

use std::time::{Duration, Instant};

use crate::bed::Net;

#[test]
fn a_killed_daemon_starts_again_and_connections_go_on() {
    let Some(net) = Net::new("restart", 3) else { return };
    let mut connections = Vec::new();
    for _ in 0..9 {
        let mut connection = net.connect().unwrap();
        let server = connection.get("/").unwrap().server;
        connections.push((connection, server));
    }
    for round in 0..3 {
        net.lb.kill();
        assert!(net.lb.socket().exists(), "nobody tidied up");
        let began = Instant::now();
        net.lb.restart();
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        // It remembers nothing, and gives every flow the server that it had: the table is a matter of configuration.
        for (connection, server) in &mut connections {
            let answer = connection.get("/bytes/3000");
            let answer = answer.unwrap_or_else(|error| panic!("round {round}: a connection to {server}: {error}"));
            assert_eq!(answer.server, *server);
        }
        // More where ends of older connections were still to be said.
        assert!(net.counter("first session packet:") >= 9);
        let tally = net.tally(20);
        assert!(tally.len() > 1, "{tally:?}");
    }
}
