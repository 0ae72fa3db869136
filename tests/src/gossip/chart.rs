//! The figures as two diagrams over the number of nodes: what a node sends, and how soon a death is known.

use std::path::Path;

use plotters::{
    coord::{
        Shift,
        ranged1d::{AsRangedCoord, ValueFormatter},
    },
    prelude::*,
};

use super::{Figures, PROTOCOLS, Preset, Shape};

const SIZE: (u32, u32) = (960, 440);

const LEGEND_HEIGHT: u32 = 56;

const LABELS: (&str, u32) = ("sans-serif", 15);

/// A colour for each preset; protocols differ in the width of their lines.
const COLOURS: [RGBColor; 3] = [RGBColor(31, 119, 180), RGBColor(230, 126, 34), RGBColor(44, 140, 60)];

const WIDTHS: [u32; 2] = [1, 3];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// One line in each diagram.
struct Line<'a> {
    label: String,
    style: ShapeStyle,
    figures: Vec<&'a Figures>,
}

/// Draws them into a file, as SVG.
///
/// # Errors
/// The file cannot be written.
pub fn chart(all: &[Figures], path: &Path) -> anyhow::Result<()> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let (diagrams, below) = area.split_vertically(SIZE.1 - LEGEND_HEIGHT);
    let (left, right) = diagrams.split_horizontally(SIZE.0 / 2);
    let lines = lines(all);
    let bytes = |figures: &Figures| figures.bytes_per_node_s / 1e3;
    let kill = |figures: &Figures| figures.kill_s;
    let most = |value: fn(&Figures) -> f64| all.iter().map(value).fold(0.1, f64::max);
    let least_bytes = all.iter().map(bytes).fold(1.0, f64::min);
    let log_scale = (least_bytes / 1.5..most(bytes) * 1.5).log_scale();
    diagram(&left, "KB per second that a node sends at rest", log_scale, &lines, bytes)?;
    let linear = 0.0..most(kill) * 1.1;
    diagram(&right, "seconds from a kill until every directory agrees", linear, &lines, kill)?;
    legend(&below, &lines)?;
    area.present()?;
    Ok(())
}

/// What was measured, by protocol and preset.
fn lines(all: &[Figures]) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    for ((protocol, name), width) in PROTOCOLS.into_iter().zip(WIDTHS) {
        for (preset, colour) in Preset::ALL.into_iter().zip(COLOURS) {
            let is_of = |shape: Shape| (shape.protocol, shape.preset) == (protocol, preset);
            let figures: Vec<_> = all.iter().filter(|figures| is_of(figures.shape)).collect();
            if let Some(first) = figures.first() {
                let label = format!("{name}, {} ms", first.interval_ms);
                lines.push(Line { label, style: colour.stroke_width(width), figures });
            }
        }
    }
    lines
}

fn diagram<Y>(
    area: &Area<'_>,
    title: &str,
    y: Y,
    lines: &[Line<'_>],
    value: impl Fn(&Figures) -> f64,
) -> anyhow::Result<()>
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let nodes = lines.iter().flat_map(|line| &line.figures).map(|figures| figures.shape.nodes);
    let nodes_max = nodes.max().unwrap_or(1) as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(46)
        .build_cartesian_2d(0.0..nodes_max * 1.05, y)?;
    chart
        .configure_mesh()
        .max_light_lines(0)
        .label_style(LABELS)
        .x_desc("nodes")
        .x_label_formatter(&|nodes| format!("{nodes:.0}"))
        .y_label_formatter(&|value| value.to_string())
        .draw()?;
    for line in lines {
        let points = line.figures.iter().map(|figures| (figures.shape.nodes as f64, value(figures)));
        chart.draw_series(LineSeries::new(points, line.style).point_size(3))?;
    }
    Ok(())
}

/// Which line is which, three in a row.
fn legend(area: &Area<'_>, lines: &[Line<'_>]) -> anyhow::Result<()> {
    for (line, cell) in lines.iter().zip(area.split_evenly((WIDTHS.len(), COLOURS.len()))) {
        cell.draw(&PathElement::new([(60, 10), (90, 10)], line.style))?;
        cell.draw(&Text::new(line.label.clone(), (100, 3), LABELS))?;
    }
    Ok(())
}
