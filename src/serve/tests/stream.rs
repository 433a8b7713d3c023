//! Queries by TCP.

use std::io::ErrorKind;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

fn limits() -> Limits {
    Limits::default()
}

fn setup(limits: Limits) -> Setup {
    Setup {
        limits,
        ..Setup::default()
    }
}

async fn connect(rig: &Rig) -> TcpStream {
    let stream = TcpStream::connect(rig.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn framed(message: &[u8]) -> Vec<u8> {
    let mut framed = (message.len() as u16).to_be_bytes().to_vec();
    framed.extend(message);
    framed
}

async fn send(stream: &mut TcpStream, message: &[u8]) {
    stream.write_all(&framed(message)).await.unwrap();
}

/// The next answer; `None` at the end of the connection.
async fn recv(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let length = match stream.read_u16().await {
        Ok(length) => length,
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return None,
        Err(error) => panic!("{error}"),
    };
    let mut message = vec![0; length.into()];
    stream.read_exact(&mut message).await.unwrap();
    Some(message)
}

async fn ids(stream: &mut TcpStream, count: usize) -> Vec<u16> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(read(&recv(stream).await.expect("an answer")).0);
    }
    ids
}

/// Whether the server has ended the connection, one way or the other.
async fn is_cut(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest).await {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn queries_are_answered_as_the_answers_come() {
    with(setup(limits()), async |rig| {
        let mut client = connect(rig).await;
        send(&mut client, &query(1, "late-100")).await;
        send(&mut client, &query(2, "late-1")).await;
        send(&mut client, &query(3, "hit")).await;
        assert_eq!(ids(&mut client, 3).await, [3, 2, 1]);
        assert_eq!(
            (rig.queries("tcp", "hit"), rig.queries("tcp", "miss")),
            (1, 2)
        );
    });
}

#[test]
fn many_queries_in_one_segment_get_as_many_answers() {
    with(setup(limits()), async |rig| {
        let mut client = connect(rig).await;
        let queries: Vec<u8> = (0..2000).flat_map(|id| framed(&query(id, "hit"))).collect();
        client.write_all(&queries).await.unwrap();
        assert_eq!(ids(&mut client, 2000).await, (0..2000).collect::<Vec<_>>());
        assert_eq!(rig.queries("tcp", "hit"), 2000);
    });
}

#[test]
fn octets_may_come_one_by_one() {
    with(setup(limits()), async |rig| {
        let mut client = connect(rig).await;
        for octet in framed(&query(7, "hit"))
            .into_iter()
            .chain(framed(&query(8, "hit")))
        {
            client.write_all(&[octet]).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(ids(&mut client, 2).await, [7, 8]);
    });
}

/// However the stream is cut into segments, the same answers come.
#[test]
fn segments_do_not_matter() {
    with(setup(limits()), async |rig| {
        for seed in 0..30 {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut client = connect(rig).await;
            let labels: Vec<String> = (0..50)
                .map(|_| match rng.random_range(0..3) {
                    0 => "late-1".to_owned(),
                    1 => format!("big-{}", rng.random_range(0..5000)),
                    _ => "hit".to_owned(),
                })
                .collect();
            let mut stream: Vec<u8> = (0..50)
                .flat_map(|id| framed(&query(id, &labels[usize::from(id)])))
                .collect();
            while !stream.is_empty() {
                let cut = rng.random_range(1..=200).min(stream.len());
                client.write_all(&stream[..cut]).await.unwrap();
                stream.drain(..cut);
                if rng.random() {
                    tokio::time::sleep(Duration::from_micros(300)).await;
                }
            }
            let mut answered = ids(&mut client, 50).await;
            answered.sort();
            assert_eq!(answered, (0..50).collect::<Vec<_>>(), "seed {seed}");
        }
    });
}

#[test]
fn the_largest_answers_and_queries_pass() {
    with(setup(limits()), async |rig| {
        let mut client = connect(rig).await;
        let mut padded = query(1, "big-65535");
        padded.resize(65535, 0);
        send(&mut client, &padded).await;
        send(&mut client, &query(2, "big-65535")).await;
        for id in [1, 2] {
            let answer = recv(&mut client).await.unwrap();
            assert_eq!((read(&answer), answer.len()), ((id, NOERROR), 65535));
        }
        assert_eq!(*rig.service.limits.borrow(), [65535, 65535]);
    });
}

#[test]
fn a_client_that_has_shut_down_its_side_gets_its_answers() {
    with(setup(limits()), async |rig| {
        let mut client = connect(rig).await;
        for (id, label) in [(1, "late-50"), (2, "hit"), (3, "lost"), (4, "big-30000")] {
            send(&mut client, &query(id, label)).await;
        }
        client.shutdown().await.unwrap();
        assert_eq!(ids(&mut client, 3).await, [2, 4, 1]);
        assert!(recv(&mut client).await.is_none());
        rig.until(|| rig.front.connections() == 0).await;
        assert_eq!(rig.dropped("gone"), 0);
    });
}

#[test]
fn a_full_pipeline_pauses_reading_and_loses_nothing() {
    let limits = Limits {
        tcp_pipeline: 3,
        ..limits()
    };
    with(setup(limits), async |rig| {
        let mut client = connect(rig).await;
        let queries: Vec<u8> = (0..20)
            .flat_map(|id| framed(&query(id, "late-5")))
            .collect();
        client.write_all(&queries).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answered = ids(&mut client, 20).await;
        answered.sort();
        assert_eq!(answered, (0..20).collect::<Vec<_>>());
        assert_eq!(rig.service.most.get(), 3);
        assert!(
            rig.metric("byway_limit_reached_total{limit=\"tcp-pipeline\",client=\"loopback\"}")
                >= 1
        );
        assert!(recv(&mut client).await.is_none());
    });
}

/// An answer that will never come does not hold a place in the pipeline.
#[test]
fn lost_answers_make_room() {
    let limits = Limits {
        tcp_pipeline: 1,
        ..limits()
    };
    with(setup(limits), async |rig| {
        let mut client = connect(rig).await;
        for id in 0..5 {
            send(&mut client, &query(id, "lost")).await;
        }
        send(&mut client, &query(5, "late-1")).await;
        assert_eq!(ids(&mut client, 1).await, [5]);
    });
}

#[test]
fn idle_connections_are_closed_and_busy_ones_are_not() {
    let limits = Limits {
        tcp_idle: Duration::from_millis(60),
        ..limits()
    };
    with(setup(limits), async |rig| {
        let mut busy = connect(rig).await;
        send(&mut busy, &query(1, "late-400")).await;
        let mut silent = connect(rig).await;
        assert!(recv(&mut silent).await.is_none());
        let mut once = connect(rig).await;
        send(&mut once, &query(2, "hit")).await;
        assert_eq!(ids(&mut once, 1).await, [2]);
        assert!(recv(&mut once).await.is_none());
        assert_eq!(rig.front.connections(), 1);
        assert_eq!(ids(&mut busy, 1).await, [1]);
        assert!(recv(&mut busy).await.is_none());
        assert_eq!(rig.dropped("stalled"), 0);
    });
}

/// Octets that keep trickling do not buy time.
#[test]
fn a_query_that_is_never_finished_is_cut() {
    let limits = Limits {
        tcp_stall: Duration::from_millis(100),
        ..limits()
    };
    with(setup(limits), async |rig| {
        let mut client = connect(rig).await;
        send(&mut client, &query(1, "hit")).await;
        assert_eq!(ids(&mut client, 1).await, [1]);
        client.write_all(&60000u16.to_be_bytes()).await.unwrap();
        while rig.front.connections() > 0 {
            let _ = client.write_all(&[0]).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(rig.dropped("stalled"), 1);
    });
}

#[test]
fn a_client_that_takes_no_answers_is_cut() {
    let limits = Limits {
        tcp_stall: Duration::from_millis(100),
        ..limits()
    };
    with(setup(limits), async |rig| {
        let mut client = connect(rig).await;
        // More than the kernel's buffers of both sides hold.
        let queries: Vec<u8> = (0..1000)
            .flat_map(|id| framed(&query(id, "big-65000")))
            .collect();
        client.write_all(&queries).await.unwrap();
        rig.until(|| rig.service.limits.borrow().len() > 2).await;
        rig.until(|| rig.front.connections() == 0).await;
        assert_eq!(rig.dropped("stalled"), 1);
        assert!(rig.service.limits.borrow().len() < 1000, "reading paused");
    });
}

/// A client that is slow but takes its answers gets all of them.
#[test]
fn a_slow_reader_is_waited_for() {
    let limits = Limits {
        tcp_stall: Duration::from_millis(500),
        ..limits()
    };
    with(setup(limits), async |rig| {
        let mut client = connect(rig).await;
        let queries: Vec<u8> = (0..300)
            .flat_map(|id| framed(&query(id, "big-65000")))
            .collect();
        client.write_all(&queries).await.unwrap();
        client.shutdown().await.unwrap();
        for id in 0..300 {
            assert_eq!(ids(&mut client, 1).await, [id]);
            if id % 30 == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        assert!(recv(&mut client).await.is_none());
        assert_eq!(rig.dropped("stalled"), 0);
    });
}

#[test]
fn garbage_ends_the_connection_after_what_was_asked_before_it() {
    for (garbage, reason) in [
        (framed(b""), "short"),
        (framed(b"eleven byte"), "short"),
        (framed(&answer(9, &query(9, "hit")[12..], 0)), "response"),
    ] {
        with(setup(limits()), async |rig| {
            let mut client = connect(rig).await;
            let mut stream = framed(&query(1, "late-30"));
            stream.extend(framed(&query(2, "hit")));
            stream.extend(&garbage);
            stream.extend(framed(&query(3, "hit")));
            client.write_all(&stream).await.unwrap();
            assert_eq!(ids(&mut client, 2).await, [2, 1]);
            assert!(recv(&mut client).await.is_none());
            drop(client);
            rig.until(|| rig.front.connections() == 0).await;
            assert_eq!(rig.dropped(reason), 1);
        });
    }
}

#[test]
fn strangers_are_sent_away_at_once_and_take_no_place() {
    let setup = Setup {
        allow: vec!["127.0.0.2/32"],
        limits: Limits {
            tcp_connections: 1,
            tcp_connections_per_client: 1,
            ..limits()
        },
        ..Setup::default()
    };
    with(setup, async |rig| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut allowed = socket.connect(rig.address).await.unwrap();
        rig.until(|| rig.front.connections() == 1).await;
        for _ in 0..5 {
            let mut stranger = connect(rig).await;
            assert!(is_cut(&mut stranger).await);
        }
        send(&mut allowed, &query(1, "hit")).await;
        assert_eq!(ids(&mut allowed, 1).await, [1]);
        assert_eq!(rig.dropped("stranger"), 5);
        assert_eq!(rig.dropped("connections"), 0);
    });
}

/// Many who take no answers together hold no more than they may, and somebody else still gets theirs.
#[test]
fn answers_that_are_not_taken_are_bounded_in_all() {
    let limits = Limits {
        tcp_answers: 1024 * 1024,
        tcp_buffer: 16 * 1024,
        ..limits()
    };
    with(setup(limits), async |rig| {
        let mut slow = Vec::new();
        for _ in 0..60 {
            let mut client = connect(rig).await;
            let queries: Vec<u8> = (0..100)
                .flat_map(|id| framed(&query(id, "big-60000")))
                .collect();
            client.write_all(&queries).await.unwrap();
            slow.push(client);
        }
        let limit = "byway_limit_reached_total{limit=\"tcp-answers\",client=\"loopback\"}";
        rig.until(|| rig.metric(limit) > 0 || rig.front.connections() < 60)
            .await;
        let mut patient = connect(rig).await;
        for id in 0..20 {
            send(&mut patient, &query(id, "late-5")).await;
            assert_eq!(ids(&mut patient, 1).await, [id]);
        }
        // Each of them has 64 KiB at least that it does not take.
        assert!(
            rig.front.connections() <= 1 + 16 + 1,
            "{}",
            rig.front.connections()
        );
    });
}

#[test]
fn one_client_has_only_so_many_connections() {
    let limits = Limits {
        tcp_connections_per_client: 2,
        ..limits()
    };
    with(setup(limits), async |rig| {
        let mut first = connect(rig).await;
        let mut second = connect(rig).await;
        let mut third = connect(rig).await;
        assert!(is_cut(&mut third).await);
        for stream in [&mut first, &mut second] {
            send(stream, &query(1, "hit")).await;
            assert_eq!(ids(stream, 1).await, [1]);
        }
        assert_eq!(rig.dropped("connections"), 1);
        drop(first);
        rig.until(|| rig.front.connections() == 1).await;
        let mut fourth = connect(rig).await;
        send(&mut fourth, &query(1, "hit")).await;
        assert_eq!(ids(&mut fourth, 1).await, [1]);
    });
}

#[test]
fn the_connection_idle_longest_makes_room_and_busy_ones_stay() {
    let limits = Limits {
        tcp_connections: 2,
        ..limits()
    };
    with(setup(limits), async |rig| {
        let mut busy = connect(rig).await;
        send(&mut busy, &query(1, "held")).await;
        rig.until(|| rig.service.held.borrow().len() == 1).await;
        let mut idle = connect(rig).await;
        rig.until(|| rig.front.connections() == 2).await;
        let mut new = connect(rig).await;
        send(&mut new, &query(2, "held")).await;
        assert!(is_cut(&mut idle).await);
        rig.until(|| rig.service.held.borrow().len() == 2).await;
        // Now all are busy.
        let mut refused = connect(rig).await;
        assert!(is_cut(&mut refused).await);
        rig.service.release();
        assert_eq!(ids(&mut busy, 1).await, [1]);
        assert_eq!(ids(&mut new, 1).await, [2]);
        assert_eq!(rig.dropped("connections"), 2);
        assert_eq!(
            rig.metric("byway_limit_reached_total{limit=\"tcp-connections\",client=\"loopback\"}"),
            2
        );
    });
}

#[test]
fn an_answer_to_a_client_that_has_gone_is_dropped() {
    with(setup(limits()), async |rig| {
        let mut client = connect(rig).await;
        send(&mut client, &query(1, "held")).await;
        rig.until(|| rig.service.held.borrow().len() == 1).await;
        // Closing with octets unread resets the connection; the next write would find out.
        client.set_zero_linger().unwrap();
        drop(client);
        rig.until(|| rig.front.connections() == 0).await;
        assert_eq!(rig.dropped("gone"), 1);
        rig.service.release();
        assert_eq!(rig.queries("tcp", "miss"), 0);
    });
}

#[test]
fn stopping_answers_what_was_read_and_closes() {
    with(setup(limits()), async |rig| {
        let mut idle = connect(rig).await;
        let mut busy = connect(rig).await;
        send(&mut busy, &query(1, "late-60")).await;
        rig.until(|| rig.service.out.get() == 1 && rig.front.connections() == 2)
            .await;
        rig.front.stop();
        send(&mut busy, &query(2, "hit")).await;
        assert!(recv(&mut idle).await.is_none());
        assert_eq!(ids(&mut busy, 1).await, [1]);
        assert!(recv(&mut busy).await.is_none());
        drop((idle, busy));
        rig.front.drained().await;
        assert_eq!(rig.front.connections(), 0);
        assert!(TcpStream::connect(rig.address).await.is_err());
    });
}

/// A client that does not close its side holds nothing up for longer than the linger.
#[test]
fn stopping_does_not_wait_for_a_client_that_never_closes() {
    with(setup(limits()), async |rig| {
        let client = connect(rig).await;
        rig.until(|| rig.front.connections() == 1).await;
        rig.front.stop();
        rig.front.drained().await;
        drop(client);
    });
}

#[test]
fn a_thousand_idle_connections_hold_no_buffers_and_all_still_work() {
    let limits = Limits {
        tcp_connections: 3000,
        tcp_connections_per_client: 3000,
        ..limits()
    };
    sys::raise_open_files();
    with(setup(limits), async |rig| {
        let mut clients = Vec::new();
        for id in 0..1000 {
            let mut client = connect(rig).await;
            send(&mut client, &query(id, "hit")).await;
            assert_eq!(ids(&mut client, 1).await, [id]);
            clients.push(client);
        }
        assert_eq!(rig.front.connections(), 1000);
        assert_eq!(rig.metric("byway_tcp_connections"), 1000);
        for (id, client) in clients.iter_mut().enumerate() {
            send(client, &query(id as u16, "late-1")).await;
        }
        for (id, client) in clients.iter_mut().enumerate() {
            assert_eq!(ids(client, 1).await, [id as u16]);
        }
    });
}
