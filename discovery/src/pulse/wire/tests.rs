//! The bytes against the golden ones, and ages that are told again and again.

use qmesh_trial::golden;

use super::*;

fn id() -> NodeId {
    NodeId::from_bytes(golden::vector("transport", "node_id").try_into().unwrap())
}

fn golden_messages() -> [(&'static str, Message); 5] {
    let unit = Unit(50);
    let entry = Entry { id: id(), generation: 2, version: 4, age: Age(3) };
    let full = Bucket { presence: 0x0102_0304, state: 0x0506_0708, ages: vec![Age::NOW, Age(7), Age::NEVER] };
    let empty = Bucket { presence: 0, state: 0, ages: Vec::new() };
    let (wanted, records) = (vec![id()], vec![(entry, "Cg".into())]);
    let news = Records { unit, purpose: Purpose::News, wanted: Vec::new(), records: records.clone() };
    [
        ("pulse", Message::Pulse(Pulse { unit, is_question: false, buckets: vec![full, empty.clone()] })),
        ("pulse_question", Message::Pulse(Pulse { unit, is_question: true, buckets: vec![empty] })),
        ("pulse_detail", Message::Detail(Detail { unit, split: 1, buckets: vec![1], entries: vec![entry] })),
        ("pulse_records", Message::Records(Records { unit, purpose: Purpose::AnswerCut, wanted, records })),
        ("pulse_news", Message::Records(news)),
    ]
}

#[test]
fn the_bytes_of_pulses_are_the_golden_ones() {
    golden::compare("pulse", golden_messages().map(|(name, message)| (name, message.encode().to_vec())));
    for (name, message) in golden_messages() {
        assert_eq!(Message::decode(golden::vector("pulse", name).into()), Ok(message), "{name}");
    }
}

#[test]
fn what_is_cut_or_has_something_behind_it_is_malformed() {
    for (name, message) in golden_messages() {
        let bytes = message.encode();
        for length in 0..bytes.len() {
            assert_eq!(Message::decode(bytes.slice(..length)), Err(Rejection::Malformed), "{name}, {length}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Message::decode(longer.into()), Err(Rejection::Malformed), "{name}");
    }
    let oversize = vec![0; MESSAGE_BYTES_MAX + 1];
    assert_eq!(Message::decode(oversize.into()), Err(Rejection::Oversize));
}

#[test]
fn buckets_that_do_not_exist_or_come_twice_are_malformed() {
    let detail = |split, buckets: &[u8]| {
        let detail = Detail { unit: Unit(1), split, buckets: buckets.to_vec(), entries: Vec::new() };
        Message::decode(Message::Detail(detail).encode()).is_ok()
    };
    assert!(detail(1, &[0, 1]) && detail(8, &[255]) && detail(0, &[]));
    assert!(!detail(1, &[2]) && !detail(9, &[0]) && !detail(1, &[1, 0]) && !detail(1, &[1, 1]));
    // A pulse of 512 buckets.
    assert_eq!(Message::decode(vec![1, 0, 0, 0, 1, 0, 9].into()), Err(Rejection::Malformed));
}

#[test]
fn an_age_never_grows_younger_by_being_told() {
    let unit = Unit::new(Duration::from_millis(200), Duration::from_millis(1_800));
    let mut age = Duration::ZERO;
    for hop in 1..300 {
        let Some(told) = unit.read(unit.tell(age)) else {
            assert!(age > Duration::from_secs(6), "given up after {age:?}");
            return;
        };
        assert!(told > age + Duration::from_millis(25), "{told:?} at hop {hop}, and it was {age:?}");
        age = told;
    }
    panic!("an age that is told without a pause is given up in the end");
}

#[test]
fn units_hold_every_age_that_matters() {
    for (interval, limit) in [(200, 1_800), (1_000, 12_000), (200, 60_000), (1, 1)] {
        let limit = Duration::from_millis(limit);
        let unit = Unit::new(Duration::from_millis(interval), limit);
        let told = unit.read(unit.tell(limit)).unwrap();
        assert!(told >= limit && told <= limit + Duration::from_millis(2 * u64::from(unit.0)), "{told:?}");
    }
}

#[test]
fn what_has_no_room_is_left_out_and_that_is_told() {
    let entry = Entry { id: id(), generation: 1, version: 1, age: Age::NOW };
    let text: Arc<str> = "x".repeat(5_000).into();
    let (records, all) = Records::fit(100, std::iter::repeat_n((entry, Arc::clone(&text)), 20));
    assert!(!all && records.len() == 12, "{}", records.len());
    let message = Records { unit: Unit(1), purpose: Purpose::AnswerCut, wanted: vec![id(); 100], records };
    assert!(Message::decode(Message::Records(message).encode()).is_ok());
    assert!(Records::fit(0, std::iter::repeat_n((entry, text), 12)).1);
}
