//! Real sockets on loopback.

use std::net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use proptest::prelude::*;

use super::origin::{CONTROL, read_control};
use super::*;

fn listener(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    let ipv6 = socket.local_addr().unwrap().is_ipv6();
    report_arrival(socket.as_fd(), ipv6).unwrap();
    ignore_path_mtu(socket.as_fd(), ipv6).unwrap();
    socket
}

fn client(to: &str, port: u16) -> UdpSocket {
    let any = if to.contains(':') {
        "[::]:0"
    } else {
        "0.0.0.0:0"
    };
    let socket = UdpSocket::bind(any).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    socket.connect((to, port)).unwrap();
    socket
}

/// Receives until `count` datagrams have come, answering each with itself reversed.
fn echo_reversed(socket: &UdpSocket, count: usize) -> Vec<Origin> {
    let mut recv = RecvBatch::listening(512);
    let mut send = SendBatch::new(512);
    let mut origins = Vec::new();
    while origins.len() < count {
        match recv.recv(socket.as_fd()) {
            Ok(n) => assert!(n > 0),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            }
            Err(error) => panic!("{error}"),
        }
        for i in 0..recv.len() {
            let datagram = recv.datagram(i).unwrap();
            let origin = recv.origin(i).unwrap();
            let slot = send.slot().unwrap();
            slot[..datagram.len()].copy_from_slice(datagram);
            slot[..datagram.len()].reverse();
            send.push(datagram.len(), &origin);
            origins.push(origin);
        }
        let waiting = send.len();
        assert_eq!(
            send.send(socket.as_fd()),
            SendReport {
                sent: waiting,
                ..Default::default()
            }
        );
        assert!(send.is_empty());
    }
    origins
}

/// A connected client only takes answers from the address that it asked.
#[test]
fn replies_leave_from_the_address_the_query_came_to() {
    for (bind, asked) in [
        ("0.0.0.0:0", "127.0.0.1"),
        ("0.0.0.0:0", "127.0.0.2"),
        ("0.0.0.0:0", "127.9.8.7"),
        ("127.0.0.3:0", "127.0.0.3"),
        ("[::]:0", "::1"),
        // A socket for both families: IPv4 arrives in mapped addresses.
        ("[::]:0", "127.0.0.2"),
    ] {
        let socket = listener(bind);
        let port = socket.local_addr().unwrap().port();
        let client = client(asked, port);
        client.send(b"hello").unwrap();
        let origin = echo_reversed(&socket, 1)[0];
        let mut answer = [0; 16];
        assert_eq!(
            client.recv(&mut answer).unwrap(),
            5,
            "{bind} asked at {asked}"
        );
        assert_eq!(&answer[..5], b"olleh");

        let peer = origin.peer().unwrap();
        assert_eq!(peer.port(), client.local_addr().unwrap().port());
        let arrival = origin.arrival().expect("the kernel says where it arrived");
        assert_eq!(
            arrival.address.to_canonical(),
            asked.parse::<IpAddr>().unwrap()
        );
        assert_ne!(arrival.interface, 0);
    }
}

/// Sends `waiting` datagrams, each longer than the one before, and takes them all in; the sizes of the batches.
fn taken_in(
    socket: &UdpSocket,
    client: &UdpSocket,
    batch: &mut RecvBatch,
    waiting: usize,
) -> Vec<usize> {
    for i in 0..waiting {
        client.send(&[i as u8; 100][..i]).unwrap();
    }
    let (mut seen, mut sizes) = (0, Vec::new());
    loop {
        match batch.recv(socket.as_fd()) {
            Ok(count) => {
                for i in 0..count {
                    let i = seen + i;
                    assert_eq!(batch.datagram(i - seen), Some(&[i as u8; 100][..i]));
                }
                seen += count;
                sizes.push(count);
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                assert!(batch.is_empty());
            }
        }
        // One that is not full says that there is nothing more.
        if !batch.is_full() {
            assert_eq!(seen, waiting);
            return sizes;
        }
    }
}

