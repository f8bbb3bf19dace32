//! Writing one request in order, and waiting for its answer.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::{Decodable, HeaderVersion, Request};
use rskafka::messenger::RequestError;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::bounded::{BoundedBytes, Encoding};
use super::call::{Call, Reply};
use super::error::{CloseReason, ConnectionError};
use super::versions::is_flexible;
use super::wire::WireState;
use super::{Connection, Silence, api_of};
use crate::error::Written;

/// Requests sent and not yet answered or given up.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    count: AtomicUsize,
    drained: Notify,
}

impl InFlight {
    pub(super) fn enter(self: &Arc<Self>) -> InFlightGuard {
        self.count.fetch_add(1, Ordering::AcqRel);
        InFlightGuard(Arc::clone(self))
    }

    pub(super) fn is_zero(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Waits for zero. Only meaningful while nobody can enter.
    pub(super) async fn drained(&self) {
        loop {
            // Enabled before the count is read: the last guard may go between the two.
            let mut notified = std::pin::pin!(self.drained.notified());
            notified.as_mut().enable();
            if self.count.load(Ordering::Acquire) == 0 {
                return;
            }
            notified.await;
        }
    }
}

pub(super) struct InFlightGuard(Arc<InFlight>);

impl Drop for InFlightGuard {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.drained.notify_waiters();
        }
    }
}

/// An answer that takes so long is a reason to ask other brokers whether this one is still in the cluster, and to doubt connections
/// that have been silent as long. A broker that is stopped or cut off says nothing itself, and the request's own bound is
/// much longer than an election.
pub(super) const SLOW: Duration = Duration::from_secs(3);

type Exchange = BoxFuture<'static, Result<Reply, RequestError>>;

/// A written request's answer to come. Dropping it discards the answer; the connection stays in order.
pub(crate) struct Answer<T> {
    future: BoxFuture<'static, Result<T, ConnectionError>>,
}

impl<T> Future for Answer<T> {
    type Output = Result<T, ConnectionError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.future.as_mut().poll(cx)
    }
}

/// A written request whose answer's bytes are still to come. It outlives the [`Connection`] if need be.
pub(super) struct Pending {
    broker: String,
    api: ApiKey,
    version: i16,
    timeout: Duration,
    deadline: Instant,
    wire: Arc<WireState>,
    silence: Arc<Silence>,
    exchange: Exchange,
    _in_flight: InFlightGuard,
}

impl Pending {
    /// The answer's body, undecoded.
    pub(super) async fn body(&mut self) -> Result<Bytes, ConnectionError> {
        let written = self.deadline - self.timeout;
        let slow_at = written + SLOW;
        let outcome = match timeout_at(self.deadline.min(slow_at), &mut self.exchange).await {
            Err(_) if slow_at < self.deadline => {
                self.silence.notice(written);
                timeout_at(self.deadline, &mut self.exchange).await
            }
            outcome => outcome,
        };
        match outcome {
            Ok(Ok(Reply(body))) => Ok(body),
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_) => {
                self.wire.close(CloseReason::Unanswered { api: self.api, after: self.timeout });
                Err(self.timed_out(Written::Maybe))
            }
        }
    }

    async fn answer<R: Request>(mut self) -> Result<R::Response, ConnectionError> {
        let body = self.body().await?;
        self.decode::<R>(body)
    }

    /// Reads an answer; one that makes no sense ends the connection.
    pub(super) fn decode<R: Request>(&self, body: Bytes) -> Result<R::Response, ConnectionError> {
        decode_body::<R>(body, self.version).map_err(|problem| {
            self.wire.close(CloseReason::Malformed(problem.clone()));
            let (broker, api, version) = (self.broker.clone(), self.api, self.version);
            ConnectionError::Decode { broker, api, version, problem: problem.into() }
        })
    }

    fn timed_out(&self, written: Written) -> ConnectionError {
        ConnectionError::Timeout { broker: self.broker.clone(), api: self.api, after: self.timeout, written }
    }

    fn failed(&self, error: &RequestError) -> ConnectionError {
        let (broker, api) = (self.broker.clone(), self.api);
        if let RequestError::WriteError(problem) = error {
            // Refused before its first byte: the connection is as good as it was.
            let problem = problem.to_string().into();
            return ConnectionError::Encode { broker, api, version: self.version, problem };
        }
        self.wire.close(match error {
            RequestError::ReadError(_) | RequestError::ReadVersionedError(_) => {
                CloseReason::Malformed(error.to_string())
            }
            _ => CloseReason::Io(root_of(error)),
        });
        let reason = self.wire.closed().unwrap_or(CloseReason::EndOfStream);
        ConnectionError::Closed { broker, api, reason, written: Written::Maybe }
    }
}

