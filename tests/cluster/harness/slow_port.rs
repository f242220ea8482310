//! A port that leads to another one, from which answers come late.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// What comes so soon after the part before belongs to the same answer.
const SAME_ANSWER: Duration = Duration::from_secs(1);

/// Open until dropped.
pub struct SlowPort {
    pub port: u16,
    leads_to: Arc<AtomicU16>,
    task: JoinHandle<()>,
}

impl SlowPort {
    /// It leads nowhere yet: whoever comes is sent away.
    pub async fn open(delay: Duration) -> SlowPort {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("a bound port").port();
        let leads_to = Arc::new(AtomicU16::new(0));
        let task = tokio::spawn(accept(listener, leads_to.clone(), delay));
        SlowPort { port, leads_to, task }
    }

    pub fn lead_to(&self, port: u16) {
        self.leads_to.store(port, Ordering::Relaxed);
    }
}

impl Drop for SlowPort {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, leads_to: Arc<AtomicU16>, delay: Duration) {
    loop {
        let (client, _) = listener.accept().await.expect("accept a connection");
        let port = leads_to.load(Ordering::Relaxed);
        // The ends of a connection see to its end.
        tokio::spawn(async move {
            if let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await {
                let _ = pass_on(client, server, delay).await;
            }
        });
    }
}

async fn pass_on(client: TcpStream, server: TcpStream, delay: Duration) -> std::io::Result<()> {
    let (mut asks, mut hears) = client.into_split();
    let (mut answers, mut is_asked) = server.into_split();
    let questions = async move { tokio::io::copy(&mut asks, &mut is_asked).await.map(drop) };
    let late = async move {
        let mut part = vec![0; 64 * 1024];
        let mut last: Option<Instant> = None;
        loop {
            let length = answers.read(&mut part).await?;
            if length == 0 {
                return Ok(());
            }
            if last.is_none_or(|last| last.elapsed() > SAME_ANSWER) {
                sleep(delay).await;
            }
            hears.write_all(&part[..length]).await?;
            last = Some(Instant::now());
        }
    };
    tokio::try_join!(questions, late).map(drop)
}
