//! Queries by datagram.

use tokio::net::UdpSocket;

use super::*;

async fn client(to: SocketAddr) -> UdpSocket {
    let any: IpAddr = if to.is_ipv6() {
        "::".parse().unwrap()
    } else {
        "0.0.0.0".parse().unwrap()
    };
    let socket = UdpSocket::bind((any, 0)).await.unwrap();
    socket.connect(to).await.unwrap();
    socket
}

async fn recv(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 65536];
    let length = socket.recv(&mut buffer).await.unwrap();
    buffer.truncate(length);
    buffer
}

async fn ask(socket: &UdpSocket, query: &[u8]) -> Vec<u8> {
    socket.send(query).await.unwrap();
    recv(socket).await
}

#[test]
fn what_is_known_is_answered_at_once_and_the_rest_later() {
    with(Setup::default(), async |rig| {
        let client = client(rig.address).await;
        client.send(&query(1, "late-20")).await.unwrap();
        assert_eq!(read(&ask(&client, &query(2, "hit")).await), (2, NOERROR));
        assert_eq!(read(&recv(&client).await), (1, NOERROR));
        assert_eq!(
            (rig.queries("udp", "hit"), rig.queries("udp", "miss")),
            (1, 1)
        );
        assert_eq!(rig.front.waiting(), 0);
    });
}

#[test]
fn every_answer_leaves_from_the_address_that_was_asked() {
    for (listen, asked) in [
        ("0.0.0.0", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.2"),
        ("127.0.0.3", "127.0.0.3"),
    ]
    .into_iter()
    .chain([("::", "::1"), ("::1", "::1")])
    {
        let listen = listen.parse().unwrap();
        with(
            Setup {
                listen,
                ..Setup::default()
            },
            async |rig| {
                let client =
                    client((asked.parse::<IpAddr>().unwrap(), rig.address.port()).into()).await;
                assert_eq!(read(&ask(&client, &query(1, "hit")).await), (1, NOERROR));
                assert_eq!(read(&ask(&client, &query(2, "late-1")).await), (2, NOERROR));
            },
        );
    }
}

#[test]
fn clients_not_allowed_are_refused_whatever_they_ask() {
    let setup = Setup {
        allow: vec!["10.0.0.0/8"],
        ..Setup::default()
    };
    with(setup, async |rig| {
        let client = client(rig.address).await;
        assert_eq!(read(&ask(&client, &query(1, "hit")).await), (1, REFUSED));
        let mut any = query(2, "hit");
        let type_at = any.len() - 3;
        any[type_at] = 255;
        let refused = ask(&client, &any).await;
        assert_eq!(read(&refused), (2, REFUSED));
        assert_eq!(refused[7], 0, "no answer record");
        assert_eq!(rig.queries("udp", "refused"), 2);
        assert!(rig.service.limits.borrow().is_empty());
        assert!(
            ask(&client, &query_edns(3, "hit", 1232))
                .await
                .ends_with(&[0, 15, 0, 2, 0, 18])
        );
    });
}

#[test]
fn what_is_no_query_gets_no_answer() {
    with(Setup::default(), async |rig| {
        let client = client(rig.address).await;
        let mut response = query(1, "hit");
        response[2] |= 0x80;
        client.send(&response).await.unwrap();
        client.send(b"short").await.unwrap();
        client.send(&[]).await.unwrap();
        client.send(&[0; 5000]).await.unwrap();
        assert_eq!(read(&ask(&client, &query(2, "hit")).await), (2, NOERROR));
        assert_eq!(rig.dropped("response"), 1);
        assert_eq!(rig.dropped("short"), 2);
        assert_eq!(rig.dropped("oversize"), 1);
        assert_eq!(rig.queries("udp", "hit"), 1);
    });
}

/// Other opcodes get NOTIMP from the front door; the service does not hear of them.
#[test]
fn what_is_no_plain_query_is_rejected() {
    with(Setup::default(), async |rig| {
        let client = client(rig.address).await;
        let mut status = query(1, "hit");
        status[2] = 2 << 3;
        assert_eq!(read(&ask(&client, &status).await), (1, 4));
        assert_eq!(rig.queries("udp", "rejected"), 1);
        assert!(rig.service.limits.borrow().is_empty());
    });
}

#[test]
fn answers_keep_to_what_the_client_takes() {
    with(Setup::default(), async |rig| {
        let client = client(rig.address).await;
        for (query, length) in [
            (query(1, "big-3000"), 512),
            (query_edns(2, "big-3000", 4096), 1232),
            (query_edns(3, "big-3000", 900), 900),
            (query_edns(4, "big-3000", 0), 512),
        ] {
            let answer = ask(&client, &query).await;
            assert_eq!(answer.len(), length);
            assert_ne!(answer[2] & 0x02, 0);
        }
        assert_eq!(*rig.service.limits.borrow(), [512, 1232, 900, 512]);
        assert_eq!(rig.metric("byway_truncated_answers_total"), 4);
    });
}

/// More than any number of full batches in a row, sent before the worker can look.
#[test]
fn no_datagram_is_left_behind() {
    with(Setup::default(), async |rig| {
        for count in [1, 31, 32, 33, 64, 300] {
            let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            client.connect(rig.address).unwrap();
            // Room for all answers, which come before the first is read.
            sys::set_buffers(client.as_fd(), 1 << 20).unwrap();
            for id in 0..count {
                client.send(&query(id, "hit")).unwrap();
            }
            client.set_nonblocking(true).unwrap();
            let client = UdpSocket::from_std(client).unwrap();
            for id in 0..count {
                assert_eq!(read(&recv(&client).await), (id, NOERROR));
            }
        }
    });
}

#[test]
fn a_panic_costs_one_query() {
    with(Setup::default(), async |rig| {
        let client = client(rig.address).await;
        for (id, label) in [
            (1, "hit"),
            (2, "panic"),
            (3, "hit"),
            (4, "panic"),
            (5, "hit"),
        ] {
            client.send(&query(id, label)).await.unwrap();
        }
        for id in [1, 3, 5] {
            assert_eq!(read(&recv(&client).await), (id, NOERROR));
        }
        assert_eq!(read(&ask(&client, &query(6, "hit")).await), (6, NOERROR));
    });
}

#[test]
fn stopping_answers_what_is_in_flight_and_nothing_else() {
    with(Setup::default(), async |rig| {
        let client = client(rig.address).await;
        client.send(&query(1, "late-50")).await.unwrap();
        client.send(&query(2, "lost")).await.unwrap();
        rig.until(|| rig.front.waiting() == 1).await;
        rig.front.stop();
        client.send(&query(3, "hit")).await.unwrap();
        rig.front.drained().await;
        assert_eq!(read(&recv(&client).await), (1, NOERROR));
        assert!(client.try_recv(&mut [0; 512]).is_err());
    });
}

/// More answers at once than one batch holds.
#[test]
fn late_answers_collect_and_all_go_out() {
    with(Setup::default(), async |rig| {
        let client = client(rig.address).await;
        for id in 0..100 {
            client.send(&query(id, "held")).await.unwrap();
        }
        rig.until(|| rig.service.held.borrow().len() == 100).await;
        rig.service.release();
        let mut ids = Vec::new();
        for _ in 0..100 {
            ids.push(read(&recv(&client).await).0);
        }
        ids.sort();
        assert_eq!(ids, (0..100).collect::<Vec<_>>());
    });
}
