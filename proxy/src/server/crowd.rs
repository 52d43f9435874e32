//! Handshakes that have begun and not ended. A client can begin one and never go on, so none waits
//! for the end of another: of too many, the oldest is given up. One that goes on ends long before.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use tokio::sync::Notify;

#[derive(Default)]
pub(super) struct Crowd {
    /// By the order in which they came.
    begun: RefCell<BTreeMap<u64, Rc<Notify>>>,
}

/// A handshake's place, given back when dropped.
pub(super) struct Place<'a> {
    crowd: &'a Crowd,
    number: u64,
    given_up: Rc<Notify>,
}

impl Crowd {
    /// A place for one more; beyond `most`, the oldest one's is taken away.
    pub(super) fn enter(&self, most: usize) -> Place<'_> {
        let mut begun = self.begun.borrow_mut();
        let number = begun.last_key_value().map_or(0, |(last, _)| last + 1);
        let given_up = Rc::new(Notify::new());
        begun.insert(number, Rc::clone(&given_up));
        if begun.len() > most
            && let Some((_, oldest)) = begun.pop_first()
        {
            oldest.notify_one();
        }
        Place { crowd: self, number, given_up }
    }
}

impl Place<'_> {
    /// Returns once the place is another's.
    pub(super) async fn lost(&self) {
        self.given_up.notified().await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.crowd.begun.borrow_mut().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn of_too_many_the_oldest_is_given_up() {
        let crowd = Crowd::default();
        let (first, second) = (crowd.enter(2), crowd.enter(2));
        assert!(first.lost().now_or_never().is_none());
        let third = crowd.enter(2);
        assert!(first.lost().now_or_never().is_some());
        drop(first);
        assert!(second.lost().now_or_never().is_none());
        drop(third);
        let _fourth = crowd.enter(2);
        assert!(second.lost().now_or_never().is_none());
    }
}
