//! The telnet dialect of VPP's CLI socket (RFC 854, RFC 1091): what is negotiated, and data told from commands.

const IAC: u8 = 255;
const SB: u8 = 250;
const SE: u8 = 240;
const TERMINAL_TYPE: u8 = 24;
const WINDOW_SIZE: u8 = 31;

/// Sent on accept, in one write: VPP's client looks for the request of its terminal type in it.
pub(super) const GREETING: [u8; 36] = [
    0xff, 0xfc, 0x22, 0xff, 0xfe, 0x22, 0xff, 0xfb, 0x03, 0xff, 0xfd, 0x03, 0xff, 0xfb, 0x01, 0xff, 0xfe, 0x01, 0xff,
    0xfd, 0x18, 0xff, 0xfa, 0x18, 0x01, 0xff, 0xf0, 0xff, 0xfd, 0x1f, 0xff, 0xfa, 0x1f, 0x01, 0xff, 0xf0,
];

/// Bytes of a sub-negotiation that are kept; longer ones are cut.
const MOST: usize = 256;

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// A byte of data.
    Byte(u8),
    /// Its terminal's type.
    Terminal(String),
    /// Its terminal's width and height.
    Size(u16, u16),
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Data,
    Command,
    Option,
    Sub(Vec<u8>),
    SubCommand(Vec<u8>),
}

/// Takes a client's bytes apart.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    state: State,
}

impl Decoder {
    /// Takes one byte.
    pub(super) fn take(&mut self, byte: u8) -> Option<Input> {
        let (state, input) = match (std::mem::take(&mut self.state), byte) {
            (State::Data, IAC) => (State::Command, None),
            (State::Data, byte) => (State::Data, Some(Input::Byte(byte))),
            (State::Command, SB) => (State::Sub(Vec::new()), None),
            (State::Command, 251..=254) => (State::Option, None),
            (State::Command, IAC) => (State::Data, Some(Input::Byte(IAC))),
            (State::Command | State::Option, _) => (State::Data, None),
            (State::Sub(bytes), IAC) => (State::SubCommand(bytes), None),
            (State::Sub(mut bytes), byte) => {
                if bytes.len() < MOST {
                    bytes.push(byte);
                }
                (State::Sub(bytes), None)
            }
            (State::SubCommand(bytes), SE) => (State::Data, meaning(&bytes)),
            (State::SubCommand(mut bytes), byte) => {
                if bytes.len() < MOST {
                    bytes.push(byte);
                }
                (State::Sub(bytes), None)
            }
        };
        self.state = state;
        input
    }
}

fn meaning(bytes: &[u8]) -> Option<Input> {
    match bytes {
        [TERMINAL_TYPE, 0, name @ ..] => Some(Input::Terminal(String::from_utf8_lossy(name).into_owned())),
        [WINDOW_SIZE, w0, w1, h0, h1] => {
            Some(Input::Size(u16::from_be_bytes([*w0, *w1]), u16::from_be_bytes([*h0, *h1])))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Vec<Input> {
        let mut decoder = Decoder::default();
        bytes.iter().filter_map(|byte| decoder.take(*byte)).collect()
    }

    #[test]
    fn data_and_negotiation_are_told_apart() {
        let mut bytes = b"a\xff\xfa\x18\x00vppctl\xff\xf0b\xff\xfd\x03".to_vec();
        bytes.extend(b"\xff\xfa\x1f\x00\x50\x00\x18\xff\xf0c");
        assert_eq!(
            decode(&bytes),
            [
                Input::Byte(b'a'),
                Input::Terminal("vppctl".into()),
                Input::Byte(b'b'),
                Input::Size(80, 24),
                Input::Byte(b'c')
            ]
        );
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(bytes: Vec<u8>) {
            decode(&bytes);
        }
    }
}
