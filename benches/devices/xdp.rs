//! The minimal loop over AF_XDP: two sockets with one memory, so that nothing is copied between them. It shares no code with
//! the driver that it is compared to.

use std::io::Error;
use std::mem::{size_of, zeroed};
use std::sync::atomic::{AtomicU32, Ordering};

use libc::{c_int, c_long, c_void};

use crate::loops::readdress;

const RING: u32 = 1024;
const CHUNK: usize = 2048;
const CHUNKS: usize = 4 * RING as usize;

/// From `r0` to `r1`; runs until it is killed, which takes the program off the device, too.
pub fn run() {
    // SAFETY: the program has one thread, and every mapping lives as long as it; what is read and written of the memory is
    // what the rings say is the program's.
    unsafe { forward() }
}

unsafe fn forward() {
    // SAFETY: as `run` says; each call is handed memory of its own with its true length.
    unsafe {
        let memory = map(CHUNKS * CHUNK, libc::MAP_ANONYMOUS | libc::MAP_PRIVATE | libc::MAP_POPULATE, -1, 0);
        let (from, to) = (Port::new("r0"), Port::new("r1"));
        let mut umem: libc::xdp_umem_reg = zeroed();
        (umem.addr, umem.len, umem.chunk_size) = (memory as u64, (CHUNKS * CHUNK) as u64, CHUNK as u32);
        from.set(libc::XDP_UMEM_REG, &umem);
        let mut from = from.rings();
        let mut to = to.rings();
        from.port.bind(None);
        to.port.bind(Some(from.port.socket));
        let _tie = attach(&from.port);
        (0..u64::from(RING)).for_each(|n| from.fill.write(n * CHUNK as u64));
        from.fill.publish();
        let mut free: Vec<u64> = (u64::from(RING)..CHUNKS as u64).map(|n| n * CHUNK as u64).collect();
        loop {
            for _ in 0..to.done.ready() {
                free.push(to.done.take());
            }
            to.done.release();
            let count = from.rx.ready().min(256).min(to.tx.room());
            for _ in 0..count {
                let frame: libc::xdp_desc = from.rx.take();
                readdress(std::slice::from_raw_parts_mut(memory.add(frame.addr as usize), frame.len as usize));
                to.tx.write(libc::xdp_desc { options: 0, ..frame });
            }
            from.rx.release();
            if count == 0 {
                let mut wait = libc::pollfd { fd: from.port.socket, events: libc::POLLIN, revents: 0 };
                libc::poll(&raw mut wait, 1, 100);
                continue;
            }
            for _ in 0..count.min(from.fill.room()) {
                let Some(address) = free.pop() else { break };
                from.fill.write(address & !(CHUNK as u64 - 1));
            }
            from.fill.publish();
            to.tx.publish();
            // The kernel sends some at a time.
            while to.tx.room() < RING
                && libc::sendto(to.port.socket, std::ptr::null(), 0, libc::MSG_DONTWAIT, std::ptr::null(), 0) < 0
            {
                if Error::last_os_error().raw_os_error() != Some(libc::EAGAIN) {
                    break;
                }
            }
        }
    }
}

/// A socket on queue 0 of a device.
struct Port {
    socket: c_int,
    device: u32,
}

struct Rings {
    port: Port,
    rx: Ring<libc::xdp_desc>,
    tx: Ring<libc::xdp_desc>,
    fill: Ring<u64>,
    done: Ring<u64>,
}

impl Port {
    fn new(name: &str) -> Port {
        let name = std::ffi::CString::new(name).unwrap();
        // SAFETY: a string that ends with zero.
        let device = unsafe { libc::if_nametoindex(name.as_ptr()) };
        // SAFETY: no pointers.
        let socket = sure(c_long::from(unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW, 0) })) as c_int;
        Port { socket, device }
    }

    unsafe fn set<T>(&self, option: c_int, value: &T) {
        let len = size_of::<T>() as u32;
        // SAFETY: the value's own length.
        sure(c_long::from(unsafe {
            libc::setsockopt(self.socket, libc::SOL_XDP, option, (&raw const *value).cast(), len)
        }));
    }

    unsafe fn rings(self) -> Rings {
        // SAFETY: plain data; options of the right types; the rings are mapped with the lengths that the offsets say.
        unsafe {
            for option in
                [libc::XDP_UMEM_FILL_RING, libc::XDP_UMEM_COMPLETION_RING, libc::XDP_RX_RING, libc::XDP_TX_RING]
            {
                self.set(option, &RING);
            }
            let mut at: libc::xdp_mmap_offsets = zeroed();
            let mut len = size_of::<libc::xdp_mmap_offsets>() as u32;
            let (option, out) = (libc::XDP_MMAP_OFFSETS, (&raw mut at).cast());
            sure(c_long::from(libc::getsockopt(self.socket, libc::SOL_XDP, option, out, &raw mut len)));
            Rings {
                rx: Ring::new(self.socket, &at.rx, libc::XDP_PGOFF_RX_RING),
                tx: Ring::new(self.socket, &at.tx, libc::XDP_PGOFF_TX_RING),
                fill: Ring::new(self.socket, &at.fr, libc::XDP_UMEM_PGOFF_FILL_RING as i64),
                done: Ring::new(self.socket, &at.cr, libc::XDP_UMEM_PGOFF_COMPLETION_RING as i64),
                port: self,
            }
        }
    }

    fn bind(&self, share: Option<c_int>) {
        let address = libc::sockaddr_xdp {
            sxdp_family: libc::AF_XDP as u16,
            sxdp_flags: if share.is_some() {
                libc::XDP_SHARED_UMEM
            } else {
                libc::XDP_COPY | libc::XDP_USE_NEED_WAKEUP
            },
            sxdp_ifindex: self.device,
            sxdp_queue_id: 0,
            sxdp_shared_umem_fd: share.unwrap_or(0) as u32,
        };
        let len = size_of::<libc::sockaddr_xdp>() as u32;
        // SAFETY: the address's own length. What newer kernels know beyond may fail.
        unsafe {
            sure(c_long::from(libc::bind(self.socket, (&raw const address).cast(), len)));
            let budget = RING;
            libc::setsockopt(self.socket, libc::SOL_XDP, 9, (&raw const budget).cast(), 4);
        }
    }
}

