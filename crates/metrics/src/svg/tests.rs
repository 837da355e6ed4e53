use super::*;
use crate::Envelope;

fn curve(run: usize, values: &[f64]) -> Curve {
    let mut envelope = Envelope::new(100);
    for (step, value) in (0_u32..).zip(values) {
        envelope.add(f64::from(step), *value);
    }
    Curve { run, buckets: envelope.buckets().to_vec(), left_out: 0 }
}

fn chart(name: &str, run: &str, values: &[f64]) -> Chart {
    let panel = Panel { name: name.to_owned(), curves: vec![curve(0, values)] };
    let (horizontal, scale) = (Horizontal::Steps, Scale::Linear);
    Chart { runs: vec![run.to_owned()], panels: vec![panel], horizontal, scale }
}

#[test]
fn names_are_no_markup() {
    let hostile = "</text><script>alert('1')</script>&\"\u{202e}\u{ffff}\u{1b}";
    let text = svg(&chart(hostile, hostile, &[1.0, 2.0]));
    assert!(!text.contains("<script") && !text.contains("alert('"), "{text}");
    assert!(!text.contains(['\u{202e}', '\u{ffff}', '\u{1b}']));
    assert!(text.contains("&lt;script&gt;"));
}

#[test]
fn any_values_have_a_place_on_the_page() {
    let extreme = [f64::MIN, f64::MAX, 0.0, f64::MIN_POSITIVE, -f64::MIN_POSITIVE, f64::from_bits(1)];
    let series: [&[f64]; 7] =
        [&[], &[0.0], &[5.0, 5.0], &extreme, &[1e-320, 2e-320], &[1e300, -1e300], &[1e9, 1e9 + 1e-6]];
    for values in series {
        for scale in [Scale::Linear, Scale::Logarithmic] {
            let above_zero: Vec<_> = values.iter().copied().filter(|value| *value > 0.0).collect();
            let values = if scale == Scale::Logarithmic { &above_zero } else { values };
            for horizontal in [Horizontal::Steps, Horizontal::Time] {
                let text = svg(&Chart { scale, horizontal, ..chart("a", "r", values) });
                assert!(!text.contains("NaN") && !text.contains("inf"), "{values:?} {text}");
            }
        }
    }
}

#[test]
fn a_spike_is_drawn_to_its_top() {
    let mut values = vec![0.0; 100_000];
    values[31_415] = 1.0;
    let chart = chart("a", "r", &values);
    let text = svg(&chart);
    let band = text.lines().find(|line| line.starts_with("<path class=\"band")).unwrap();
    let highest = band
        .split(['M', 'L', 'Z'])
        .filter_map(|point| point.split_once(' ')?.1.parse::<f64>().ok())
        .reduce(f64::min)
        .unwrap();
    assert!(highest < 90.0, "near the top of its lines, which is at 68: {highest}");
}

#[test]
fn many_runs_are_told_apart() {
    let looks: std::collections::BTreeSet<_> = (0..COLOURS.len() * DASHES.len()).map(look).collect();
    assert_eq!(looks.len(), COLOURS.len() * DASHES.len());
}