/// The message of what first went wrong, without the layers of "poisoned" around it.
fn root_of(error: &RequestError) -> String {
    match error {
        RequestError::Poisoned(inner) => root_of(inner),
        other => other.to_string(),
    }
}

fn decode_body<R: Request>(body: Bytes, version: i16) -> Result<R::Response, String> {
    let encoding = if is_flexible::<R>(version) { Encoding::Flexible } else { Encoding::Fixed };
    let mut body = BoundedBytes::new(body, encoding);
    match <R::Response as Decodable>::decode(&mut body, version) {
        Ok(answer) if bytes::Buf::has_remaining(&body) => {
            drop(answer);
            Err(format!("{} bytes are left over", bytes::Buf::remaining(&body)))
        }
        Ok(answer) => Ok(answer),
        Err(error) => Err(body.refused().map_or_else(|| error.to_string(), str::to_owned)),
    }
}

impl Connection {
    /// Writes a request at a version, whoever holds the gate having called.
    pub(super) async fn send_at<R>(
        &self,
        request: R,
        version: i16,
        deadline: Instant,
    ) -> Result<Answer<R::Response>, ConnectionError>
    where
        R: Request + Send + 'static,
        R::Response: Send,
    {
        let pending = self.write(request, version, deadline).await?;
        Ok(Answer { future: Box::pin(pending.answer::<R>()) })
    }

    /// Drives the messenger's future until its frame is out, which the wire's count of flushed frames tells: the caller
    /// holds the gate, so no other frame is being written.
    pub(super) async fn write<R>(&self, request: R, version: i16, deadline: Instant) -> Result<Pending, ConnectionError>
    where
        R: Request + Send + 'static,
    {
        let api = api_of::<R>();
        if let Some(reason) = self.wire.closed() {
            return Err(ConnectionError::Closed { broker: self.broker.clone(), api, reason, written: Written::No });
        }
        let tagged = <R::Response as HeaderVersion>::header_version(version) >= 1;
        let messenger = Arc::clone(&self.messenger);
        let exchange: Exchange = if tagged {
            Box::pin(async move { messenger.request(Call::<R, true> { request, version }).await })
        } else {
            Box::pin(async move { messenger.request(Call::<R, false> { request, version }).await })
        };
        let mut pending = Pending {
            broker: self.broker.clone(),
            api,
            version,
            timeout: deadline.saturating_duration_since(Instant::now()),
            deadline,
            wire: Arc::clone(&self.wire),
            silence: Arc::clone(&self.silence),
            exchange,
            _in_flight: self.in_flight.enter(),
        };
        let before = self.wire.flushed_frames();
        let written = poll_fn(|cx| match pending.exchange.as_mut().poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(Some(outcome)),
            Poll::Pending if self.wire.flushed_frames() != before => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        match timeout_at(deadline, written).await {
            Ok(None) => Ok(pending),
            Ok(Some(Err(error))) => Err(pending.failed(&error)),
            Ok(Some(Ok(reply))) => {
                // Answered in the same poll, as a peer in this process may.
                pending.exchange = Box::pin(std::future::ready(Ok(reply)));
                Ok(pending)
            }
            Err(_) => {
                self.wire.close(CloseReason::Unanswered { api, after: pending.timeout });
                Err(pending.timed_out(Written::Maybe))
            }
        }
    }
}
