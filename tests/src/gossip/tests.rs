//! A small mesh, measured, and what is shown of it.

use super::*;

fn small(protocol: Protocol) -> Figures {
    measure(Shape { protocol, preset: Preset::Local, nodes: 5 }).unwrap()
}

#[test]
fn a_small_mesh_costs_what_is_documented_and_tells_the_truth() {
    for (protocol, _) in PROTOCOLS {
        let figures = small(protocol);
        assert_eq!((figures.interval_ms, figures.changes_at_rest), (200, 0), "{figures:?}");
        assert!(figures.bytes_per_node_s > 100.0 && figures.messages_per_node_s > 10.0, "{figures:?}");
        assert!(figures.cpu_us_per_node_s > 0.0, "{figures:?}");
        // Silence of 1.2 s is no death, and a node speaks every 0.2 s.
        assert!((1.0..2.0).contains(&figures.kill_s), "{figures:?}");
        assert!((0.01..1.5).contains(&figures.join_s), "{figures:?}");
    }
}

#[test]
fn all_figures_are_in_the_table_in_the_json_and_in_the_chart() {
    let all = [small(Protocol::Pulse)];
    let table = table(&all);
    let kill = format!("{:.2}", all[0].kill_s);
    assert!(table.contains("200 ms") && table.contains(&kill), "{table}");
    let json = serde_json::to_value(&all[0]).unwrap();
    let read: Figures = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), json);
    assert_eq!(
        (&json["preset"], &json["nodes"], &json["interval_ms"]),
        (&"local".into(), &5.into(), &200.into())
    );

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chart.svg");
    chart(&all, &path).unwrap();
    let svg = std::fs::read_to_string(path).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("pulse, 200 ms") && svg.contains("<circle"), "{svg}");
}
