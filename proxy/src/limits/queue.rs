//! A bounded queue of tasks that wait, of any thread. Only the first is woken, and only it moves.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    task::{Context, Waker},
};

pub(super) struct Queue {
    most: AtomicU32,
    /// Of `waiting`, to be read without the lock.
    length: AtomicU32,
    waiting: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    next_ticket: u64,
    /// Tickets in rising order; a waker once it has been asked for.
    tasks: VecDeque<(u64, Option<Waker>)>,
}

/// A place in the queue, left when dropped.
pub(super) struct Place<'a> {
    queue: &'a Queue,
    ticket: u64,
}

impl Queue {
    pub(super) fn new(most: u32) -> Self {
        Self { most: AtomicU32::new(most), length: AtomicU32::new(0), waiting: Mutex::default() }
    }

    /// Takes another bound; who waits beyond it stays.
    pub(super) fn bound(&self, most: u32) {
        self.most.store(most, SeqCst);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> u32 {
        self.length.load(SeqCst)
    }

    /// At the end of it; `None` if it is full.
    pub(super) fn join(&self) -> Option<Place<'_>> {
        let mut line = self.line();
        if line.tasks.len() >= self.most.load(SeqCst) as usize {
            return None;
        }
        let ticket = line.next_ticket;
        line.next_ticket += 1;
        line.tasks.push_back((ticket, None));
        self.length.fetch_add(1, SeqCst);
        Some(Place { queue: self, ticket })
    }

    /// Lets the first look whether there is something for it.
    pub(super) fn wake_first(&self) {
        if self.is_empty() {
            return;
        }
        let waker = self.line().tasks.front().and_then(|(_, waker)| waker.clone());
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place<'_> {
    /// Whether nobody waits before it; the task of `cx` is woken when there may be something.
    pub(super) fn is_first(&self, cx: &Context<'_>) -> bool {
        let mut line = self.queue.line();
        let Ok(index) = line.tasks.binary_search_by_key(&self.ticket, |(ticket, _)| *ticket) else {
            return false;
        };
        match &mut line.tasks[index].1 {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        index == 0
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut line = self.queue.line();
        let found = line.tasks.binary_search_by_key(&self.ticket, |(ticket, _)| *ticket);
        if let Ok(index) = found {
            line.tasks.remove(index);
            self.queue.length.fetch_sub(1, SeqCst);
        }
        drop(line);
        // What woke this one may be of use to the next.
        self.queue.wake_first();
    }
}
