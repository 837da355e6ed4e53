//! A disk that is full at any moment of a change to policies or labels, and of an evaluation.

use crate::bad_input::on_small_disk;
use crate::world::World;

/// Fills the disk but for so many KiB, and makes room again.
const FILL: &str = "fill() { free=$(df -k --output=avail small | tail -1)
                      head -c $(( (free - $1) * 1024 )) /dev/zero > small/fill; }
                    room() { rm -f small/fill; }
                    result() {
                      said=no; grep -q 'it is in the ledger' said && said=yes
                      echo \"result $code $now $said\"
                      $A ledger verify --quiet > /dev/null 2>&1 && $A catalog verify > /dev/null 2>&1 || echo DAMAGED
                    }
                    mkdir small/state
                    ";

/// After each: whether it succeeded, whether it is so now, and whether it was said to be in the ledger.
fn assert_said(seen: &str) {
    let results: Vec<_> = seen.lines().filter_map(|line| line.strip_prefix("result ")).collect();
    for result in &results {
        assert!(["0 yes no", "1 no no", "1 yes yes"].contains(result), "{result}: {seen}");
    }
    assert!(results.contains(&"0 yes no") && results.iter().any(|result| result.starts_with('1')), "{seen}");
    assert!(!seen.contains("DAMAGED"), "{seen}");
}

#[test]
fn policies_are_in_force_or_not_and_that_is_said() {
    let world = World::new();
    world.write("policy/lab.cedar", "");
    let script = r#"for left in 0 4 8 12 16 20 24 28 32 48 64; do
        printf '@id("lab/a%s")\n@message("m")\n@advice("a")\nforbid (principal, action == Action::"Start", resource)
            when { context.risk == %s };\n' $left $left > policy/lab.cedar
        fill $left
        code=0; $A policy apply --reason reviewed > said 2>&1 || code=1
        room
        now=no; $A policy show "lab/a$left" > /dev/null 2>&1 && now=yes
        result
    done"#;
    assert_said(&on_small_disk(&world, "24m", &format!("{{ {FILL}{script}; }}")));
}

#[test]
fn labels_are_given_or_not_and_that_is_said() {
    let world = World::new();
    world.write("rows", "1\n");
    let script = r#"$A dataset add rows --name rows > /dev/null 2>&1
    for left in 0 4 8 12 16 20 24 28 32 48 64; do
        fill $left
        code=0; $A label rows "l$left" > said 2>&1 || code=1
        room
        now=no; $A dataset show rows --json 2> /dev/null | grep -q "\"l$left\"" && now=yes
        result
    done"#;
    assert_said(&on_small_disk(&world, "24m", &format!("{{ {FILL}{script}; }}")));
}

/// Of an evaluation that the disk has no room for, nothing but metrics is kept, and it counts when its job looked.
#[test]
fn an_evaluation_that_fills_the_disk_counts_and_leaves_metrics_alone() {
    let world = World::new();
    world.write("test", "PATIENT-4711\n");
    let script = r#"$A dataset add test --name test --role holdout > /dev/null 2>&1
    for size in 4 8 16; do
        fill $(( size * 512 ))
        $A run --quiet --no-code --keep metrics --limit outputs=20MiB --data t=test -- sh -c '
            cat /data/t/test; cp /data/t/test /out/copy; cat /dev/zero > /out/fill' 2>> errors | sed 's/PATIENT.*/looked/'
        room
    done
    $A ledger verify --quiet > /dev/null 2>&1 && $A catalog verify > /dev/null 2>&1 || echo DAMAGED
    $A dataset show test --json | grep '"used"'
    for run in $($A runs --json | grep -o '"run": "[^"]*"' | cut -d'"' -f4); do
        rm -rf there; $A export $run/out --to there > /dev/null 2>&1; grep -rl 4711 there && echo ESCAPED
    done"#;
    let seen = on_small_disk(&world, "24m", &format!("{{ {FILL}{script}; }}"));
    let looked = seen.lines().filter(|line| *line == "looked").count();
    let used: usize = seen
        .lines()
        .find_map(|line| line.trim().strip_prefix("\"used\": ")?.trim_end_matches(',').parse().ok())
        .unwrap_or_else(|| panic!("{seen}"));
    assert!(looked > 0 && used >= looked, "{looked} of {used}: {seen}");
    assert!(!seen.contains("DAMAGED") && !seen.contains("ESCAPED"), "{seen}");
}
