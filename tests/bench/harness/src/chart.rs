//! A picture of the rates for a README: a block for each scenario, a bar for each system, as a share of the fastest.

use std::fmt::Write as _;

use crate::{
    compare::Cell,
    report::rate,
    scenarios::{SCENARIOS, Scenario, Shape},
};

/// The system whose bars stand out.
const SUBJECT: &str = "qmesh";
const WIDTH: usize = 900;
/// Where the bars begin, and how long the longest is.
const BAR_LEFT: usize = 150;
const BAR_WIDTH: f64 = 640.0;
const BAR_HEIGHT: usize = 14;
const LINE: usize = 18;
const MARGIN: usize = 14;

/// Colours that can be read on white and on black.
const STYLE: &str = "text{font:12px sans-serif;fill:#808080}.title{font-weight:bold}\
    .subject{fill:#d9730d}.peer{fill:#6b8fb3}";

/// The picture, as SVG. Cells without a rate are left out, and so is the flood, whose rate is its receiver's.
pub(crate) fn draw(cells: &[Cell]) -> String {
    let (mut body, mut y) = (String::new(), MARGIN);
    for scenario in SCENARIOS.iter().filter(|scenario| !matches!(scenario.shape, Shape::Flood(_))) {
        let rates: Vec<_> = cells
            .iter()
            .filter(|cell| cell.scenario == scenario.id)
            .filter_map(|cell| Some((cell.system, cell.figures.ops_per_s?)))
            .collect();
        if !rates.is_empty() {
            y = block(&mut body, y, scenario, &rates);
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" width=\"{WIDTH}\" \
         height=\"{y}\">\n<style>{STYLE}</style>\n{body}</svg>"
    )
}

/// Draws one scenario from `y` on; returns where the next one begins.
fn block(body: &mut String, mut y: usize, scenario: &Scenario, rates: &[(&str, f64)]) -> usize {
    let fastest = rates.iter().map(|(_, rate)| *rate).fold(f64::MIN_POSITIVE, f64::max);
    text(body, MARGIN, y, " class=\"title\"", &format!("{}: {}, per second", scenario.id, scenario.title));
    y += LINE;
    for (system, per_second) in rates {
        let class = if *system == SUBJECT { "subject" } else { "peer" };
        let width = per_second / fastest * BAR_WIDTH;
        text(body, MARGIN, y, "", system);
        let _infallible = writeln!(
            body,
            "<rect class=\"{class}\" x=\"{BAR_LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR_HEIGHT}\"/>"
        );
        text(body, BAR_LEFT, y, &format!(" dx=\"{:.1}\"", width + 6.0), &rate(*per_second));
        y += LINE;
    }
    y + MARGIN
}

/// Writes what is in the line that begins at `y`.
fn text(body: &mut String, x: usize, y: usize, attributes: &str, content: &str) {
    let baseline = y + BAR_HEIGHT - 3;
    let content = content.replace('&', "&amp;").replace('<', "&lt;");
    let _infallible = writeln!(body, "<text x=\"{x}\" y=\"{baseline}\"{attributes}>{content}</text>");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Figures;

    #[test]
    fn the_fastest_has_the_longest_bar_and_cells_without_a_rate_of_their_own_have_none() {
        let cell = |system, scenario, ops_per_s| Cell {
            system,
            scenario,
            figures: Figures { ops_per_s, ..Figures::default() },
            delivery: None,
        };
        let cells = [
            cell(SUBJECT, "S2", Some(50_000.0)),
            cell("peer", "S2", Some(100_000.0)),
            cell(SUBJECT, "S11-session", None),
            cell(SUBJECT, "flood", Some(100.0)),
        ];
        let svg = draw(&cells);
        assert!(svg.contains("width=\"320.0\"") && svg.contains("width=\"640.0\""), "{svg}");
        assert!(svg.contains(">50.0k<") && !svg.contains("S11"), "{svg}");
        assert_eq!(svg.matches("<rect").count(), 2);
    }
}
