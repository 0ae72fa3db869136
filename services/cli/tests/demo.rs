//! `qmesh demo`, as a person or a program runs it.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

/// Runs the demo with its temporary files in `place`.
fn demo(place: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qmesh"));
    command.arg("demo").args(args).env("TMPDIR", place).current_dir(place);
    command.output().expect("the demo starts")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the demo prints text")
}

#[test]
fn a_killed_process_costs_no_answer() {
    let place = tempfile::tempdir().unwrap();
    let line = "Two households, both alike\u{a0}in size \u{2014} one with a caf\u{e9}.\r\n";
    fs::write(place.path().join("text"), line.repeat(400) + "\nthe end").unwrap();
    let output = demo(place.path(), &["text", "--batch", "2", "--pace", "60", "-o", "json"]);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    let figures: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    for (figure, expected) in
        [("lines", Value::from(402)), ("calls", 201.into()), ("failed", 0.into()), ("verified", true.into())]
    {
        assert_eq!(figures[figure], expected, "{figure} in {figures}");
    }
    let number = |figure: &str| figures[figure].as_u64().unwrap_or_else(|| panic!("{figure} in {figures}"));
    assert!(number("retried") >= 1, "the calls in flight at the kill: {figures}");
    assert!(number("answered_by_killed") >= 201 / 12, "{figures}");
    assert!((1..20_000).contains(&number("dead_in_directory_ms")), "{figures}");
    assert!(number("executed_twice") <= number("retried"), "{figures}");
    let killed = figures["killed"].as_str().unwrap();
    for event in [
        format!("{killed}  killed"),
        format!("{killed}  died"),
        "words-4  joined".to_owned(),
        "words-4  answers".to_owned(),
    ] {
        assert!(err.contains(&event), "`{event}` in {err}");
    }
    let left: Vec<_> = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["text"], "the demo tidies up");
}

#[test]
fn a_text_that_cannot_be_shown_is_refused_with_the_reason() {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("empty"), "").unwrap();
    fs::write(place.path().join("short"), "line\n".repeat(20)).unwrap();
    for (file, expected) in [
        ("missing", "cannot read missing"),
        (".", "cannot read ."),
        ("empty", "empty is empty"),
        ("short", "short has 20 lines, which make 20 calls"),
    ] {
        let output = demo(place.path(), &[file, "-o", "json"]);
        assert_eq!(output.status.code(), Some(1), "{file}");
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
        assert!(output.stdout.is_empty());
    }
}
