use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;

/// Notes the size of each write that reaches it.
struct Counting {
    inner: DuplexStream,
    writes: Arc<Mutex<Vec<usize>>>,
}

impl AsyncRead for Counting {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counting {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, buf))?;
        self.writes.lock().unwrap().push(written);
        Poll::Ready(Ok(written))
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

fn wire(capacity: usize) -> (Wire, Arc<WireState>, DuplexStream, Arc<Mutex<Vec<usize>>>) {
    let (inner, peer) = tokio::io::duplex(capacity);
    let writes = Arc::new(Mutex::new(Vec::new()));
    let state = Arc::new(WireState::new());
    let stream = Counting { inner, writes: Arc::clone(&writes) };
    (Wire::new(Box::new(stream), Arc::clone(&state)), state, peer, writes)
}

/// As the messenger writes a frame.
async fn frame(wire: &mut Wire, body: &[u8]) {
    wire.write_all(&(body.len() as u32).to_be_bytes()).await.unwrap();
    wire.write_all(body).await.unwrap();
    wire.flush().await.unwrap();
}

#[tokio::test]
async fn a_small_frame_leaves_in_one_write_and_counts_once() {
    let (mut wire, state, mut peer, writes) = wire(1 << 20);
    frame(&mut wire, &[1; 100]).await;
    assert_eq!((writes.lock().unwrap().clone(), state.flushed_frames()), (vec![104], 1));
    assert_eq!(peer.read_u32().await.unwrap(), 100);
}

#[tokio::test]
async fn frames_of_every_size_arrive_whole_through_a_narrow_pipe() {
    let (mut wire, state, mut peer, _) = wire(1000);
    let sizes = [0, 1, WRITE_BUFFER_BYTES - 4, WRITE_BUFFER_BYTES - 3, WRITE_BUFFER_BYTES, 100_000];
    let reader = tokio::spawn(async move {
        for size in sizes {
            let mut body = vec![0; peer.read_u32().await.unwrap() as usize];
            peer.read_exact(&mut body).await.unwrap();
            assert_eq!(body, vec![size as u8; size]);
        }
    });
    for size in sizes {
        frame(&mut wire, &vec![size as u8; size]).await;
    }
    reader.await.unwrap();
    assert_eq!(state.flushed_frames(), sizes.len() as u64);
}

#[tokio::test]
async fn closing_wakes_a_reader_and_keeps_the_first_reason() {
    let (mut wire, state, _peer, _) = wire(1000);
    let reading = tokio::spawn(async move { wire.read_u8().await });
    tokio::task::yield_now().await;
    state.close(CloseReason::Unused);
    state.close(CloseReason::EndOfStream);
    assert!(reading.await.unwrap().is_err());
    assert_eq!(state.closed(), Some(CloseReason::Unused));
}
