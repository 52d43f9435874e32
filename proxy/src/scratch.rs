//! One buffer of a worker through which what is short is read: it stays in the cache, what came is
//! copied to its size, and a connection that waits holds no buffer of its own.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};

/// Of one read, in bytes.
const SIZE: usize = 32 << 10;

/// Shared by all connections of a worker.
#[derive(Clone)]
pub struct Scratch(Rc<RefCell<Box<[u8]>>>);

impl Default for Scratch {
    fn default() -> Self {
        Self(Rc::new(RefCell::new(vec![0; SIZE].into())))
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
        let mut scratch = self.0.borrow_mut();
        let mut read = ReadBuf::new(&mut scratch);
        ready!(Pin::new(io).poll_read(cx, &mut read))?;
        into.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }
}
