//! Cookies, by which a server knows that a client is where it says it is (RFC 7873), and how byway makes its own (RFC 9018).
//!
//! A server's cookie is a keyed hash over the client's, the client's address and the time. All servers that have the key can
//! check it, so that those of one anycast address take each other's.

use std::net::IpAddr;

use siphasher::sip::SipHasher24;

/// The EDNS option of a cookie (RFC 7873 section 4).
pub(super) const COOKIE_OPTION: u16 = 10;

const CLIENT: usize = 8;
const SERVER: usize = 16;
/// The longest server's cookie of any make (RFC 7873 section 4.2).
const LONGEST: usize = 32;

/// A client's cookie with a server's, in a query or in a reply.
pub(super) const COOKIE_LEN: usize = CLIENT + SERVER;

/// The only version of a server's cookie (RFC 9018 section 4.1).
const VERSION: u8 = 1;

/// How old a server's cookie may be, how far ahead of this server's clock, and from when on it is renewed, in seconds (RFC
/// 9018 section 4.3).
const OLD: u32 = 3600;
const AHEAD: u32 = 300;
const RENEW: u32 = 1800;

/// A cookie that a client sent, or that is sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie {
    octets: [u8; COOKIE_LEN],
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The client's alone, or with a server's that is no such as byway makes.
    Client,
    /// With a server's, which may be byway's.
    Claimed,
    /// To be sent.
    Made,
}

impl Cookie {
    /// The option's data; `None` if that is of a length which no cookie has (RFC 7873 section 5.2.2).
    pub(super) fn read(data: &[u8]) -> Option<Cookie> {
        let mut octets = [0; COOKIE_LEN];
        let stage = match data.len() {
            CLIENT => Stage::Client,
            COOKIE_LEN => Stage::Claimed,
            length if (2 * CLIENT..=CLIENT + LONGEST).contains(&length) => Stage::Client,
            _ => return None,
        };
        let known = match stage {
            Stage::Claimed => data,
            _ => data.get(..CLIENT)?,
        };
        octets.get_mut(..known.len())?.copy_from_slice(known);
        Some(Cookie { octets, stage })
    }

    /// What is to be sent, if this is to be sent.
    pub(super) fn sent(&self) -> Option<&[u8; COOKIE_LEN]> {
        (self.stage == Stage::Made).then_some(&self.octets)
    }

    fn client(&self) -> [u8; CLIENT] {
        self.octets.first_chunk().copied().unwrap_or_default()
    }
}

/// A secret to make cookies with.
pub type CookieSecret = [u8; 16];

/// Makes the cookie to be sent to a client at `address` that has sent `cookie`, at `now` in seconds of Unix time, and says
/// whether that one proves the address. It is made with the first of `secrets`, and checked against all.
pub fn bake(
    cookie: Cookie,
    address: IpAddr,
    secrets: &[CookieSecret],
    now: u32,
) -> (Option<Cookie>, bool) {
    let Some(first) = secrets.first() else {
        return (None, false);
    };
    let maker = match cookie.stage {
        Stage::Claimed => {
            let mut makers = secrets.iter();
            makers.position(|secret| is_made_with(&cookie, address, secret, now))
        }
        _ => None,
    };
    let (proven, current) = (maker.is_some(), maker == Some(0));
    let made = stamp(&cookie);
    if current && made.is_some_and(|made| age(made, now) < RENEW as i32) {
        // The same again, so that nothing is to be hashed anew.
        let stage = Stage::Made;
        return (Some(Cookie { stage, ..cookie }), true);
    }
    let mut octets = [0; COOKIE_LEN];
    let (client, server) = octets.split_at_mut(CLIENT);
    client.copy_from_slice(&cookie.client());
    let head = head(now);
    let hash = hash(&cookie.client(), &head, address, first);
    server[..CLIENT].copy_from_slice(&head);
    server[CLIENT..].copy_from_slice(&hash);
    let stage = Stage::Made;
    (Some(Cookie { octets, stage }), proven)
}

/// When the server's part says it was made.
fn stamp(cookie: &Cookie) -> Option<u32> {
    let octets = cookie.octets.get(CLIENT + 4..)?.first_chunk()?;
    Some(u32::from_be_bytes(*octets))
}

/// Time since `made`, in serial numbers (RFC 1982), for it wraps.
fn age(made: u32, now: u32) -> i32 {
    now.wrapping_sub(made) as i32
}

fn is_made_with(cookie: &Cookie, address: IpAddr, secret: &CookieSecret, now: u32) -> bool {
    let server = cookie.octets.get(CLIENT..).unwrap_or_default();
    let (Some(head), Some(claimed), Some(made)) = (
        server.first_chunk::<CLIENT>(),
        server.last_chunk::<CLIENT>(),
        stamp(cookie),
    ) else {
        return false;
    };
    let in_time = (-(AHEAD as i32)..=OLD as i32).contains(&age(made, now));
    if head[0] != VERSION || !in_time {
        return false;
    }
    let hash = hash(&cookie.client(), head, address, secret);
    // In the same time whatever differs.
    let differs = hash
        .iter()
        .zip(claimed)
        .fold(0, |all, (a, b)| all | (a ^ b));
    differs == 0
}

