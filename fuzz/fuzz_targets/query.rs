//! A packet from a client: whatever it is, the front door stands, and what it writes is a response
//! that it would never answer itself.
#![no_main]

use byway::wire::{
    Ede, Inspected, OutgoingEdns, OwnedAsked, QueryFlags, QuestionKey, Rcode, Sent, examine,
    inspect, randomize_case, write_error, write_query,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|packet: &[u8]| {
    let mut out = [0; 512];
    match inspect(packet) {
        Inspected::Drop(_) => {}
        Inspected::Refuse(refusal) => {
            let len = refusal.write(1232, &mut out);
            assert!(len >= 12);
            assert!(matches!(inspect(&out[..len]), Inspected::Drop(_)));
            // A buffer too small gets nothing, or a reply without its Extended DNS Error.
            assert!(refusal.write(1232, &mut out[..len - 1]) < len);
        }
        Inspected::Query(query) => {
            let asked = query.asked;
            assert_eq!(QuestionKey::from_bytes(query.key().as_bytes()), Some(query.key()));
            assert_eq!(OwnedAsked::from(asked).as_ref(), asked);

            let ede = Some(Ede::NETWORK_ERROR.with_text("no way out is clear"));
            let len = write_error(&asked, Rcode::SERVFAIL, ede, 1232, &mut out);
            let sent = Sent { id: asked.id, question: asked.question, exact_case: true };
            let reply = examine(&out[..len], &sent).expect("an error can be read");
            assert_eq!(reply.rcode(), Rcode::SERVFAIL);
            assert_eq!(reply.has_opt(), asked.edns.is_some());

            let mut question = asked.question.to_vec();
            randomize_case(&mut question, || 0x5555_5555_5555_5555);
            let flags = QueryFlags { rd: asked.rd, cd: asked.cd, ad: asked.ad };
            let edns = Some(OutgoingEdns { payload: 1232, dnssec_ok: asked.dnssec_ok() });
            let len = write_query(&mut out, asked.id, flags, &question, edns);
            let Inspected::Query(again) = inspect(&out[..len]) else {
                panic!("a query byway makes is one it would answer");
            };
            assert_eq!(again.key(), query.key());
        }
    }
});
