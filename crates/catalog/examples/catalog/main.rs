//! What a catalog does, and what each step takes:
//!
//! ```text
//! cargo run --release -p aseptic-catalog --example catalog -- PLACE fill RUNS [PORTION [LABELS]]
//! cargo run --release -p aseptic-catalog --example catalog -- PLACE label TIMES
//! cargo run --release -p aseptic-catalog --example catalog -- PLACE ask TIMES
//! ```
//!
//! PLACE is a file or the URL of a PostgreSQL database. `fill` adds RUNS runs, each of four entries and with ten edges
//! (a dataset and three artifacts of earlier runs that it had as inputs, six outputs), five parameters and four metrics, in transactions
//! of PORTION entries; what is made up beforehand does not count. Each dataset has LABELS labels (1 if nothing is said),
//! and so has every run. `label` looks for what came of a dataset, gives it a label and takes it off again, TIMES times,
//! and prints the medians in milliseconds, how many runs came of it, and the milliseconds of processor time of one change. `ask` asks each question TIMES times and
//! prints the median in milliseconds. Each step prints one line: numbers with their names.

mod made_up;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{Write, stdout};
use std::time::{Duration, Instant};

use aseptic_catalog::{
    Catalog, CatalogError, Direction, LineagePage, Place, Places, Question, RunFilter, SearchFailed, Server,
};
use aseptic_model::{Digest, MachineName, Object, ProjectName, Status, Timestamp};

use made_up::Work;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const USAGE: &str = "PLACE fill RUNS [PORTION [LABELS]], PLACE label TIMES, or PLACE ask TIMES";
/// As many as the runner applies at once.
const PORTION: usize = 1_000;
const PAGE: usize = 50;
/// What is searched for, and by what the runs are sorted.
const SEARCHES: [(&str, &str, &str); 5] = [
    ("search_metric", "metric.accuracy > 0.9 and status = succeeded", "planned"),
    ("search_param", "param.seed = 77", "planned"),
    ("search_package", "package.package-1 = 1.3.5", "planned"),
    ("sort_metric", "", "metric.accuracy"),
    ("sort_duration", "status = failed", "duration"),
];

fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [place, step, rest @ ..] = words.as_slice() else { return Err(USAGE.into()) };
    let place = match place.starts_with("postgresql://") {
        true => Server::parse(place, "aseptic.local/ledger/bench")?.into(),
        false => Place::File(place.into()),
    };
    let numbers = rest.iter().map(|word| word.parse()).collect::<Result<Vec<usize>, _>>()?;
    let said = match (*step, numbers.as_slice()) {
        ("fill", &[runs]) => fill(&place, runs, PORTION, 1)?,
        ("fill", &[runs, portion]) => fill(&place, runs, portion, 1)?,
        ("fill", &[runs, portion, labels]) => fill(&place, runs, portion, labels)?,
        ("label", &[times]) => label(&place, times.max(1))?,
        ("ask", &[times]) => ask(&place, times.max(1))?,
        _ => return Err(USAGE.into()),
    };
    writeln!(stdout(), "{said}")?;
    Ok(())
}

fn fill(place: &Place, runs: usize, portion: usize, labels: usize) -> Result<String, Failure> {
    let mut catalog = Catalog::open(place)?;
    let mut work = Work::new(labels);
    let mut took = Duration::ZERO;
    let (mut entries, mut slowest) = (0, Duration::ZERO);
    let mut used = (0.0, 0.0);
    work.begin();
    catalog.begin_many()?;
    while work.runs < runs as u64 || !work.entries.is_empty() {
        while work.entries.len() < portion && work.runs < runs as u64 {
            work.run();
        }
        let batch = std::mem::take(&mut work.entries);
        let objects = std::mem::take(&mut work.objects);
        let (begun, before) = (Instant::now(), cpu()?);
        entries += catalog.apply(batch, &|_, digest| {
            objects.get(digest).cloned().ok_or_else(|| "there is no such object".into())
        })?;
        slowest = slowest.max(begun.elapsed());
        took += begun.elapsed();
        used.0 += cpu()?.0 - before.0;
        used.1 += cpu()?.1 - before.1;
    }
    let begun = Instant::now();
    catalog.end_many()?;
    let indexes = begun.elapsed();
    took += indexes;
    let seconds = took.as_secs_f64();
    let per_second = entries as f64 / seconds;
    Ok(format!(
        "runs {runs} entries {entries} seconds {seconds:.3} per_second {per_second:.0} slowest_ms {:.1} cpu {:.2} fold_cpu {:.2} indexes {:.2}",
        slowest.as_secs_f64() * 1e3,
        used.0,
        used.1,
        indexes.as_secs_f64()
    ))
}

