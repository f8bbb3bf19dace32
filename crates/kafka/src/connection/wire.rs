//! The stream under the messenger: gathers a frame's writes into one, buffers reads, and knows when it ended and why.
//!
//! rskafka's messenger writes a frame as its length, its body and a flush, and reads four bytes before each body. Without
//! a buffer on both sides that is two packets and two system calls a frame. The flush also tells that a frame is out,
//! which is how [`Connection::send`](super::Connection::send) knows.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::sync::watch;
use tokio::time::Instant;

use super::CloseReason;

/// What a broker is spoken to through: TCP, TLS over it, or a pipe in a test.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

const READ_BUFFER_BYTES: usize = 32 * 1024;
/// Frames up to this size are copied behind their length and leave in one write; of larger ones only the length is.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;

/// What the connection can see of its stream while the messenger owns it.
pub(super) struct WireState {
    flushed_frames: AtomicU64,
    opened: Instant,
    /// When bytes last came, in milliseconds since then.
    heard: AtomicU64,
    reader: AtomicWaker,
    closed: watch::Sender<Option<CloseReason>>,
}

impl WireState {
    pub(super) fn new() -> Self {
        Self {
            flushed_frames: AtomicU64::new(0),
            opened: Instant::now(),
            heard: AtomicU64::new(0),
            reader: AtomicWaker::new(),
            closed: watch::Sender::new(None),
        }
    }

    /// How many frames have been handed to the network whole.
    pub(super) fn flushed_frames(&self) -> u64 {
        self.flushed_frames.load(Ordering::Acquire)
    }

    /// When bytes last came, to the millisecond; when it was opened, if none have.
    pub(super) fn heard(&self) -> Instant {
        self.opened + Duration::from_millis(self.heard.load(Ordering::Acquire))
    }

    fn hear(&self) {
        let since = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard.store(since, Ordering::Release);
    }

    /// Ends the stream for both directions. The first reason stays.
    pub(super) fn close(&self, reason: CloseReason) {
        self.closed.send_if_modified(|closed| match closed {
            Some(_) => false,
            None => {
                *closed = Some(reason);
                true
            }
        });
        self.reader.wake();
    }

    pub(super) fn closed(&self) -> Option<CloseReason> {
        self.closed.borrow().clone()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Option<CloseReason>> {
        self.closed.subscribe()
    }

    fn check(&self) -> io::Result<()> {
        match &*self.closed.borrow() {
            None => Ok(()),
            Some(reason) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, reason.to_string())),
        }
    }
}

/// The buffered stream.
pub(super) struct Wire {
    stream: BufReader<Box<dyn Stream>>,
    unsent: Vec<u8>,
    state: std::sync::Arc<WireState>,
}

impl Wire {
    pub(super) fn new(stream: Box<dyn Stream>, state: std::sync::Arc<WireState>) -> Self {
        Self {
            stream: BufReader::with_capacity(READ_BUFFER_BYTES, stream),
            unsent: Vec::with_capacity(WRITE_BUFFER_BYTES),
            state,
        }
    }

    /// Hands over what is gathered and as much of `more` as goes with it; returns how many bytes of `more` went.
    fn poll_send(&mut self, cx: &mut Context<'_>, more: &[u8]) -> Poll<io::Result<usize>> {
        while !self.unsent.is_empty() {
            let slices = [io::IoSlice::new(&self.unsent), io::IoSlice::new(more)];
            let stream = Pin::new(self.stream.get_mut());
            let written = ready!(stream.poll_write_vectored(cx, &slices))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            if written >= self.unsent.len() {
                let of_more = written - self.unsent.len();
                self.unsent.clear();
                if of_more > 0 {
                    return Poll::Ready(Ok(of_more));
                }
            } else {
                self.unsent.drain(..written);
            }
        }
        if more.is_empty() { Poll::Ready(Ok(0)) } else { Pin::new(self.stream.get_mut()).poll_write(cx, more) }
    }

    fn note<T>(&self, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &outcome {
            // A peer that ends a TLS connection without saying so has ended it all the same; frames say how long they are.
            let ended = error.kind() == io::ErrorKind::UnexpectedEof;
            self.state.close(match tls::distrust(error) {
                Some(problem) => CloseReason::Distrusted(problem),
                None if ended => CloseReason::EndOfStream,
                None => CloseReason::Io(error.to_string()),
            });
        }
        outcome
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // Registered before the check: a close between the two would otherwise wake nobody.
        self.state.reader.register(cx.waker());
        self.state.check()?;
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buf);
        if matches!(outcome, Poll::Ready(Ok(()))) {
            if buf.filled().len() > before {
                self.state.hear();
            } else if buf.remaining() > 0 {
                self.state.close(CloseReason::EndOfStream);
            }
        }
        self.note(outcome)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.state.check()?;
        if self.unsent.len() + buf.len() <= WRITE_BUFFER_BYTES {
            self.unsent.extend_from_slice(buf);
            return Poll::Ready(Ok(buf.len()));
        }
        let outcome = self.poll_send(cx, buf);
        self.note(outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state.check()?;
        let outcome = match self.poll_send(cx, &[]) {
            Poll::Ready(Ok(_)) => Pin::new(self.stream.get_mut()).poll_flush(cx),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        };
        if matches!(outcome, Poll::Ready(Ok(()))) {
            self.state.flushed_frames.fetch_add(1, Ordering::AcqRel);
        }
        self.note(outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx, &[]))?;
        Pin::new(self.stream.get_mut()).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
