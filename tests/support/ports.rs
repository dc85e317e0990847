//! Loopback ports below 32768: above, an outgoing connection may take a port in the moment before its server binds it.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// An address that nobody listens on at this moment.
pub fn free() -> SocketAddr {
    let listener = listen();
    listener.local_addr().expect("a bound listener has an address")
}

/// A listener on a free port.
pub fn listen() -> TcpListener {
    (0_u32..1000)
        .find_map(|attempt| TcpListener::bind((Ipv4Addr::LOCALHOST, random_port(attempt))).ok())
        .expect("one of a thousand random ports is free")
}

fn random_port(attempt: u32) -> u16 {
    let random = RandomState::new().hash_one(attempt); // seeded anew by each call
    FIRST + u16::try_from(random % u64::from(END - FIRST)).expect("a remainder is less than its divisor")
}

const FIRST: u16 = 10_000;
const END: u16 = 32_768;
