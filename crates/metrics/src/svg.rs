//! Charts as one SVG file: one panel for each metric, all runs in each.
//!
//! Nothing is loaded from elsewhere and nothing is executed. Colours follow the viewer's light or dark setting and
//! can be told apart by everyone; runs beyond the number of colours have dashes.

mod axis;
mod panel;

use std::fmt::Write as _;

use crate::Bucket;
use panel::Place;

/// What a chart shows.
#[derive(Clone, Debug)]
pub struct Chart {
    /// The name of each run.
    pub runs: Vec<String>,
    /// The metrics.
    pub panels: Vec<Panel>,
    /// What goes to the right.
    pub horizontal: Horizontal,
    /// What goes up.
    pub scale: Scale,
}

/// One metric.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Its name.
    pub name: String,
    /// It in each run that has it.
    pub curves: Vec<Curve>,
}

/// One metric of one run.
#[derive(Clone, Debug)]
pub struct Curve {
    /// Number of the run in [`Chart::runs`].
    pub run: usize,
    /// Its values, all of them above zero where the scale is logarithmic.
    pub buckets: Vec<Bucket>,
    /// How many values are not shown: not finite, or not above zero.
    pub left_out: u64,
}

/// What goes to the right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Horizontal {
    /// Steps.
    Steps,
    /// Seconds since the first value of the run.
    Time,
}

/// What goes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Equal differences are equally far.
    Linear,
    /// Equal ratios are equally far.
    Logarithmic,
}

/// Space around everything.
const MARGIN: f64 = 16.0;
/// Space between panels.
const GAP: f64 = 20.0;
/// Height of one line of the legend.
const LEGEND_LINE: f64 = 20.0;
/// Most characters of the name of a run or metric; its whole name is shown by what points at it.
const SHOWN_CHARACTERS: usize = 44;

/// Colours that are told apart with any kind of colour blindness, on white and on black.
///
/// Source: Okabe and Ito, Color Universal Design; made lighter for a dark ground.
const COLOURS: [(&str, &str); 6] = [
    ("#0072b2", "#5aaeea"),
    ("#d55e00", "#f28a4f"),
    ("#009e73", "#35c79c"),
    ("#b8578f", "#e39cc6"),
    ("#c98a00", "#f0bb52"),
    ("#3b3f8c", "#a3a6f0"),
];

/// Of the runs beyond the colours, in turn.
const DASHES: [&str; 4] = ["", "7 3", "2 3", "9 3 2 3"];

const STYLE: &str = "\
text{font-family:ui-sans-serif,system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;font-size:11px;fill:#5b6470}
.ground{fill:#ffffff}.name{font-size:13px;font-weight:600;fill:#1c2330}.value{font-size:12px;fill:#1c2330}
.grid{stroke:#e6e9ee;stroke-width:1;fill:none}.axis{stroke:#b6bdc8;stroke-width:1;fill:none}
.line{fill:none;stroke-width:1.6;stroke-linejoin:round;stroke-linecap:round}.band{stroke:none;fill-opacity:.2}
.end{stroke:#ffffff;stroke-width:1.2}
";

const DARK: &str = "\
text{fill:#9aa4b2}.ground{fill:#12161c}.name,.value{fill:#e8ecf2}
.grid{stroke:#242b35}.axis{stroke:#46505e}.end{stroke:#12161c}
";

/// Draws `chart`.
#[must_use]
pub fn svg(chart: &Chart) -> String {
    let (columns, width, height): (usize, f64, f64) = match chart.panels.len() {
        0 | 1 => (1, 760.0, 380.0),
        2..=4 => (2, 470.0, 270.0),
        _ => (3, 390.0, 232.0),
    };
    let whole_width = MARGIN * 2.0 + real(columns) * width + real(columns - 1) * GAP;
    let legend = legend(&chart.runs, whole_width);
    let top = MARGIN + legend.height;
    let rows = chart.panels.len().div_ceil(columns).max(1);
    let whole_height = top + real(rows) * height + real(rows - 1) * GAP + MARGIN;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {whole_width} {whole_height}\" \
         width=\"{whole_width}\" height=\"{whole_height}\" role=\"img\">\n<title>{}</title>\n<style>\n{STYLE}",
        escaped(&title(chart))
    );
    let _ =
        writeln!(text, "{}@media (prefers-color-scheme:dark){{\n{DARK}{}}}", colours(false), colours(true));
    text.push_str("</style>\n<rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n");
    text.push_str(&legend.text);
    for (number, panel) in chart.panels.iter().enumerate() {
        let left = MARGIN + real(number % columns) * (width + GAP);
        let place = Place { left, top: top + real(number / columns) * (height + GAP), width, height };
        panel::draw(&mut text, chart, panel, &place);
    }
    text.push_str("</svg>\n");
    text
}

fn title(chart: &Chart) -> String {
    let names: Vec<_> = chart.panels.iter().take(3).map(|panel| panel.name.as_str()).collect();
    let more = if chart.panels.len() > names.len() { ", …" } else { "" };
    format!("{}{more} of {}", names.join(", "), chart.runs.join(", "))
}

/// A rule for each colour: `s` for lines, `f` for areas.
fn colours(dark: bool) -> String {
    let rule = |(number, (on_light, on_dark)): (usize, &(&str, &str))| {
        let colour = if dark { on_dark } else { on_light };
        format!(".s{number}{{stroke:{colour}}}.f{number}{{fill:{colour}}}\n")
    };
    COLOURS.iter().enumerate().map(rule).collect()
}

/// How the lines of a run look.
fn look(run: usize) -> (usize, &'static str) {
    (run % COLOURS.len(), DASHES[run / COLOURS.len() % DASHES.len()])
}

fn dashed(dashes: &str) -> String {
    if dashes.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dashes}\"") }
}

struct Legend {
    text: String,
    height: f64,
}

/// The runs, as many in a line as fit.
fn legend(runs: &[String], width: f64) -> Legend {
    let (mut text, mut left, mut top) = (String::new(), MARGIN, MARGIN + 10.0);
    for (number, run) in runs.iter().enumerate() {
        let shown = cut(run);
        let needs = 26.0 + text_width(&shown, 7.0) + 22.0;
        if left + needs > width - MARGIN && left > MARGIN {
            (left, top) = (MARGIN, top + LEGEND_LINE);
        }
        let (colour, dashes) = look(number);
        let (end, middle, at) = (left + 20.0, top - 4.0, left + 26.0);
        let _ = writeln!(
            text,
            "<g><title>{}</title><path class=\"line s{colour}\" style=\"stroke-width:2.4\"{} d=\"M{left:.1} \
             {middle:.1}H{end:.1}\"/><text class=\"value\" x=\"{at:.1}\" y=\"{top:.1}\">{}</text></g>",
            escaped(run),
            dashed(dashes),
            escaped(&shown)
        );
        left += needs;
    }
    let height = if runs.is_empty() { 0.0 } else { top - MARGIN + 16.0 };
    Legend { text, height }
}

/// About as wide as a text of this size is.
fn text_width(text: &str, character: f64) -> f64 {
    real(text.chars().count()) * character
}

fn cut(name: &str) -> String {
    if name.chars().count() <= SHOWN_CHARACTERS {
        return name.to_owned();
    }
    name.chars().take(SHOWN_CHARACTERS - 1).chain(['…']).collect()
}

/// Text that is no markup, of characters that XML has.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            // What turns the direction of text around would mix it with what stands beside it.
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                escaped.push('\u{fffd}')
            }
            other if other.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[expect(clippy::cast_precision_loss, reason = "numbers of panels and characters")]
fn real(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests;