fn label(place: &Place, times: usize) -> Result<String, Failure> {
    let mut catalog = Catalog::open(place)?;
    let mut work = Work::after(catalog.applied()?.ok_or("the catalog is empty")?.index);
    let (label, project) = ("looked-at".parse()?, made_up::PROJECT.parse()?);
    let dataset = Object::Dataset { name: made_up::dataset(1), version: Some(1) };
    let begun = Instant::now();
    let came_of = catalog.came_of(&project, &dataset)?;
    let looked = begun.elapsed().as_secs_f64() * 1e3;
    let labels = BTreeSet::from([label]);
    let (mut given, mut taken, mut found) = (Vec::new(), Vec::new(), Vec::new());
    let mut used = Vec::new();
    for turn in 0..2 * times {
        let is_given = turn % 2 == 0;
        labels.iter().for_each(|label| work.label(1, label, is_given));
        let (begun, before) = (Instant::now(), cpu()?.1);
        catalog.apply(std::mem::take(&mut work.entries), &|_, _| Err("nothing is fetched".into()))?;
        let took = begun.elapsed().as_secs_f64() * 1e3;
        used.push((cpu()?.1 - before) * 1e3);
        if is_given {
            given.push(took)
        } else {
            taken.push(took)
        }
        found.extend(catalog.labelled_among(&came_of, &labels)?.values().map(|count| count.runs));
    }
    if found.chunks(2).any(|pair| pair != [found.iter().copied().max().unwrap_or_default(), 0]) {
        return Err(format!("labels did not reach the same runs each time: {found:?}").into());
    }
    let median = |mut took: Vec<f64>| {
        took.sort_by(f64::total_cmp);
        took.get(took.len() / 2).copied().unwrap_or_default()
    };
    let runs = found.first().copied().unwrap_or_default();
    Ok(format!(
        "came_of {looked:.3}/{runs} label_given {:.3}/{runs} label_taken_off {:.3}/{runs} label_cpu {:.3}",
        median(given),
        median(taken),
        median(used)
    ))
}

/// Seconds of processor time of this process, and of this thread, which folds.
fn cpu() -> Result<(f64, f64), Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let ticks: u64 =
        after.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<u64>().ok()).sum();
    let thread = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: u64 = thread.split(' ').next().unwrap_or_default().parse()?;
    Ok((ticks as f64 / 100.0, nanoseconds as f64 / 1e9))
}

fn ask(place: &Place, times: usize) -> Result<String, Failure> {
    let begun = Instant::now();
    let catalog = Catalog::open(place)?;
    let mut said = format!("open {:.3}", begun.elapsed().as_secs_f64() * 1e3);
    let project: ProjectName = made_up::PROJECT.parse()?;
    let newest = catalog.runs(&project, 1, &RunFilter::default())?.pop().ok_or("the catalog is empty")?;
    let count = catalog.run_entry(&project, &newest.run)?.unwrap_or_default() / 4;
    let middle = made_up::run_id(count / 2);
    let file = made_up::output_digest(count / 2, 0);
    let dataset: Digest = made_up::dataset_digest(1);
    let experiment = Some(made_up::experiment(count / 2).parse()?);
    let mut question = |name: &str, ask: &dyn Fn() -> Result<usize, CatalogError>| -> Result<(), Failure> {
        let mut took = Vec::new();
        let mut found = ask()?; // What is measured is warm.
        for _ in 0..times {
            let begun = Instant::now();
            found = ask()?;
            took.push(begun.elapsed());
        }
        took.sort();
        let median = took.get(took.len() / 2).copied().unwrap_or_default();
        write!(said, " {name} {:.3}/{found}", median.as_secs_f64() * 1e3)?;
        Ok(())
    };
    let all = RunFilter::default();
    question("newest", &|| Ok(catalog.runs(&project, PAGE, &all)?.len()))?;
    let failed = RunFilter { status: Some(Status::Failed), ..RunFilter::default() };
    question("failed", &|| Ok(catalog.runs(&project, PAGE, &failed)?.len()))?;
    let of_one = RunFilter { experiment, ..RunFilter::default() };
    question("experiment", &|| Ok(catalog.runs(&project, PAGE, &of_one)?.len()))?;
    question("run", &|| Ok(usize::from(catalog.run(&project, &middle)?.is_some())))?;
    question("experiments", &|| Ok(catalog.experiments(&project)?.len()))?;
    let page = LineagePage { depth: None, skip: 0, limit: PAGE };
    let walk = |object: Object, direction| {
        Ok(catalog.lineage(&project, &object, &[], direction, &page)?.edges.len())
    };
    question("up", &|| walk(Object::Run(newest.run.clone()), Direction::Up))?;
    question("down_of_run", &|| walk(Object::Run(middle.clone()), Direction::Down))?;
    question("down_of_file", &|| walk(Object::File(file), Direction::Down))?;
    question("down_of_dataset", &|| walk(Object::Snapshot(dataset), Direction::Down))?;
    let host: MachineName = made_up::HOST.parse()?;
    question("down_of_host", &|| walk(Object::Host(host.clone()), Direction::Down))?;
    let package = Object::Package { name: "package-1".parse()?, version: None };
    question("down_of_package", &|| walk(package.clone(), Direction::Down))?;
    let searched = |search: &str, sort: &str| -> Result<Question, Failure> {
        let search = if search.is_empty() { None } else { Some(search.parse()?) };
        Ok(Question { project: project.clone(), search, sort: sort.parse()? })
    };
    for (name, search, sort) in SEARCHES {
        let asked = searched(search, sort)?;
        question(name, &|| match catalog.search(&asked, &[], None, PAGE, Timestamp::UNIX_EPOCH) {
            Ok(page) => Ok(page.runs.len()),
            Err(SearchFailed::Catalog(error)) => Err(error),
            Err(other) => Err(CatalogError::Storage(other.into())),
        })?;
    }
    for (name, run) in [
        ("reached_by_last", &newest.run),
        ("reached_by_middle", &middle),
        ("reached_by_first", &made_up::run_id(0)),
    ] {
        let begun = Instant::now();
        let found = catalog.reached(&project, &Object::Run(run.clone()), Places::default())?.0.runs.len();
        write!(said, " {name} {:.3}/{found}", begun.elapsed().as_secs_f64() * 1e3)?;
    }
    Ok(said)
}
