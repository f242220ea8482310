//! What the running controller knows of an autoscaler, asked from where it serves `/metrics`.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::spec::Key;

/// The largest answer: 4,000 entries of some 50 characters, several times over.
const ANSWER_BYTES: usize = 1 << 20;

/// The running controller.
pub(super) struct Running<'a> {
    /// `HOST:PORT` or `http://HOST:PORT`.
    pub(super) address: &'a str,
    /// What it wants to be shown.
    pub(super) token: Option<String>,
}

impl Running<'_> {
    /// The page `page`, `memory` or `status`, that it has of `key`.
    ///
    /// # Errors
    ///
    /// Nobody answers within `time`, it does not lead, it does not know the autoscaler, or wants another token.
    pub(super) async fn fetch<T: DeserializeOwned>(
        &self,
        page: &'static str,
        key: &Key,
        time: Duration,
    ) -> anyhow::Result<T> {
        let authority = self.address.strip_prefix("http://").unwrap_or(self.address);
        let authority = authority.trim_end_matches('/');
        let attempted = || format!("read the {page} of {key} from the controller at {authority}");
        match timeout(time, ask(authority, self.token.as_deref(), page, key)).await {
            Ok(answer) => answer.with_context(attempted),
            Err(_) => bail!("{}: no answer within {} s", attempted(), time.as_secs_f64()),
        }
    }
}

async fn ask<T: DeserializeOwned>(authority: &str, token: Option<&str>, page: &str, key: &Key) -> anyhow::Result<T> {
    let stream = TcpStream::connect(authority).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut request = Request::get(format!("/{page}/{key}")).header(header::HOST, authority);
    if let Some(token) = token {
        let mut shown = HeaderValue::try_from(format!("Bearer {token}")).context("the token is no header's value")?;
        shown.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, shown);
    }
    let request = request.body(Empty::<Bytes>::new())?;
    let exchange = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES)
            .collect()
            .await
            .map_err(anyhow::Error::from_boxed)?;
        anyhow::Ok((status, body.to_bytes()))
    };
    tokio::pin!(exchange);
    let (status, body) = tokio::select! {
        answered = &mut exchange => answered?,
        // The server may close as soon as it has answered.
        ended = connection => {
            ended?;
            exchange.await?
        }
    };
    if !status.is_success() {
        bail!("{status}: {}", String::from_utf8_lossy(&body).trim());
    }
    serde_json::from_slice(&body).context("decode the answer")
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::memory::Memory;

    async fn asked(answer: &'static str, token: Option<&str>) -> (Vec<String>, anyhow::Result<Memory>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 1024];
            let length = stream.read(&mut head).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&head[..length])
                .lines()
                .map(str::to_owned)
                .collect()
        };
        let running = Running {
            address: &address,
            token: token.map(str::to_owned),
        };
        let key = Key::new("shop", "web");
        tokio::join!(server, running.fetch("memory", &key, Duration::from_secs(5)))
    }

    #[tokio::test]
    async fn memory_is_read_as_the_controller_keeps_it() {
        for token in [None, Some("s3cret")] {
            let (lines, memory) = asked("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", token).await;
            assert_eq!(lines[0], "GET /memory/shop/web HTTP/1.1");
            let shown = lines.iter().any(|line| line == "authorization: Bearer s3cret");
            assert_eq!(shown, token.is_some(), "{lines:?}");
            assert_eq!(memory.unwrap(), Memory::default());
        }
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_its_own_words() {
        let text = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 26\r\n\r\nthis process does not lead";
        let (_, memory) = asked(text, None).await;
        let error = format!("{:#}", memory.unwrap_err());
        assert!(
            error.ends_with("503 Service Unavailable: this process does not lead"),
            "{error}"
        );
    }
}
