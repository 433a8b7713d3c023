//! Messages on a stream: each behind its length in two octets (RFC 1035 section 4.2.2).

/// The message at the front of `bytes`, if it is there whole.
pub(super) fn whole(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.get(..usize::from(u16::from_be_bytes(*length)))
}

/// Moves what completes the message in `inbox` there from the front of `bytes`, as far as it goes.
pub(super) fn complete(inbox: &mut Vec<u8>, bytes: &mut &[u8]) {
    loop {
        let missing = match inbox.split_first_chunk() {
            Some((length, rest)) => usize::from(u16::from_be_bytes(*length)) - rest.len(),
            None => 2 - inbox.len(),
        };
        if missing == 0 || bytes.is_empty() {
            return;
        }
        let (head, rest) = bytes.split_at(missing.min(bytes.len()));
        inbox.extend_from_slice(head);
        *bytes = rest;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_is_whole_with_its_last_octet() {
        assert_eq!(whole(b""), None);
        assert_eq!(whole(b"\x00"), None);
        assert_eq!(whole(b"\x00\x02a"), None);
        assert_eq!(whole(b"\x00\x02abc"), Some(&b"ab"[..]));
        assert_eq!(whole(b"\x00\x00"), Some(&b""[..]));
    }

    proptest! {
        /// However a stream is cut up, completing message by message gives it back.
        #[test]
        fn pieces_complete_to_the_messages_sent(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..20),
            cuts in prop::collection::vec(1..40usize, 1..50),
        ) {
            let mut stream = Vec::new();
            for message in &messages {
                stream.extend((message.len() as u16).to_be_bytes());
                stream.extend(message);
            }
            let (mut inbox, mut seen) = (Vec::new(), Vec::new());
            let mut cuts = cuts.iter().cycle();
            let mut rest = &stream[..];
            while !rest.is_empty() {
                let (mut piece, later) = rest.split_at(cuts.next().unwrap().min(&rest.len()).to_owned());
                rest = later;
                while !piece.is_empty() {
                    complete(&mut inbox, &mut piece);
                    if let Some(message) = whole(&inbox) {
                        prop_assert_eq!(inbox.len(), 2 + message.len(), "no octet too many");
                        seen.push(message.to_vec());
                        inbox.clear();
                    }
                }
            }
            prop_assert!(inbox.is_empty());
            prop_assert_eq!(seen, messages);
        }
    }
}
