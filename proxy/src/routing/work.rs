//! How much is looked at on the way to a route. Only tests count it: what it costs to find one must not
//! grow with the file.

#[cfg(test)]
thread_local! {
    static STEPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// A pattern, a host or a route is looked at.
pub(super) fn step() {
    #[cfg(test)]
    STEPS.with(|steps| steps.set(steps.get() + 1));
}

/// What `does` looks at.
#[cfg(test)]
pub(super) fn steps_of(does: impl FnOnce()) -> usize {
    let before = STEPS.with(std::cell::Cell::get);
    does();
    STEPS.with(std::cell::Cell::get) - before
}
