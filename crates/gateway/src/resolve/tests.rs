use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::*;
use crate::tests::support::local;

fn name(text: &str) -> HostName {
    text.parse().unwrap()
}

fn counting(answer: Result<Vec<IpAddr>, NoAddress>) -> (Rc<Resolver>, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let lookup = move |_: &str| {
        counter.fetch_add(1, Ordering::SeqCst);
        answer.clone()
    };
    (Rc::new(Resolver::new(Arc::new(lookup))), count)
}

#[test]
fn an_answer_is_used_again_until_it_is_old() {
    local(async {
        let (resolver, count) = counting(Ok(vec!["192.0.2.1".parse().unwrap()]));
        for _ in 0..3 {
            assert_eq!(resolver.resolve(&name("a.example")).await.unwrap().len(), 1);
        }
        assert_eq!(count.load(Ordering::SeqCst), 1);
        tokio::time::pause();
        tokio::time::advance(KEPT).await;
        assert_eq!(resolver.known(&name("a.example")), None);
        tokio::time::resume();
        resolver.resolve(&name("a.example")).await.unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn a_name_that_is_not_there_is_not_asked_for_again_and_again() {
    local(async {
        let (resolver, count) = counting(Err(NoAddress::NoSuchName));
        for _ in 0..3 {
            assert_eq!(resolver.resolve(&name("a.example")).await, Err(NoAddress::NoSuchName));
        }
        assert_eq!(count.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn no_addresses_are_no_answer() {
    local(async {
        let (resolver, _) = counting(Ok(Vec::new()));
        assert_eq!(resolver.resolve(&name("a.example")).await, Err(NoAddress::Empty));
    });
}

/// Look-ups that never end hold every thread; those that wait fail in time, and those that find no place to
/// wait fail at once.
#[test]
fn a_resolver_that_hangs_holds_up_only_so_many() {
    local(async {
        let (release, hang) = mpsc::channel::<()>();
        let hang = std::sync::Mutex::new(hang);
        let lookup = move |_: &str| {
            let _ = hang.lock().unwrap().recv();
            Err(NoAddress::Failed)
        };
        let resolver = Rc::new(Resolver::new(Arc::new(lookup)));
        for number in 0..WAITING_MAX {
            drop(resolver.soon(&name(&format!("n{number}.example"))));
        }
        assert_eq!(resolver.resolve(&name("more.example")).await, Err(NoAddress::Failed));
        let told = [resolver.soon(&name("n0.example")), resolver.soon(&name("n255.example"))];
        for _ in 0..WAITING_MAX {
            tokio::task::yield_now().await; // All begin to wait.
        }
        tokio::time::pause();
        tokio::time::advance(2 * PATIENCE).await; // Timers count in milliseconds.
        for mut told in told {
            let answer = told.wait_for(Option::is_some).await.unwrap().clone();
            assert_eq!(answer, Some(Err(NoAddress::Failed)));
        }
        drop(release);
    });
}

#[test]
fn what_is_kept_is_bounded() {
    local(async {
        let (resolver, _) = counting(Ok(vec!["192.0.2.1".parse().unwrap()]));
        for number in 0..KEPT_MAX + 10 {
            let answer: Answer = Err(NoAddress::Failed);
            let until = Instant::now() + KEPT;
            resolver.remember(name(&format!("n{number}.example")), Known::Until(until, answer));
        }
        assert!(resolver.known.borrow().len() <= KEPT_MAX);
    });
}

#[test]
fn the_system_knows_itself() {
    assert!(system("localhost").unwrap().iter().all(IpAddr::is_loopback));
}
