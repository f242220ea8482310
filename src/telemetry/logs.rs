//! The log lines: on standard error, for people or as JSON.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::settings::{Format, LogFilter};

/// Why logs cannot be written as asked.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// The filter is not one of tracing's.
    #[error("read the log filter {filter:?}")]
    Filter {
        /// As written.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Logs are written somewhere already.
    #[error("begin to write logs")]
    Begun(#[source] tracing_subscriber::util::TryInitError),
}

/// Writes the log lines that `filter` lets through to standard error from now on, for the whole process.
///
/// Colours are for terminals, unless `no_color` says that they are not wanted (the variable `NO_COLOR`).
///
/// # Errors
///
/// Where the filter cannot be read, or logs are written already.
pub fn begin(format: Format, filter: &LogFilter, no_color: bool) -> Result<(), LogsError> {
    let colors = !no_color && io::stderr().is_terminal();
    subscriber(format, filter, colors, io::stderr)?
        .try_init()
        .map_err(LogsError::Begun)
}

/// The filter without kube's client, which writes a line at ERROR for each answer that says no: whoever asked handles
/// it, and says so once. A filter that names the client itself is left as it is.
fn with_quiet_client(filter: &str) -> String {
    if filter.contains("kube_client") {
        return filter.to_owned();
    }
    format!("{filter},kube_client::client::builder=off")
}

type Subscriber = Box<dyn tracing::Subscriber + Send + Sync>;

fn subscriber<W>(format: Format, filter: &LogFilter, colors: bool, writer: W) -> Result<Subscriber, LogsError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let text = with_quiet_client(filter.as_str());
    let read = EnvFilter::try_new(&text).map_err(|source| LogsError::Filter {
        filter: filter.as_str().to_owned(),
        source,
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(read).with_writer(writer);
    Ok(match format {
        Format::Text => Box::new(lines.with_ansi(colors).with_target(false).finish()),
        Format::Json => Box::new(
            lines
                .json()
                .flatten_event(true)
                .with_current_span(true)
                .with_span_list(false)
                .finish(),
        ),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tracing::subscriber::with_default;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'w> MakeWriter<'w> for Lines {
        type Writer = Self;

        fn make_writer(&'w self) -> Self {
            self.clone()
        }
    }

    /// What is written of one line at info and one at debug.
    fn written(format: Format) -> String {
        let lines = Lines::default();
        let filter = crate::settings::Settings::default().log_filter;
        with_default(subscriber(format, &filter, false, lines.clone()).unwrap(), || {
            tracing::info!(hpa = "shop/web", spec_replicas = 3, "Rescaled");
            tracing::debug!("not shown");
            tracing::error!(target: "kube_client::client::builder", "not shown");
        });
        String::from_utf8(lines.0.lock().clone()).unwrap()
    }

    #[test]
    fn lines_for_people_end_with_their_fields() {
        let text = written(Format::Text);
        assert!(
            text.ends_with("Z  INFO Rescaled hpa=\"shop/web\" spec_replicas=3\n"),
            "{text}"
        );
    }

    #[test]
    fn lines_for_machines_are_one_object_each() {
        let text = written(Format::Json);
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["level"], &line["message"]), (&"INFO".into(), &"Rescaled".into()));
        assert_eq!((&line["hpa"], &line["spec_replicas"]), (&"shop/web".into(), &3.into()));
    }
}
