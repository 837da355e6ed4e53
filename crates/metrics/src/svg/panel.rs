//! One panel of a chart.

use std::fmt::Write as _;

use super::axis::Axis;
use super::{Chart, Curve, Panel, cut, dashed, escaped, look, real, text_width};
use crate::Bucket;
use crate::number::{is_bytes, value};

/// Where a panel is.
pub(super) struct Place {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

/// Above the lines, for the name.
const HEAD: f64 = 26.0;
/// Below them, for the labels.
const FOOT: f64 = 22.0;
/// Width of a character of a label.
const LABEL_CHARACTER: f64 = 6.2;

/// From values to places on the page.
struct Frame {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
    x: Axis,
    y: Axis,
}

impl Frame {
    fn x(&self, at: f64) -> f64 {
        self.left + self.x.share(at) * self.width
    }

    fn y(&self, value: f64) -> f64 {
        self.top + (1.0 - self.y.share(value)) * self.height
    }
}

pub(super) fn draw(text: &mut String, chart: &Chart, panel: &Panel, place: &Place) {
    let _ = writeln!(
        text,
        "<g><text class=\"name\" x=\"{:.1}\" y=\"{:.1}\"><title>{}</title>{}</text>",
        place.left,
        place.top + 13.0,
        escaped(&panel.name),
        escaped(&cut(&panel.name))
    );
    remark(text, chart, panel, place);
    match frame(chart, panel, place) {
        None => {
            let (x, y) = (place.left + place.width / 2.0, place.top + place.height / 2.0);
            let _ = writeln!(
                text,
                "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">no values to show</text>"
            );
        }
        Some(frame) => {
            lines(text, &frame);
            for curve in &panel.curves {
                draw_curve(text, chart, curve, &frame);
            }
        }
    }
    text.push_str("</g>\n");
}

/// At the right above the lines: the last value of the only run, or what is not shown.
fn remark(text: &mut String, chart: &Chart, panel: &Panel, place: &Place) {
    let left_out: u64 = panel.curves.iter().map(|curve| curve.left_out).sum();
    let last = panel.curves.first().and_then(|curve| curve.buckets.last()).filter(|last| last.count == 1);
    let said = match (left_out, last) {
        (1.., _) => format!("{left_out} {} not shown", if left_out == 1 { "value" } else { "values" }),
        (0, Some(last)) if chart.runs.len() == 1 => value(&panel.name, last.mean),
        _ => return,
    };
    let (x, y) = (place.left + place.width, place.top + 13.0);
    let _ = writeln!(text, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{said}</text>");
}

fn frame(chart: &Chart, panel: &Panel, place: &Place) -> Option<Frame> {
    let buckets = panel.curves.iter().flat_map(|curve| &curve.buckets);
    let y = Axis::vertical(buckets.clone(), chart.scale, is_bytes(&panel.name))?;
    let label = y.ticks.iter().map(|(_, label)| text_width(label, LABEL_CHARACTER)).fold(0.0, f64::max);
    let left = place.left + label + 8.0;
    let width = place.width - label - 8.0 - 6.0;
    let x = Axis::horizontal(buckets, chart.horizontal, (width / 80.0).floor().max(2.0))?;
    Some(Frame { left, top: place.top + HEAD, width, height: place.height - HEAD - FOOT, x, y })
}

/// The axes and what stands at them.
fn lines(text: &mut String, frame: &Frame) {
    let (right, bottom) = (frame.left + frame.width, frame.top + frame.height);
    let mut grid = String::new();
    for (tick, label) in &frame.y.ticks {
        let y = frame.y(*tick);
        let _ = write!(grid, "M{:.1} {y:.1}H{right:.1}", frame.left);
        let (x, base) = (frame.left - 6.0, y + 3.8);
        let _ = writeln!(text, "<text x=\"{x:.1}\" y=\"{base:.1}\" text-anchor=\"end\">{label}</text>");
    }
    let mut axis = format!("M{:.1} {bottom:.1}H{right:.1}", frame.left);
    for (tick, label) in &frame.x.ticks {
        let x = frame.x(*tick);
        let _ = write!(axis, "M{x:.1} {bottom:.1}v4");
        // The last label would stand out on the right.
        let half = text_width(label, LABEL_CHARACTER) / 2.0;
        let (anchor, base) = (if x + half > right + 6.0 { "end" } else { "middle" }, bottom + 17.0);
        let x = if anchor == "end" { right + 6.0 } else { x };
        let _ = writeln!(text, "<text x=\"{x:.1}\" y=\"{base:.1}\" text-anchor=\"{anchor}\">{label}</text>");
    }
    let _ = writeln!(text, "<path class=\"grid\" d=\"{grid}\"/><path class=\"axis\" d=\"{axis}\"/>");
}

/// The means as a line, and around it an area from the smallest to the largest value where there are more than
/// can be drawn.
fn draw_curve(text: &mut String, chart: &Chart, curve: &Curve, frame: &Frame) {
    let Some(last) = curve.buckets.last() else { return };
    let (colour, dashes) = look(curve.run);
    let count: u64 = curve.buckets.iter().map(|bucket| bucket.count).sum();
    let run = chart.runs.get(curve.run).map_or("", String::as_str);
    let _ = writeln!(text, "<g><title>{}: {count} values</title>", escaped(run));
    if curve.buckets.iter().any(|bucket| bucket.count > 1) {
        let edge = |of: fn(&Bucket) -> f64| {
            let points = move |bucket: &Bucket| {
                let y = frame.y(of(bucket));
                places(frame, bucket).map(move |x| (x, y))
            };
            curve.buckets.iter().flat_map(points).collect::<Vec<_>>()
        };
        let (above, below) = (edge(|bucket| bucket.max), edge(|bucket| bucket.min));
        let around = above.into_iter().chain(below.into_iter().rev());
        let _ = writeln!(text, "<path class=\"band f{colour}\" d=\"{}Z\"/>", path(around));
    }
    let line = curve.buckets.iter().flat_map(|bucket| {
        let y = frame.y(bucket.mean);
        places(frame, bucket).map(move |x| (x, y))
    });
    let line = path(line);
    let _ = writeln!(text, "<path class=\"line s{colour}\"{} d=\"{line}\"/>", dashed(dashes));
    let (x, y) = (frame.x(last.to), frame.y(last.mean));
    let _ = writeln!(
        text,
        "<circle class=\"end f{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{:.1}\"/></g>",
        radius(curve)
    );
}

/// Wider buckets than this are drawn from their beginning to their end, in units of the page.
const WIDE: f64 = 4.0;

/// Where a bucket is: in its middle, or at both of its ends if these are far from each other.
fn places(frame: &Frame, bucket: &Bucket) -> impl Iterator<Item = f64> + use<> {
    let (from, to) = (frame.x(bucket.from), frame.x(bucket.to));
    let is_wide = (to - from).abs() > WIDE;
    let first = if is_wide { from } else { f64::midpoint(from, to) };
    [first].into_iter().chain(is_wide.then_some(to))
}

/// A single value is a dot that one sees.
fn radius(curve: &Curve) -> f64 {
    if curve.buckets.len() == 1 { real(4) } else { 2.8 }
}

fn path(points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (number, (x, y)) in points.enumerate() {
        let _ = write!(path, "{}{x:.1} {y:.1}", if number == 0 { 'M' } else { 'L' });
    }
    path
}
