//! One buffer of a worker through which what is short is read: it stays in the cache, what came is
//! copied to its size, and a connection that waits holds no buffer of its own. And loans: how much the
//! buffers of large reads may take, all together.

use std::{
    cell::{Cell, RefCell},
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};

/// Of one read, in bytes.
const SIZE: usize = 32 << 10;
/// Out at a time, in bytes.
const MOST_LENT: usize = 8 << 20;

/// Shared by all connections of a worker.
#[derive(Clone)]
pub struct Scratch(Rc<Shared>);

struct Shared {
    buffer: RefCell<Box<[u8]>>,
    lent: Cell<usize>,
}

/// Given back when dropped.
pub struct Loan {
    shared: Rc<Shared>,
    bytes: usize,
}

impl Default for Scratch {
    fn default() -> Self {
        let buffer = RefCell::new(vec![0; SIZE].into());
        Self(Rc::new(Shared { buffer, lent: Cell::default() }))
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.shared.lent.set(self.shared.lent.get() - self.bytes);
    }
}

impl Scratch {
    /// Appends what `io` has to `into`; 0 is the end.
    pub fn poll_read<R: AsyncRead + Unpin + ?Sized>(
        &self,
        io: &mut R,
        into: &mut BytesMut,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut scratch = self.0.buffer.borrow_mut();
        let mut read = ReadBuf::new(&mut scratch);
        ready!(Pin::new(io).poll_read(cx, &mut read))?;
        into.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }

    /// `None` if too much is out.
    pub fn lend(&self, bytes: usize) -> Option<Loan> {
        let lent = self.0.lent.get() + bytes;
        if lent > MOST_LENT {
            return None;
        }
        self.0.lent.set(lent);
        Some(Loan { shared: Rc::clone(&self.0), bytes })
    }
}