/// Version, reserved octets and time.
fn head(now: u32) -> [u8; CLIENT] {
    let [a, b, c, d] = now.to_be_bytes();
    [VERSION, 0, 0, 0, a, b, c, d]
}

/// RFC 9018 section 4.4.
fn hash(
    client: &[u8; CLIENT],
    head: &[u8; CLIENT],
    address: IpAddr,
    secret: &CookieSecret,
) -> [u8; CLIENT] {
    let mut data = [0; 2 * CLIENT + 16];
    data[..CLIENT].copy_from_slice(client);
    data[CLIENT..2 * CLIENT].copy_from_slice(head);
    let length = match address.to_canonical() {
        IpAddr::V4(address) => {
            data[16..20].copy_from_slice(&address.octets());
            20
        }
        IpAddr::V6(address) => {
            data[16..].copy_from_slice(&address.octets());
            32
        }
    };
    SipHasher24::new_with_key(secret)
        .hash(&data[..length])
        .to_le_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
        (0..text.len()).step_by(2).map(digits).collect()
    }

    fn secret(text: &str) -> CookieSecret {
        hex(text).try_into().expect("16 octets")
    }

    fn cookie(text: &str) -> Cookie {
        Cookie::read(&hex(text)).expect("a cookie")
    }

    const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";

    /// RFC 9018 appendix A.
    #[test]
    fn cookies_are_as_those_of_other_servers() {
        let fresh = (
            "2464c4abcf10c957",
            "198.51.100.100",
            SECRET,
            1_559_731_985,
            "2464c4abcf10c957010000005cf79f111f8130c3eee29480",
            false,
        );
        let renewed = (
            "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5",
            "203.0.113.203",
            SECRET,
            1_559_734_700,
            "fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e",
            // It is older than an hour by then.
            false,
        );
        for (sent, address, key, now, expected, proves) in [fresh, renewed] {
            let address = address.parse().expect("an address");
            let (made, proven) = bake(cookie(sent), address, &[secret(key)], now);
            let made = made.expect("there is a secret");
            assert_eq!(made.sent().map(|it| it.to_vec()), Some(hex(expected)));
            assert_eq!(proven, proves, "{sent}");
        }
        // Made with a secret that was rolled over since, and renewed with the new one.
        let (sent, address) = (
            "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
            "2001:db8:220:1:59de:d0f4:8769:82b8"
                .parse()
                .expect("an address"),
        );
        let keys = [
            secret("445536bcd2513298075a5d379663c962"),
            secret("dd3bdf9344b678b185a6f5cb60fca715"),
        ];
        let (made, proven) = bake(cookie(sent), address, &keys, 1_559_741_961);
        let expected = hex("22681ab97d52c298010000005cf7c609a6bb79d16625507a");
        assert_eq!(
            made.expect("made").sent().map(|it| it.to_vec()),
            Some(expected)
        );
        assert!(proven);
    }

    #[test]
    fn one_of_another_client_time_or_secret_proves_nothing() {
        let here: IpAddr = "198.51.100.100".parse().expect("an address");
        let there = "198.51.100.101".parse().expect("an address");
        let text = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
        let proves = |text: &str, address, key: &str, now| {
            bake(cookie(text), address, &[secret(key)], now).1
        };
        let now = 1_559_731_985;
        assert!(proves(text, here, SECRET, now));
        assert!(proves(text, here, SECRET, now + OLD));
        assert!(!proves(text, here, SECRET, now + OLD + 1));
        assert!(proves(text, here, SECRET, now - AHEAD));
        assert!(!proves(text, here, SECRET, now - AHEAD - 1));
        assert!(!proves(text, there, SECRET, now));
        assert!(!proves(text, here, "e5e973e5a6b2a43f48e7dc849e37bfce", now));
        assert!(!proves(&text.replace("c957", "c958"), here, SECRET, now));
        assert!(!proves(&text.replace("9480", "9481"), here, SECRET, now));
    }

    #[test]
    fn only_lengths_that_cookies_have_are_read() {
        for length in 0..64 {
            let known = length == 8 || (16..=40).contains(&length);
            assert_eq!(Cookie::read(&vec![7; length]).is_some(), known, "{length}");
        }
    }

    proptest! {
        #[test]
        fn what_was_made_proves_its_client_and_is_given_again(
            client: [u8; 8], address: [u8; 16], key: [u8; 16], now: u32, later in 0u32..=OLD,
        ) {
            let address = IpAddr::from(address);
            let asked = Cookie::read(&client).expect("a client's");
            let (made, proven) = bake(asked, address, &[key], now);
            prop_assert!(!proven);
            let sent = *made.expect("made").sent().expect("to be sent");
            let again = Cookie::read(&sent).expect("a cookie");
            let (next, proven) = bake(again, address, &[key], now.wrapping_add(later));
            prop_assert!(proven);
            let next = *next.expect("made").sent().expect("to be sent");
            prop_assert_eq!(next == sent, later < RENEW);
        }
    }
}
