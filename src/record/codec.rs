//! Numbers as few octets: LEB128, and runs of zeros as their length.

/// Appends `number`, seven bits to the octet, the low ones first.
pub(super) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes a number off the front; `None` if there is none, or one of more than 64 bits.
pub(super) fn take(octets: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (&octet, rest) = octets.split_first()?;
        *octets = rest;
        let bits = u64::from(octet & 0x7f);
        if shift == 63 && bits > 1 {
            return None;
        }
        number |= bits << shift;
        if octet & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Takes `len` octets off the front.
pub(super) fn take_octets<'a>(octets: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = octets.split_at_checked(len)?;
    *octets = rest;
    Some(taken)
}

/// Takes four octets off the front.
pub(super) fn take_u32(octets: &mut &[u8]) -> Option<u32> {
    let (taken, rest) = octets.split_first_chunk()?;
    *octets = rest;
    Some(u32::from_le_bytes(*taken))
}

/// Runs of so many zeros are one octet: their length.
const SHORT: u64 = 7;

/// Appends all `values`, each of them higher by [`SHORT`]. A longer run of zeros is a zero and its length; those at the
/// end are left out.
pub(super) fn put_values(out: &mut Vec<u8>, values: &[u64]) {
    let mut zeros = 0;
    for &value in values {
        if value == 0 {
            zeros += 1;
            continue;
        }
        match zeros {
            0 => {}
            1..=SHORT => out.push(zeros as u8),
            _ => {
                out.push(0);
                put(out, zeros);
            }
        }
        zeros = 0;
        put(out, value.saturating_add(SHORT));
    }
}

/// Reads `count` values, to the end of `octets`; `None` if they are not as [`put_values`] writes them.
pub(super) fn take_values(mut octets: &[u8], count: usize) -> Option<Vec<u64>> {
    let mut values = Vec::with_capacity(count);
    while !octets.is_empty() {
        let zeros = match take(&mut octets)? {
            0 => take(&mut octets)?,
            short @ 1..=SHORT => short,
            value if values.len() < count => {
                values.push(value - SHORT);
                continue;
            }
            _ => return None,
        };
        let zeros = usize::try_from(zeros).ok()?;
        if zeros > count - values.len() {
            return None;
        }
        values.resize(values.len() + zeros, 0);
    }
    values.resize(count, 0);
    Some(values)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn zeros_cost_next_to_nothing() {
        let mut values = vec![0; 1000];
        values[500] = 3;
        let mut out = Vec::new();
        put_values(&mut out, &values);
        assert_eq!(out.len(), 4);
        out.clear();
        put_values(&mut out, &[0, 0, 9]);
        assert_eq!(out, [2, 16]);
        out.clear();
        put_values(&mut out, &values);
        assert_eq!(take_values(&out, 1000), Some(values));
        assert_eq!(take_values(&out, 500), None, "more than there is room for");
        assert_eq!(take_values(&[], 3), Some(vec![0; 3]));
    }

    proptest! {
        #[test]
        fn numbers_read_back(number: u64) {
            let mut out = Vec::new();
            put(&mut out, number);
            let mut octets = &out[..];
            prop_assert_eq!(take(&mut octets), Some(number));
            prop_assert!(octets.is_empty());
        }

        #[test]
        fn values_read_back(values in proptest::collection::vec(prop_oneof![Just(0u64), 0..300u64, 0..u64::MAX - SHORT], 0..200)) {
            let mut out = Vec::new();
            put_values(&mut out, &values);
            prop_assert_eq!(take_values(&out, values.len()), Some(values));
        }

        #[test]
        fn nothing_makes_it_panic(octets: Vec<u8>, count in 0usize..100) {
            let mut rest = &octets[..];
            while take(&mut rest).is_some() {}
            if let Some(values) = take_values(&octets, count) {
                prop_assert_eq!(values.len(), count);
            }
        }
    }
}
