//! The whole way: a short comparison, as a user would run it. That every cell works is `.ci/run`'s affair.

use std::process::Command;

use serde_json::Value;

/// Systems, and what is measured of them here: one of each shape.
const CELLS: [(&str, &[&str]); 2] = [
    ("qmesh", &["S1", "S5", "S6", "S8-start", "S9", "S10", "S11-channel", "S12", "flood"]),
    ("quinn-pipelined", &["S1", "S5", "S6", "S9", "S10", "S11-channel", "S12", "flood"]),
];

#[test]
fn cells_are_measured_and_the_json_comes_last() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_qmesh-bench"))
        .args(["compare", "--secs=1", "--rounds=1", "-o=json", "--only=qmesh,quinn-pipelined"])
        .arg("--scenarios=S1,S5,S6,S8-start,S9,S10,S11-channel,S12,flood")
        .arg("--write")
        .arg(folder.path())
        .output()
        .unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");
    let cells: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    for (system, scenarios) in CELLS {
        for scenario in scenarios {
            let cell = cells.iter().find(|cell| cell["system"] == system && cell["scenario"] == *scenario);
            check(cell.unwrap_or_else(|| panic!("no cell {system} {scenario}")));
        }
    }
    assert!(log.contains("reached"), "no goal was judged: {log}");
    let written = std::fs::read(folder.path().join("results.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Vec<Value>>(&written).unwrap(), cells);
    let chart = std::fs::read_to_string(folder.path().join("chart.svg")).unwrap();
    assert!(chart.starts_with("<svg") && chart.contains("qmesh"), "{chart}");
}

fn check(cell: &Value) {
    let scenario = cell["scenario"].as_str().unwrap_or_default();
    let done = if scenario.starts_with("S11") { "idle_kb" } else { "ops_per_s" };
    assert!(cell[done].as_f64() > Some(0.0), "{cell}");
    assert!(cell["rss_mb"].as_f64() > Some(0.0), "{cell}");
    assert_eq!(cell["p99_us"].is_number(), ["S1", "S9", "S12"].contains(&scenario), "{cell}");
    if let Some(sent) = cell["sent"].as_u64() {
        assert!(sent > 0 && cell["received"] == sent && cell["order_breaks"] == 0, "{cell}");
    }
}
