//! The draft's test vectors (appendix B), and what must hold of any configuration and packet.

use proptest::prelude::*;

use super::*;

const KEY: &str = "8f95f09245765f80256934e50c66207f";

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn config(id: u8, server_id_len: usize, nonce_len: usize, key: Option<&str>) -> Config {
    let key = key.map(|key| hex(key).try_into().unwrap());
    Config { id, server_id_len: server_id_len as u8, nonce_len: nonce_len as u8, key, encodes_len: true }
}

/// A packet with a short header.
fn short(cid: &[u8]) -> Vec<u8> {
    [&[0x40], cid, &[7; 20]].concat()
}

/// A packet with a long header of some version.
fn long(cid: &[u8]) -> Vec<u8> {
    [&[0xc0, 0xfa, 0xce, 0xb0, 0x0c, cid.len() as u8], cid, &[4, 1, 2, 3, 4, 7, 7]].concat()
}

#[track_caller]
fn vector(id: u8, server: &str, nonce: &str, key: Option<&str>, cid: &str) {
    let (server, nonce, cid) = (hex(server), hex(nonce), hex(cid));
    let balancer = QuicLb::new(config(id, server.len(), nonce.len(), key)).unwrap();
    let server = ServerId::new(&server).unwrap();
    assert_eq!(balancer.connection_id(&server, &nonce, 0).unwrap(), cid);
    assert_eq!(balancer.server_id(&short(&cid)), Some(server));
    assert_eq!(balancer.server_id(&long(&cid)), Some(server));
}

#[test]
fn plain() {
    vector(0, "c4605e", "4504cc4f", None, "07c4605e4504cc4f");
    // The second vector of appendix B.1 cannot be: its server ID and nonce have odd numbers of digits among them, and its
    // first byte says 0 bytes. With the bytes where they stand in the connection ID, and its length, it is this.
    vector(1, "a350d28b42", "03487d970b", None, "2aa350d28b4203487d970b");
}

#[test]
fn encrypted() {
    vector(0, "ed793a", "ee080dbf", Some(KEY), "0720b1d07b359d3c");
    vector(1, "ed793a51d49b8f5fab65", "ee080dbf48", Some(KEY), "2fcc381bc74cb4fbad2823a3d1f8fed2");
    // One block of 16 bytes.
    vector(2, "ed793a51d49b8f5f", "ee080dbf48c0d1e5", Some(KEY), "504dd2d05a7b0de9b2b9907afb5ecf8cc3");
    // The draft says configuration 3 and shows a first byte of configuration 0.
    vector(0, "ed793a51d49b8f5fab", "ee080dbf48c0d1e55d", Some(KEY), "125779c9cc86beb3a3a4a3ca96fce4bfe0cdbc");
}

#[test]
fn the_example_of_the_algorithm() {
    // Section 5.4.2.4.
    vector(0, "31441a", "9c69c275", Some("fdf726a9893ec05c0632d3956680baf0"), "0767947d29be054a");
}

#[test]
fn configurations_that_cannot_be() {
    let refused = |id, server, nonce| QuicLb::new(config(id, server, nonce, None)).unwrap_err();
    assert_eq!(refused(7, 4, 4), QuicLbError::Id(7));
    assert_eq!(refused(0, 0, 4), QuicLbError::ServerId(0));
    assert_eq!(refused(0, 16, 4), QuicLbError::ServerId(16));
    assert_eq!(refused(0, 4, 3), QuicLbError::Nonce(3));
    assert_eq!(refused(0, 1, 19), QuicLbError::Nonce(19));
    assert_eq!(refused(0, 2, 18), QuicLbError::Both(20));
    assert_eq!(refused(0, 15, 5), QuicLbError::Both(20));
    let one = QuicLb::new(config(3, 15, 4, None)).unwrap();
    assert_eq!(one.clone().and(config(3, 4, 4, None)).unwrap_err(), QuicLbError::Twice(3));
    let server = ServerId::new(&[1]).unwrap();
    let length = QuicLbError::Length { expected: 15, got: 1 };
    assert_eq!(one.connection_id(&server, &[1; 4], 0), Err(length));
    assert!(!format!("{:?}", config(1, 4, 4, Some(KEY))).contains("8f"), "keys are not shown");
}

#[test]
fn servers_change_over_from_one_configuration_to_the_next() {
    let (old, new) = (config(1, 2, 6, None), config(2, 4, 8, Some(KEY)));
    let both = QuicLb::new(old).unwrap().and(new).unwrap();
    for (config, id) in [(old, &[1, 2][..]), (new, &[3, 4, 5, 6])] {
        let id = ServerId::new(id).unwrap();
        let alone = QuicLb::new(config).unwrap();
        let cid = alone.connection_id(&id, &[9; 8][..usize::from(config.nonce_len)], 0).unwrap();
        assert_eq!((both.server_id(&short(&cid)), both.server_id(&long(&cid))), (Some(id), Some(id)));
    }
    // Of another one, and of none.
    for first in [0x68, 0xe8] {
        let cid = [&[first][..], &[1; 12]].concat();
        assert_eq!((both.server_id(&short(&cid)), both.server_id(&long(&cid))), (None, None));
    }
}

