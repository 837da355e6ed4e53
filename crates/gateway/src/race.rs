//! Waits for whichever of two things comes first.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// What came first.
#[derive(Debug)]
pub(crate) enum Won<A, B> {
    First(A),
    Second(B),
}

/// The first of two that is there; `first`, if both are. The other one is dropped.
pub(crate) async fn race<A, B>(first: impl Future<Output = A>, second: impl Future<Output = B>) -> Won<A, B> {
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(|context| match first.as_mut().poll(context) {
        Poll::Ready(won) => Poll::Ready(Won::First(won)),
        Poll::Pending => second.as_mut().poll(context).map(Won::Second),
    })
    .await
}
