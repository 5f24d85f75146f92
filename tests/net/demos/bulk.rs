//! Long transfers: every byte arrives as it was sent, in segments as long as stock kernels like them.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nodes::sys::in_namespace;

use super::direct::{Direct, VIP, VIP6};
use super::lab::{Lab, tell};
use super::nat;
use crate::body::{Body, hash_of};

const GIGABYTE: u64 = 1 << 30;
const PORT: u16 = 5001;
/// What a transfer may stand still.
const PATIENCE: Duration = Duration::from_secs(30);

/// One at a time: each keeps the machine busy, and standing still counts as failing.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends or takes one body on each of so many connections: `G` and a length (8 bytes) asks for one, `P` announces one,
/// whose hash is the answer.
fn serve(namespace: &str, address: SocketAddr, connections: usize) {
    let listener = in_namespace(Some(namespace), || TcpListener::bind(address)).unwrap().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().take(connections).flatten() {
            // The client says what went wrong.
            let _ = transfer(&stream);
        }
    });
}

fn transfer(mut stream: &TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut head = [0; 9];
    stream.read_exact(&mut head)?;
    let bytes = u64::from_be_bytes(head[1..].try_into().unwrap());
    if head[0] == b'G' {
        Body::new(bytes).send(&mut stream)?;
        return Ok(());
    }
    let hash = hash_of(&mut BufReader::with_capacity(1 << 18, stream), bytes)?;
    stream.write_all(&hash.to_be_bytes())
}

fn connect(lab: &Lab, vip: &str, kind: u8, bytes: u64) -> TcpStream {
    let address: SocketAddr = format!("{vip}:{PORT}").parse().unwrap();
    let mut stream = lab.within("client", || TcpStream::connect_timeout(&address, PATIENCE)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&[&[kind][..], &bytes.to_be_bytes()].concat()).unwrap();
    stream
}

/// Downloads, and compares every byte.
fn download(lab: &Lab, vip: &str, bytes: u64) {
    let began = std::time::Instant::now();
    let mut stream = BufReader::with_capacity(1 << 18, connect(lab, vip, b'G', bytes));
    assert!(Body::new(bytes).compare(&mut stream).unwrap(), "the bytes differ");
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "more than was asked for");
    println!("{bytes} bytes down in {:?}", began.elapsed());
}

/// Uploads, and compares the hash of what arrived.
fn upload(lab: &Lab, vip: &str, bytes: u64) {
    let began = std::time::Instant::now();
    let mut stream = connect(lab, vip, b'P', bytes);
    let sent = Body::new(bytes).send(&mut stream).unwrap();
    let mut arrived = [0; 8];
    stream.read_exact(&mut arrived).unwrap();
    assert_eq!(u64::from_be_bytes(arrived), sent, "the hashes differ");
    println!("{bytes} bytes up in {:?}", began.elapsed());
}

#[test]
fn a_gigabyte_comes_down_through_nat() {
    let _alone = alone();
    let Some(net) = nat::lay_out("bulk-nat", 1) else { return };
    for (vip, encap, server) in [(format!("{VIP}/32"), "nat4", "10.0.11.2"), (format!("{VIP6}/128"), "nat6", "fd11::2")]
    {
        let key = format!("{vip} protocol tcp port {PORT}");
        tell(&net.lb, &format!("lb vip {key} encap {encap} type clusterip target_port {PORT}\nlb as {key} {server}"));
    }
    serve(net.lab.ns("server1"), format!("[::]:{PORT}").parse().unwrap(), 4);
    download(&net.lab, VIP, GIGABYTE);
    download(&net.lab, &format!("[{VIP6}]"), GIGABYTE);
    upload(&net.lab, VIP, GIGABYTE / 4);
    upload(&net.lab, &format!("[{VIP6}]"), GIGABYTE / 4);
}

/// Uploads in a tunnel to one server: a gigabyte over IPv4, a sixteenth over IPv6.
fn through(encap: &str, server: &str) {
    let _alone = alone();
    let Some(net) = Direct::with(&format!("bulk-{encap}"), 1, "") else { return };
    for (vip, address, bytes) in
        [(format!("{VIP}/32"), VIP.to_string(), GIGABYTE), (format!("{VIP6}/128"), format!("[{VIP6}]"), GIGABYTE / 16)]
    {
        tell(&net.lb, &format!("lb vip {vip} encap {encap}\nlb as {vip} {server}"));
        serve(net.lab.ns("server1"), format!("{address}:{PORT}").parse().unwrap(), 1);
        upload(&net.lab, &address, bytes);
    }
}

macro_rules! uploads {
    ($($test:ident $encap:literal $server:literal)+) => {
        $(
            #[test]
            fn $test() {
                through($encap, $server);
            }
        )+
    };
}

uploads! {
    an_upload_arrives_intact_in_gre4 "gre4" "10.0.11.2"
    an_upload_arrives_intact_in_gre6 "gre6" "fd11::2"
    an_upload_arrives_intact_in_ipip4 "ipip4" "10.0.11.2"
    an_upload_arrives_intact_in_ipip6 "ipip6" "fd11::2"
    an_upload_arrives_intact_in_gue4 "gue4" "10.0.11.2"
    an_upload_arrives_intact_in_gue6 "gue6" "fd11::2"
}
