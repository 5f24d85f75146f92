//! Packets of QUIC and connection IDs that name servers, by any configuration.
#![no_main]

use lb::quic_lb::{Config, QuicLb, ServerId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&[id, server_id_len, nonce_len, flags, random], rest)) = data.split_first_chunk::<5>() else { return };
    let Some((key, rest)) = rest.split_first_chunk::<16>() else { return };
    let key = (flags & 1 != 0).then_some(*key);
    let config = Config { id, server_id_len, nonce_len, key, encodes_len: flags & 2 != 0 };
    let valid =
        id < 7 && (1..=15).contains(&server_id_len) && (4..=18).contains(&nonce_len) && server_id_len + nonce_len <= 19;
    let balancer = match QuicLb::new(config) {
        Ok(balancer) => balancer,
        Err(error) => return assert!(!valid, "{error}"),
    };
    assert!(valid);
    // Whatever comes: a server ID of the configured length, or none.
    if let Some(found) = balancer.server_id(rest) {
        assert_eq!(found.as_slice().len(), usize::from(server_id_len));
    }
    // What a server writes is read, in both kinds of headers.
    let mut bytes = [0; 33];
    bytes.iter_mut().zip(rest).for_each(|(byte, other)| *byte = *other);
    let server = ServerId::new(&bytes[..usize::from(server_id_len)]).expect("1 to 15 bytes");
    let nonce = &bytes[15..15 + usize::from(nonce_len)];
    let cid = balancer.connection_id(&server, nonce, random).expect("lengths as configured");
    let short = [&[random & 0x7f], &cid[..], rest].concat();
    let long = [&[random | 0x80, 1, 2, 3, 4, cid.len() as u8], &cid[..], rest].concat();
    assert_eq!(balancer.server_id(&short), Some(server));
    assert_eq!(balancer.server_id(&long), Some(server));
});
