//! Two kinds of plots.

use std::path::Path;

use plotters::coord::ranged1d::SegmentValue;
use plotters::prelude::*;

const SIZE: (u32, u32) = (960, 520);
const MARGIN: u32 = 14;
/// Left of the axis.
const LABELS: u32 = 70;
/// Room for the legend of bars, which would hide some.
const BESIDE: u32 = 150;
/// Colours that can be told apart with any eyes (Okabe and Ito's).
const COLORS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
    RGBColor(160, 140, 20),
];
const FONT: &str = "sans-serif";

/// A line with a name.
pub struct Series {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// What stands around a plot.
pub struct Frame<'t> {
    pub title: &'t str,
    pub x: &'t str,
    pub y: &'t str,
}

/// Lines over a logarithmic axis that begins and ends with the data; the other begins with 0.
///
/// # Errors
/// What the file or the drawing says.
pub fn over_log(file: &Path, frame: &Frame<'_>, series: &[Series]) -> Result<(), String> {
    let xs = || series.iter().flat_map(|series| &series.points).map(|point| point.0);
    let ys = series.iter().flat_map(|series| &series.points).map(|point| point.1);
    let (low, high) = (xs().fold(f64::INFINITY, f64::min), xs().fold(0.0, f64::max));
    let top = ys.fold(0.0, f64::max) * 1.12;
    let say = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE).map_err(|error| say(&error))?;
    let mut chart = ChartBuilder::on(&root)
        .caption(frame.title, (FONT, 20))
        .margin(MARGIN)
        .x_label_area_size(52)
        .y_label_area_size(LABELS)
        .build_cartesian_2d((low * 0.9..high * 1.1).log_scale(), 0.0..top)
        .map_err(|error| say(&error))?;
    chart
        .configure_mesh()
        .x_desc(frame.x)
        .y_desc(frame.y)
        .x_label_formatter(&|x| short(*x))
        .y_label_formatter(&|y| short(*y))
        .label_style((FONT, 14))
        .axis_desc_style((FONT, 16))
        .bold_line_style(BLACK.mix(0.15))
        .light_line_style(TRANSPARENT)
        .draw()
        .map_err(|error| say(&error))?;
    for (series, color) in series.iter().zip(COLORS.iter().cycle()) {
        let line = LineSeries::new(series.points.iter().copied(), color.stroke_width(2));
        chart
            .draw_series(line)
            .map_err(|error| say(&error))?
            .label(&series.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], color.stroke_width(3)));
        let dots = series.points.iter().map(|point| Circle::new(*point, 4, color.filled()));
        chart.draw_series(dots).map_err(|error| say(&error))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font((FONT, 14))
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .draw()
        .map_err(|error| say(&error))?;
    root.present().map_err(|error| say(&error))
}

/// A bar with a name, of parts one upon the other, each with a number into the legend.
pub struct Bar {
    pub name: String,
    pub parts: Vec<(usize, f64)>,
}

/// Bars beside each other.
///
/// # Errors
/// What the file or the drawing says.
pub fn bars(file: &Path, frame: &Frame<'_>, bars: &[Bar], parts: &[String]) -> Result<(), String> {
    let height = |bar: &Bar| bar.parts.iter().map(|part| part.1).sum::<f64>();
    let top = bars.iter().map(height).fold(0.0, f64::max) * 1.08;
    let beside = if parts.len() > 1 { BESIDE } else { 0 };
    let say = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let root = SVGBackend::new(file, SIZE).into_drawing_area();
    root.fill(&WHITE).map_err(|error| say(&error))?;
    let (left, right) = root.split_horizontally(SIZE.0 - beside);
    let mut chart = ChartBuilder::on(&left)
        .caption(frame.title, (FONT, 20))
        .margin(MARGIN)
        .x_label_area_size(52)
        .y_label_area_size(LABELS)
        .build_cartesian_2d((0..bars.len().saturating_sub(1)).into_segmented(), 0.0..top)
        .map_err(|error| say(&error))?;
    let name = |at: &SegmentValue<usize>| match at {
        SegmentValue::CenterOf(at) => bars.get(*at).map_or_else(String::new, |bar| bar.name.clone()),
        _ => String::new(),
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_desc(frame.x)
        .y_desc(frame.y)
        .x_labels(bars.len())
        .x_label_formatter(&name)
        .y_label_formatter(&|y| short(*y))
        .label_style((FONT, 12))
        .axis_desc_style((FONT, 16))
        .bold_line_style(BLACK.mix(0.15))
        .light_line_style(TRANSPARENT)
        .draw()
        .map_err(|error| say(&error))?;
    for (number, part) in parts.iter().enumerate() {
        let color = COLORS[number % COLORS.len()];
        let boxes = bars.iter().enumerate().filter_map(|(at, bar)| {
            let place = bar.parts.iter().position(|part| part.0 == number)?;
            let below: f64 = bar.parts[..place].iter().map(|part| part.1).sum();
            let corners = [(SegmentValue::Exact(at), below), (SegmentValue::Exact(at + 1), below + bar.parts[place].1)];
            let mut part = Rectangle::new(corners, color.filled());
            let side = SIZE.0 / bars.len() as u32 / 8;
            part.set_margin(0, 0, side, side);
            Some(part)
        });
        chart.draw_series(boxes.collect::<Vec<_>>()).map_err(|error| say(&error))?;
        if parts.len() > 1 {
            let y = 60 + 22 * number as i32;
            let mark = Rectangle::new([(0, y), (14, y + 12)], color.filled());
            right.draw(&mark).map_err(|error| say(&error))?;
            right.draw(&Text::new(part.as_str(), (20, y), (FONT, 14))).map_err(|error| say(&error))?;
        }
    }
    for (at, bar) in bars.iter().enumerate() {
        let style = (FONT, 14).into_font().color(&BLACK).pos(centred());
        let text = Text::new(format!("{:.0}", height(bar)), (SegmentValue::CenterOf(at), height(bar)), style);
        chart.draw_series([text]).map_err(|error| say(&error))?;
    }
    root.present().map_err(|error| say(&error))
}

fn centred() -> plotters::style::text_anchor::Pos {
    use plotters::style::text_anchor::{HPos, Pos, VPos};
    Pos::new(HPos::Center, VPos::Bottom)
}

/// A number in few characters: 1k, 4M.
pub fn short(number: f64) -> String {
    let scaled = [(1e6, "M"), (1e3, "k")].into_iter().find(|(unit, _)| number >= *unit);
    let (value, unit) = scaled.map_or((number, ""), |(unit, name)| (number / unit, name));
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.0, 0.25, 17.0, 1000.0, 65_537.0, 4e6].map(short), ["0", "0.25", "17", "1k", "65.54k", "4M"]);
    }

    #[test]
    fn plots_are_drawn() {
        let folder = std::env::temp_dir().join(format!("maglane-plots-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let frame = Frame { title: "how <it> goes", x: "flows", y: "cycles" };
        let series = [Series { name: "one & two".into(), points: vec![(1.0, 5.0), (1000.0, 7.0)] }];
        over_log(&folder.join("lines.svg"), &frame, &series).unwrap();
        let bar = |name: &str| Bar { name: name.into(), parts: vec![(0, 3.0), (1, 4.0)] };
        bars(&folder.join("bars.svg"), &frame, &[bar("a"), bar("b")], &["x".into(), "y".into()]).unwrap();
        for (file, word) in [("lines.svg", "one &amp; two"), ("bars.svg", "how &lt;it&gt; goes")] {
            let text = std::fs::read_to_string(folder.join(file)).unwrap();
            assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>") && text.contains(word), "{text}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
