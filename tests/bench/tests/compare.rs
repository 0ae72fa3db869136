//! The whole way: a short comparison of everything, as a user would run it.

use std::process::Command;

use serde_json::Value;

const SYSTEMS: [&str; 3] = ["qmesh", "quinn-pipelined", "tonic-mtls"];

#[test]
fn every_cell_is_measured_and_the_json_comes_last() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_qmesh-bench"))
        .args(["compare", "--secs=1", "--rounds=1", "-o=json", "--write"])
        .arg(folder.path())
        .output()
        .unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{log}");
    let cells: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    for system in SYSTEMS {
        for scenario in ["S1", "S2", "S5"] {
            let cell = cells.iter().find(|cell| cell["system"] == system && cell["scenario"] == scenario);
            let cell = cell.unwrap_or_else(|| panic!("no cell {system} {scenario}"));
            assert!(cell["ops_per_s"].as_f64().unwrap() > 0.0, "{cell}");
            assert!(cell["cpu_us_per_op"].as_f64().unwrap() > 0.0, "{cell}");
            assert_eq!(cell["p99_us"].is_null(), scenario == "S5", "{cell}");
        }
    }
    assert_eq!(log.matches(" 0 order breaks").count(), SYSTEMS.len(), "{log}");
    let written: Vec<Value> =
        serde_json::from_slice(&std::fs::read(folder.path().join("results.json")).unwrap()).unwrap();
    assert_eq!(written, cells);
}
