use crate::wire::{Ede, Rcode, RecordType};

#[test]
fn types_read_as_they_print() {
    for number in 0..=u16::MAX {
        let record_type = RecordType(number);
        assert_eq!(record_type.to_string().parse(), Ok(record_type));
    }
}

#[test]
fn types_are_read_in_any_case_and_by_number() {
    assert_eq!("aAaA".parse(), Ok(RecordType::AAAA));
    assert_eq!("TYPE1".parse(), Ok(RecordType::A));
    assert_eq!("type65280".parse(), Ok(RecordType(65280)));
    for wrong in [
        "",
        "TYPE",
        "TYPE65536",
        "TYPE-1",
        "TYPE+1",
        "AAAAA",
        "TYPE 1",
        "1",
    ] {
        assert!(wrong.parse::<RecordType>().is_err(), "{wrong}");
    }
}

#[test]
fn codes_print_their_mnemonics() {
    assert_eq!(Rcode::SERVFAIL.to_string(), "SERVFAIL");
    assert_eq!(Rcode(3841).to_string(), "RCODE3841");
    assert_eq!(format!("{:>9}|", Rcode::BADVERS), "  BADVERS|");
    assert_eq!(RecordType(65280).to_string(), "TYPE65280");
    assert_eq!(Ede::STALE_ANSWER.with_text("x"), Ede { code: 3, text: "x" });
}
