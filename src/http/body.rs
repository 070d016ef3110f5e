//! The body of an answer: whole bytes, or bytes that come as time goes by.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Frame, SizeHint};

use crate::http::ledger::Streaming;

/// Where the bytes of a stream come from. It is asked for more only when the connection has room, so a reader that is slow
/// holds at most what it was handed last.
pub trait Source: Send {
    /// The next bytes; `None` at the end.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>>;
}

/// The body of every answer.
pub struct Body(Kind);

enum Kind {
    Whole(Full<Bytes>),
    // Boxed, so that an answer of whole bytes is no larger for it.
    Stream(Box<Stream>),
}

struct Stream {
    source: Box<dyn Source>,
    /// Tells the ledger that the connection is in use, and whether the peer takes what it is given.
    streaming: Option<Streaming>,
}

impl Body {
    /// Whole bytes.
    #[must_use]
    pub fn new(bytes: Bytes) -> Self {
        Self(Kind::Whole(Full::new(bytes)))
    }

    /// A stream.
    #[must_use]
    pub fn stream(source: Box<dyn Source>) -> Self {
        Self(Kind::Stream(Box::new(Stream { source, streaming: None })))
    }

    /// Puts a stream under the ledger's eyes; `watch` is called for one alone.
    pub(super) fn watched(&mut self, watch: impl FnOnce() -> Streaming) {
        if let Kind::Stream(stream) = &mut self.0 {
            stream.streaming = Some(watch());
        }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        match &mut self.0 {
            Kind::Whole(bytes) => Pin::new(bytes).poll_frame(cx),
            Kind::Stream(stream) => {
                let next = stream.source.poll_next(cx);
                if let Some(streaming) = &stream.streaming {
                    if matches!(next, Poll::Ready(Some(_))) { streaming.handed() } else { streaming.taken() }
                }
                next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(bytes) => bytes.is_end_stream(),
            Kind::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => bytes.size_hint(),
            Kind::Stream(_) => SizeHint::default(),
        }
    }
}