/// A ring of which this program is the writer or the reader.
///
/// Invariant: the pointers lead into a mapping of the ring's own that lasts as long as the program, with [`RING`] entries from
/// `entries` on.
struct Ring<T> {
    producer: *const AtomicU32,
    consumer: *const AtomicU32,
    entries: *mut T,
    at: u32,
}

impl<T: Copy> Ring<T> {
    /// # Safety
    /// The offsets must be the kernel's for this socket's ring of [`RING`] entries of `T` at this place.
    unsafe fn new(socket: c_int, offsets: &libc::xdp_ring_offset, place: i64) -> Ring<T> {
        let len = offsets.desc as usize + RING as usize * size_of::<T>();
        // SAFETY: the offsets are the kernel's for this mapping.
        unsafe {
            let start = map(len, libc::MAP_SHARED | libc::MAP_POPULATE, socket, place);
            Ring {
                producer: start.add(offsets.producer as usize).cast(),
                consumer: start.add(offsets.consumer as usize).cast(),
                entries: start.add(offsets.desc as usize).cast(),
                at: 0,
            }
        }
    }

    unsafe fn ready(&self) -> u32 {
        // SAFETY: the mapping lives.
        unsafe { &*self.producer }.load(Ordering::Acquire).wrapping_sub(self.at)
    }

    unsafe fn room(&self) -> u32 {
        // SAFETY: the mapping lives.
        RING - self.at.wrapping_sub(unsafe { &*self.consumer }.load(Ordering::Acquire))
    }

    unsafe fn take(&mut self) -> T {
        // SAFETY: the caller has seen that there is one.
        let value = unsafe { *self.entries.add((self.at % RING) as usize) };
        self.at = self.at.wrapping_add(1);
        value
    }

    unsafe fn write(&mut self, value: T) {
        // SAFETY: the caller has seen that there is room.
        unsafe { *self.entries.add((self.at % RING) as usize) = value };
        self.at = self.at.wrapping_add(1);
    }

    unsafe fn release(&self) {
        // SAFETY: the mapping lives.
        unsafe { &*self.consumer }.store(self.at, Ordering::Release);
    }

    unsafe fn publish(&self) {
        // SAFETY: the mapping lives.
        unsafe { &*self.producer }.store(self.at, Ordering::Release);
    }
}

/// Has the kernel compute checksums of what is sent by a device of the thread's namespace.
pub fn finish_checksums(name: &str) {
    /// `struct ethtool_value`
    #[repr(C)]
    struct Value {
        command: u32,
        data: u32,
    }
    const ETHTOOL_STXCSUM: u32 = 0x17;
    let mut value = Value { command: ETHTOOL_STXCSUM, data: 0 };
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    // SAFETY: plain data; the request's pointer is to what outlives the call.
    unsafe {
        let mut request: libc::ifreq = zeroed();
        request.ifr_name.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from as libc::c_char);
        request.ifr_ifru.ifru_data = (&raw mut value).cast();
        sure(c_long::from(libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&socket), libc::SIOCETHTOOL, &raw mut request)));
    }
}

unsafe fn map(len: usize, flags: c_int, descriptor: c_int, offset: i64) -> *mut u8 {
    let rights = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a mapping at a place of the kernel's choice.
    let start: *mut c_void = unsafe { libc::mmap(std::ptr::null_mut(), len, rights, flags, descriptor, offset) };
    assert!(start != libc::MAP_FAILED, "{}", Error::last_os_error());
    start.cast()
}

/// Has the device hand all frames to the socket; the descriptor that this gives keeps it so.
unsafe fn attach(port: &Port) -> c_long {
    // SAFETY: the attributes are laid out as the commands want them, and point to what lives until the calls return.
    unsafe {
        let bpf = |command: c_long, attr: &[u64]| -> c_long {
            sure(libc::syscall(libc::SYS_bpf, command, attr.as_ptr(), size_of_val(attr)))
        };
        // An XSKMAP of four-byte keys and values, one entry.
        let sockets = bpf(0, &[17 | 4 << 32, 4 | 1 << 32]);
        let (key, value) = (0_u32, port.socket);
        bpf(2, &[sockets as u64, (&raw const key) as u64, (&raw const value) as u64, 0]);
        // r2 = queue; r1 = the map; r3 = XDP_PASS; call bpf_redirect_map; exit
        let program: [u64; 6] =
            [0x0010_1261, 0x1118 | (sockets as u64) << 32, 0, 0x03b7 | 2 << 32, 0x85 | 51 << 32, 0x95];
        let attr = [6 | 6 << 32, program.as_ptr() as u64, c"GPL".as_ptr() as u64, 0, 0, 0, 0, 0, 37 << 32];
        let loaded = bpf(5, &attr);
        const NATIVE: u64 = 4;
        bpf(28, &[loaded as u64 | u64::from(port.device) << 32, 37 | NATIVE << 32])
    }
}

fn sure(answer: c_long) -> c_long {
    assert!(answer >= 0, "{}", Error::last_os_error());
    answer
}
