//! What `bench/metrics.py` times: reads the files of metrics that it is given and says how many seconds each of three
//! uses took: `summary`, `csv` (thrown away), and `chart` of all of it.
#![expect(clippy::print_stdout, reason = "an example that prints its result")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::time::Instant;

use aseptic_metrics::{
    Chart, Curve, Envelope, Horizontal, Panel, Point, Reader, Scale, Summaries, svg, write_csv,
};

fn main() -> io::Result<()> {
    for path in std::env::args_os().skip(1) {
        let started = Instant::now();
        let mut summaries = Summaries::new();
        let lines = read(&mut File::open(&path)?, &mut |point| {
            summaries.add(&point);
            Ok(())
        })?;
        let series = summaries.finish().len();
        println!(
            "{{\"use\":\"summary\",\"seconds\":{},\"lines\":{lines},\"series\":{series}}}",
            seconds(started)
        );

        let started = Instant::now();
        read(&mut File::open(&path)?, &mut |point| write_csv(&mut io::sink(), "run", &point))?;
        println!("{{\"use\":\"csv\",\"seconds\":{},\"lines\":{lines}}}", seconds(started));

        let started = Instant::now();
        let bytes = svg(&chart(&mut File::open(&path)?)?).len();
        println!(
            "{{\"use\":\"chart\",\"seconds\":{},\"lines\":{lines},\"bytes\":{bytes}}}",
            seconds(started)
        );
    }
    Ok(())
}

fn read(source: &mut File, take: &mut dyn FnMut(Point<'_>) -> io::Result<()>) -> io::Result<u64> {
    let mut reader = Reader::new();
    reader.read(source, take)?;
    reader.finish(take)?;
    Ok(reader.lines())
}

fn chart(source: &mut File) -> io::Result<Chart> {
    let mut envelopes: BTreeMap<usize, (String, Envelope)> = BTreeMap::new();
    read(source, &mut |point| {
        let new = || (point.name.to_owned(), Envelope::new(300));
        #[expect(clippy::cast_precision_loss, reason = "a place in a chart")]
        envelopes.entry(point.series).or_insert_with(new).1.add(point.step as f64, point.value);
        Ok(())
    })?;
    let panel = |(name, envelope): (String, Envelope)| {
        let curve = Curve { run: 0, buckets: envelope.buckets().to_vec(), left_out: 0 };
        Panel { name, curves: vec![curve] }
    };
    let panels = envelopes.into_values().map(panel).collect();
    Ok(Chart { runs: vec!["run".to_owned()], panels, horizontal: Horizontal::Steps, scale: Scale::Linear })
}

fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}