#[test]
fn connection_ids_that_name_nobody() {
    let balancer = QuicLb::new(config(0, 3, 4, None)).unwrap();
    let cid = hex("07c4605e4504cc4f");
    // Too short, as many that clients make up.
    assert_eq!(balancer.server_id(&long(&cid[..7])), None);
    assert_eq!(balancer.server_id(&[&[0x40], &cid[..7]].concat()), None);
    // Longer than it says.
    assert_eq!(balancer.server_id(&long(&[&cid[..], &[1]].concat())), None);
    for payload in [&[][..], &[0x40], &[0xc0], &[0xc0, 0, 0, 0, 1], &[0xc0, 0, 0, 0, 1, 0], &[0xc0, 0, 0, 0, 1, 9, 7]] {
        assert_eq!(balancer.server_id(payload), None, "{payload:x?}");
    }
    // Servers that do not write the length may write what they like, and more bytes behind.
    let lenient = QuicLb::new(Config { encodes_len: false, ..config(0, 3, 4, None) }).unwrap();
    let more = [&[0x1f][..], &cid[1..], &[1, 2, 3]].concat();
    assert_eq!(lenient.server_id(&long(&more)).map(|id| id.to_string()), Some("c4605e".into()));
    assert_eq!(lenient.server_id(&long(&cid[..7])), None);
}

#[test]
fn server_ids_are_typed_in_hexadecimal_digits() {
    let id: ServerId = "0xC4605e".parse().unwrap();
    assert_eq!((id.to_string().as_str(), id.as_slice()), ("c4605e", &[0xc4, 0x60, 0x5e][..]));
    assert_eq!("01".repeat(15).parse::<ServerId>().unwrap().to_string(), "01".repeat(15));
    assert_ne!("00".parse::<ServerId>(), "0000".parse::<ServerId>());
    for text in ["", "0x", "1", "xy", "+1", "0x1", "ä", &"00".repeat(16)] {
        assert_eq!(text.parse::<ServerId>(), Err(ServerIdError), "{text}");
    }
}

/// Any configuration there can be.
fn configs() -> impl Strategy<Value = Config> {
    let lens = (1..=15u8).prop_flat_map(|server| (Just(server), 4..=(19 - server).min(18)));
    (0..7u8, lens, any::<Option<[u8; 16]>>(), any::<bool>()).prop_map(
        |(id, (server_id_len, nonce_len), key, encodes_len)| Config { id, server_id_len, nonce_len, key, encodes_len },
    )
}

proptest! {
    #[test]
    fn what_servers_write_is_read(config in configs(), bytes: [u8; 33], random: u8, more in prop::collection::vec(any::<u8>(), 0..9)) {
        let balancer = QuicLb::new(config).unwrap();
        let server = ServerId::new(&bytes[..usize::from(config.server_id_len)]).unwrap();
        let nonce = &bytes[15..15 + usize::from(config.nonce_len)];
        let mut cid = balancer.connection_id(&server, nonce, random).unwrap();
        prop_assert_eq!(cid.len(), 1 + usize::from(config.server_id_len + config.nonce_len));
        prop_assert_eq!(balancer.server_id(&short(&cid)), Some(server));
        prop_assert_eq!(balancer.server_id(&long(&cid)), Some(server));
        if config.key.is_some() && config.server_id_len >= 4 {
            // Four bytes are hidden by chance once in 2^32.
            prop_assert_ne!(&cid[1..5], &server.as_slice()[..4]);
        }
        if !config.encodes_len {
            cid.extend(more);
            prop_assert_eq!(balancer.server_id(&long(&cid)), Some(server));
        }
    }

    /// Two passes less or one less find the same server.
    #[test]
    fn all_of_the_text_comes_back(key: [u8; 16], text in prop::collection::vec(any::<u8>(), 5..20)) {
        let cipher = Cipher::new(&key);
        let mut hidden = text.clone();
        cipher.encrypt(&mut hidden);
        for wanted in 1..=text.len() {
            let mut found = hidden.clone();
            cipher.decrypt(&mut found, wanted);
            prop_assert_eq!(&found[..wanted], &text[..wanted]);
        }
    }

    #[test]
    fn nothing_panics(config in configs(), payload in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = QuicLb::new(config).unwrap().server_id(&payload);
    }
}