#[test]
fn a_batch_grows_to_32_while_more_is_waiting() {
    let socket = listener("127.0.0.1:0");
    let client = client("127.0.0.1", socket.local_addr().unwrap().port());
    let mut batch = RecvBatch::listening(512);
    assert_eq!(taken_in(&socket, &client, &mut batch, 40), [4, 8, 16, 12]);
    assert_eq!(
        taken_in(&socket, &client, &mut batch, 72),
        [BATCH, BATCH, 8]
    );
    assert_eq!(taken_in(&socket, &client, &mut batch, 64), [BATCH, BATCH]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn no_datagram_is_left_whatever_came_before(plan in prop::collection::vec(0usize..80, 1..12)) {
        let socket = listener("127.0.0.1:0");
        let client = client("127.0.0.1", socket.local_addr().unwrap().port());
        let mut batch = RecvBatch::listening(512);
        for waiting in plan {
            taken_in(&socket, &client, &mut batch, waiting);
        }
    }
}

#[test]
fn a_datagram_longer_than_its_buffer_is_known_for_one() {
    let socket = listener("127.0.0.1:0");
    let client = client("127.0.0.1", socket.local_addr().unwrap().port());
    for length in [100, 101, 5000, 0] {
        client.send(&vec![7; length]).unwrap();
    }
    let mut batch = RecvBatch::listening(100);
    assert_eq!(batch.recv(socket.as_fd()).unwrap(), 4);
    assert_eq!(batch.datagram(0), Some(&[7; 100][..]));
    assert_eq!(batch.datagram(1), None);
    assert_eq!(batch.datagram(2), None);
    assert_eq!(batch.datagram(3), Some(&[][..]));
}

#[test]
fn connected_sockets_need_no_addresses() {
    let server = listener("[::1]:0");
    let client = client("::1", server.local_addr().unwrap().port());
    let mut send = SendBatch::new(64);
    for text in [&b"one"[..], b"two"] {
        send.slot().unwrap()[..3].copy_from_slice(text);
        send.push_connected(3);
    }
    assert_eq!(send.send(client.as_fd()).sent, 2);
    echo_reversed(&server, 2);
    let mut recv = RecvBatch::connected(64);
    assert_eq!(recv.recv(client.as_fd()).unwrap(), 2);
    assert_eq!(recv.datagram(0), Some(&b"eno"[..]));
    assert_eq!(recv.datagram(1), Some(&b"owt"[..]));
    assert!(recv.origin(0).is_none());
}

#[test]
fn a_full_batch_has_no_slot() {
    let mut send = SendBatch::new(16);
    let to = Origin::new("127.0.0.1:9".parse().unwrap(), None);
    for _ in 0..BATCH {
        send.slot().unwrap();
        send.push(1, &to);
    }
    assert!(send.is_full());
    assert!(send.slot().is_none());
}

/// Port 0 and an unroutable source are errors of their datagrams alone.
#[test]
fn one_refused_datagram_does_not_keep_the_others_back() {
    let socket = listener("0.0.0.0:0");
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    let good = Origin::new(receiver.local_addr().unwrap(), None);
    let port_zero = Origin::new("127.0.0.1:0".parse().unwrap(), None);
    // An address from TEST-NET-1 (RFC 5737) that this host does not have.
    let foreign = Arrival {
        address: "192.0.2.1".parse().unwrap(),
        interface: 0,
    };
    let lost_address = Origin::new(receiver.local_addr().unwrap(), Some(foreign));
    let mut send = SendBatch::new(16);
    for (letter, to) in [
        (b'a', &good),
        (b'b', &port_zero),
        (b'c', &good),
        (b'd', &lost_address),
        (b'e', &good),
    ] {
        send.slot().unwrap()[0] = letter;
        send.push(1, to);
    }
    let report = send.send(socket.as_fd());
    assert_eq!((report.sent, report.full, report.refused), (3, 0, 2));
    assert!(report.error.is_some());
    let mut buffer = [0; 16];
    for letter in [b'a', b'c', b'e'] {
        assert_eq!(receiver.recv(&mut buffer).unwrap(), 1);
        assert_eq!(buffer[0], letter);
    }
}

#[test]
fn an_icmp_error_of_an_earlier_datagram_does_not_cost_the_next() {
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(address).unwrap();
    socket.send(b"nobody listens").unwrap();
    let back = UdpSocket::bind(address).unwrap();
    back.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut send = SendBatch::new(16);
    send.slot().unwrap()[0] = b'x';
    send.push_connected(1);
    let report = send.send(socket.as_fd());
    assert_eq!(
        report,
        SendReport {
            sent: 1,
            error: Some(libc::ECONNREFUSED),
            ..report
        }
    );
    assert_eq!(back.recv(&mut [0; 16]).unwrap(), 1);
}

#[test]
fn a_full_send_queue_gives_up_the_rest() {
    // UDP over loopback delivers at once and never backs up; a Unix socket whose peer does not read
    // does.
    let mut send = SendBatch::new(1024);
    let (one, _other) = std::os::unix::net::UnixDatagram::pair().unwrap();
    let mut full = 0;
    for _ in 0..1000 {
        while send.slot().is_some() {
            send.push_connected(1024);
        }
        let report = send.send(one.as_fd());
        assert_eq!(report.sent + report.full, BATCH);
        full += report.full;
    }
    assert!(full > 0);
}

#[test]
fn addresses_survive_the_way_through_bytes() {
    for text in [
        "192.0.2.1:53",
        "[2001:db8::1]:65535",
        "0.0.0.0:0",
        "[::ffff:10.0.0.1]:1",
    ] {
        let address: SocketAddr = text.parse().unwrap();
        assert_eq!(Origin::new(address, None).peer(), Some(address));
    }
    let scoped = SocketAddrV6::new("fe80::1".parse().unwrap(), 53, 5, 7).into();
    assert_eq!(Origin::new(scoped, None).peer(), Some(scoped));
}

#[test]
fn control_messages_are_read_as_written_and_garbage_is_none() {
    let peer = "127.0.0.1:1".parse().unwrap();
    for (address, interface, read_back) in
        [("10.1.2.3", 4, 0), ("2001:db8::7", 4, 0), ("fe80::7", 4, 4)]
    {
        let arrival = Arrival {
            address: address.parse().unwrap(),
            interface,
        };
        let mut control = [0; CONTROL];
        let length = Origin::new(peer, Some(arrival)).write_control(&mut control);
        let read = read_control(&control[..length]).unwrap();
        assert_eq!(
            read,
            Arrival {
                interface: read_back,
                ..arrival
            }
        );
        for cut in 0..length - size_of::<usize>() {
            assert_eq!(read_control(&control[..cut]), None);
        }
    }
    assert_eq!(read_control(&[0; CONTROL]), None);
    assert_eq!(read_control(&[0xff; CONTROL]), None);
}

#[test]
fn the_limit_of_open_files_can_be_raised_to_its_maximum() {
    let most = raise_open_files();
    let limit = getrlimit(Resource::Nofile);
    assert_eq!((limit.current, limit.maximum), (most, most));
}

#[test]
fn buffers_are_granted() {
    let socket = listener("127.0.0.1:0");
    assert_eq!(set_buffers(socket.as_fd(), 16 * 1024).unwrap(), 16 * 1024);
    assert!(set_buffers(socket.as_fd(), usize::MAX).is_err());
}
