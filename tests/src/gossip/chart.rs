//! The figures as two diagrams over the number of nodes: what a node sends, and how soon a death is known.

use std::path::Path;

use plotters::{
    coord::ranged1d::{AsRangedCoord, ValueFormatter},
    prelude::*,
};

use super::{Figures, PROTOCOLS, Preset, Shape};

const SIZE: (u32, u32) = (960, 400);

const LABELS: (&str, u32) = ("sans-serif", 15);

/// A colour for each preset; protocols differ in the width of their lines.
const COLOURS: [RGBColor; 3] = [RGBColor(31, 119, 180), RGBColor(230, 126, 34), RGBColor(44, 140, 60)];

/// Draws them into a file, as SVG.
///
/// # Errors
/// The file cannot be written.
pub fn chart(all: &[Figures], path: &Path) -> anyhow::Result<()> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let (left, right) = area.split_horizontally(SIZE.0 / 2);
    let bytes = |figures: &Figures| figures.bytes_per_node_s / 1e3;
    let kill = |figures: &Figures| figures.kill_s;
    let bytes_max = all.iter().map(bytes).fold(2.0, f64::max) * 1.5;
    let kill_max = all.iter().map(kill).fold(2.0, f64::max) * 1.1;
    diagram(&left, "KB per second that a node sends at rest", (1.0..bytes_max).log_scale(), all, bytes)?;
    diagram(&right, "seconds from a kill until every directory agrees", 0.0..kill_max, all, kill)?;
    area.present()?;
    Ok(())
}

fn diagram<Y>(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    title: &str,
    y: Y,
    all: &[Figures],
    value: impl Fn(&Figures) -> f64,
) -> anyhow::Result<()>
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let nodes_max = all.iter().map(|figures| figures.shape.nodes).max().unwrap_or(1) as f64;
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(32)
        .y_label_area_size(46)
        .build_cartesian_2d(0.0..nodes_max * 1.05, y)?;
    chart
        .configure_mesh()
        .max_light_lines(0)
        .label_style(LABELS)
        .x_desc("nodes")
        .x_label_formatter(&|nodes| format!("{nodes:.0}"))
        .y_label_formatter(&|value| format!("{value:.0}"))
        .draw()?;
    for ((protocol, name), width) in PROTOCOLS.into_iter().zip([1, 3]) {
        for (preset, colour) in Preset::ALL.into_iter().zip(COLOURS) {
            let is_of = |shape: Shape| (shape.protocol, shape.preset) == (protocol, preset);
            let alike: Vec<_> = all.iter().filter(|figures| is_of(figures.shape)).collect();
            let Some(first) = alike.first() else { continue };
            let points = alike.iter().map(|figures| (figures.shape.nodes as f64, value(figures)));
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(width)).point_size(3))?
                .label(format!("{name}, {} ms", first.interval_ms))
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(width)));
        }
    }
    chart
        .configure_series_labels()
        .label_font(LABELS)
        .background_style(WHITE)
        .border_style(BLACK.mix(0.3))
        .draw()?;
    Ok(())
}
