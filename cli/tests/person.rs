//! The CLI's socket, byte for byte, as a person's terminal sees it.

mod support;

use std::io::Write;
use std::time::Duration;

use support::{Served, is_closed, until};

#[test]
fn a_person_gets_banner_prompt_echo_and_editing() {
    let served = Served::new();
    let mut stream = served.terminal("xterm");
    assert_eq!(until(&mut stream, b"vpp# "), b"\rwelcome\r\nvpp# ");
    stream.write_all(b"hix\x7f\n").unwrap();
    assert_eq!(until(&mut stream, b"vpp# "), b"hix\x08 \x08\r\nyou said hi\r\nvpp# ");
    stream.write_all(b"sh\t").unwrap();
    assert_eq!(until(&mut stream, b"sho"), b"sho");
    stream.write_all(b"\x15quit\n").unwrap();
    assert!(is_closed(&mut stream));
    // Who keeps silent about its terminal gets a prompt, too.
    let mut silent = served.connect();
    assert_eq!(until(&mut silent, b"vpp# "), b"\rwelcome\r\nvpp# ");
}

#[test]
fn help_comes_at_once_and_the_line_stays() {
    let served = Served::new();
    let mut stream = served.terminal("dumb");
    until(&mut stream, b"vpp# ");
    stream.write_all(b"lb ?").unwrap();
    assert_eq!(until(&mut stream, b"vpp# lb "), b"lb ?\r\nhelp for `lb '\r\nvpp# lb ");
    stream.write_all(b"x\r\n\r\0").unwrap();
    assert_eq!(until(&mut stream, b"vpp# \r\nvpp# "), b"x\r\nyou said lb x\r\nvpp# \r\nvpp# ");
}

#[test]
fn long_output_is_shown_by_screens() {
    let served = Served::new();
    let mut stream = served.terminal("xterm");
    stream.write_all(b"\xff\xfa\x1f\x00\x50\x00\x05\xff\xf0").unwrap();
    until(&mut stream, b"vpp# ");
    stream.write_all(b"lines\n").unwrap();
    let more = until(&mut stream, b"(1-4/9)");
    assert_eq!(more, b"lines\r\n1\r\n2\r\n3\r\n4\r\n\r-- more -- (1-4/9)");
    let wiped = format!("\r{}\r", " ".repeat(18));
    stream.write_all(b" ").unwrap();
    let more = until(&mut stream, b"(5-8/9)");
    assert_eq!(String::from_utf8(more).unwrap(), format!("{wiped}5\r\n6\r\n7\r\n8\r\n\r-- more -- (5-8/9)"));
    stream.write_all(b"q").unwrap();
    assert_eq!(String::from_utf8(until(&mut stream, b"vpp# ")).unwrap(), format!("{wiped}vpp# "));
}

#[test]
fn long_output_that_comes_in_parts_is_shown_by_screens() {
    let served = Served::new();
    let mut stream = served.terminal("xterm");
    stream.write_all(b"\xff\xfa\x1f\x00\x50\x00\x05\xff\xf0").unwrap();
    until(&mut stream, b"vpp# ");
    stream.write_all(b"parts\n").unwrap();
    let more = until(&mut stream, b"(1-4/9)");
    assert_eq!(more, b"parts\r\n1\r\n2\r\n3\r\n4\r\n\r-- more -- (1-4/9)");
    // A terminal that has not told its height gets all at once.
    let mut stream = served.terminal("xterm");
    until(&mut stream, b"vpp# ");
    stream.write_all(b"parts\n").unwrap();
    assert!(until(&mut stream, b"vpp# ").ends_with(b"8\r\n9\r\nvpp# "));
}

#[test]
fn a_line_without_end_is_refused() {
    let served = Served::new();
    let mut stream = served.terminal("dumb");
    until(&mut stream, b"vpp# ");
    let mut writer = stream.try_clone().unwrap();
    // The server closes before all of it is written.
    let flood = std::thread::spawn(move || drop(writer.write_all(&vec![b'x'; 1 << 20])));
    until(&mut stream, b"x\r\nline longer than 65536 bytes\r\n");
    assert!(is_closed(&mut stream));
    flood.join().unwrap();
}

#[test]
fn an_interrupt_ends_a_command_and_not_the_session() {
    let served = Served::new();
    let mut stream = served.terminal("xterm");
    until(&mut stream, b"vpp# ");
    stream.write_all(b"endless\n").unwrap();
    until(&mut stream, b"endless\r\n");
    std::thread::sleep(Duration::from_millis(20));
    // What was typed meanwhile runs, but for what came before the interrupt.
    stream.write_all(b"lost\x03kept\n").unwrap();
    assert_eq!(until(&mut stream, b"kept\r\nvpp# "), b"^C\r\nvpp# kept\r\nyou said kept\r\nvpp# ");
    assert_eq!(served.cancelled(), 1);
    stream.write_all(&[4]).unwrap();
    assert!(is_closed(&mut stream));
}
