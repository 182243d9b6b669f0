//! Bodies far above every limit, streamed so that the bank need not hold them.

use bytes::Bytes;
use futures::stream;
use http::Method;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use crate::api::BankError;
use crate::client::{Bank, Reply};

const CHUNK: usize = 64 * 1024;

/// Posts `length` bytes with their length declared.
pub async fn post_zeros(bank: &Bank, path: &str, length: usize) -> Result<Reply, BankError> {
    let chunk = Bytes::from(vec![b'0'; CHUNK]);
    let chunks = (0..length.div_ceil(CHUNK)).map(move |number| {
        let left = (length - number * CHUNK).min(CHUNK);
        Ok::<_, std::io::Error>(Frame::data(chunk.slice(..left)))
    });
    let body = StreamBody::new(stream::iter(chunks)).boxed();
    let declared = length.to_string();
    let headers = [
        ("content-type", "application/json"),
        ("content-length", declared.as_str()),
    ];
    bank.send(Method::POST, path, &headers, body).await
}
