//! The text of an answer -> its series. What Prometheus, Thanos, Mimir and VictoriaMetrics have in common is all that is read.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::metrics::decode::{Pairs, Text};
use crate::metrics::words::Words;
use crate::promql::Series;

/// The most series of one answer: 150 000 pods (Kubernetes' own limit) of four containers.
const SERIES: usize = 600_000;

/// The most of a server's own text that goes into a message.
const MESSAGE_CHARS: usize = 512;

/// The most warnings that are kept of an answer.
const WARNINGS: usize = 8;

/// The answer to an instant query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// Its series; a scalar is one without labels.
    pub series: Vec<Series>,
    /// What the server warns of, such as a store that did not answer. Shortened, and the first few only.
    pub warnings: Vec<String>,
}

/// Why an answer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// It is not what the API promises.
    #[error("the answer is not that of a Prometheus")]
    Json(#[source] serde_json::Error),
    /// The server says that the query failed.
    #[error("{kind}: {message}")]
    Refused {
        /// Prometheus' name for the kind of error: `bad_data`, `execution`, `timeout` and others.
        kind: String,
        /// Its message, shortened.
        message: String,
    },
    /// The query gives something else than one value for each series.
    #[error("the query gives a {0}, where one value for each series is needed")]
    Shape(String),
    /// A series has a native histogram in place of a value.
    #[error(
        "the query gives native histograms, where values are needed: take histogram_quantile(), histogram_sum() or histogram_count() of them"
    )]
    Histogram,
    /// Too many series.
    #[error("the answer has more than {SERIES} series")]
    TooMany,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(borrow, default)]
    status: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Option<Data<'a>>,
    #[serde(borrow, default)]
    error_type: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    error: Option<Cow<'a, str>>,
    #[serde(default)]
    warnings: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    #[serde(borrow)]
    result_type: Cow<'a, str>,
    /// Unread: how it is read depends on the type, which may stand behind it.
    #[serde(borrow)]
    result: &'a RawValue,
}

/// Reads the answer to an instant query.
///
/// # Errors
/// Whatever is not a vector or a scalar of numbers.
pub fn decode(text: &str) -> Result<Answer, AnswerError> {
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(AnswerError::Json)?;
    let Some(data) = envelope.data.filter(|_| envelope.status == "success") else {
        return Err(refused(envelope.error_type, envelope.error));
    };
    let series = match &*data.result_type {
        "vector" => vector(data.result.get())?,
        "scalar" => {
            let value: Point = serde_json::from_str(data.result.get()).map_err(AnswerError::Json)?;
            vec![Series {
                labels: Box::default(),
                value: value.0,
            }]
        }
        "matrix" => return Err(AnswerError::Shape("range vector (matrix)".into())),
        other => return Err(AnswerError::Shape(shortened(other))),
    };
    let warnings = envelope.warnings.unwrap_or_default();
    Ok(Answer {
        series,
        warnings: warnings.iter().take(WARNINGS).map(|w| shortened(w)).collect(),
    })
}

/// Reads the answer to a question for the values of a label.
///
/// # Errors
/// Whatever is not a list of texts.
pub fn decode_values(text: &str, most: usize) -> Result<Vec<Arc<str>>, AnswerError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Values {
        #[serde(default)]
        status: String,
        #[serde(default)]
        data: Option<Vec<Arc<str>>>,
        #[serde(default)]
        error_type: Option<String>,
        #[serde(default)]
        error: Option<String>,
    }
    let values: Values = serde_json::from_str(text).map_err(AnswerError::Json)?;
    match values.data {
        // Go writes an empty list as null where it was never filled.
        None if values.status == "success" => Ok(Vec::new()),
        Some(names) if values.status == "success" => {
            if names.len() > most {
                return Err(AnswerError::TooMany);
            }
            Ok(names)
        }
        _ => Err(refused(values.error_type.map(Cow::Owned), values.error.map(Cow::Owned))),
    }
}

/// What a server says in an answer with an error code; `None` where that is not Prometheus' JSON.
pub fn refusal(text: &str) -> Option<(String, String)> {
    let envelope: Envelope<'_> = serde_json::from_str(text).ok()?;
    match refused(envelope.error_type, Some(envelope.error?)) {
        AnswerError::Refused { kind, message } => Some((kind, message)),
        _ => None,
    }
}

fn refused(kind: Option<Cow<'_, str>>, message: Option<Cow<'_, str>>) -> AnswerError {
    AnswerError::Refused {
        kind: shortened(kind.as_deref().unwrap_or("unknown")),
        message: shortened(message.as_deref().unwrap_or("the server did not say why")),
    }
}

/// One line, not too long.
pub fn shortened(text: &str) -> String {
    let line = text.trim().lines().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn vector(text: &str) -> Result<Vec<Series>, AnswerError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let mut reader = Reader::default();
    json.deserialize_seq(&mut reader).map_err(AnswerError::Json)?;
    match reader.problem {
        Some(problem) => Err(problem),
        None => Ok(reader.series),
    }
}

#[derive(Deserialize)]
struct RawSeries<'a> {
    #[serde(borrow, default = "Pairs::empty")]
    metric: Pairs<'a, Text<'a>>,
    #[serde(default)]
    value: Option<Point>,
    #[serde(default)]
    histogram: Option<serde::de::IgnoredAny>,
}

/// Collects series one by one; texts that many series have in common are kept once.
#[derive(Default)]
struct Reader {
    series: Vec<Series>,
    words: Words,
    problem: Option<AnswerError>,
}

impl Reader {
    fn push(&mut self, raw: RawSeries<'_>) -> Result<(), AnswerError> {
        if self.series.len() == SERIES {
            return Err(AnswerError::TooMany);
        }
        let value = match (raw.value, raw.histogram) {
            (Some(value), _) => value.0,
            (None, Some(_)) => return Err(AnswerError::Histogram),
            (None, None) => return Err(AnswerError::Json(serde::de::Error::missing_field("value"))),
        };
        let pairs = raw.metric.sorted();
        let labels = pairs
            .iter()
            .map(|(name, value)| (self.words.share(name), self.words.share(&value.0)));
        let labels = labels.collect();
        self.series.push(Series { labels, value });
        Ok(())
    }
}

impl<'de> Visitor<'de> for &mut Reader {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of series")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(raw) = seq.next_element()? {
            if self.problem.is_none() {
                self.problem = self.push(raw).err();
            }
        }
        Ok(())
    }
}

/// `[time, "value"]`. The time is that of the evaluation, which we know.
struct Point(f64);

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (_, value): (f64, Cow<'de, str>) = Deserialize::deserialize(deserializer)?;
        // Rust reads what Go writes: `NaN`, `+Inf`, `-Inf`, `1.5e+06`.
        let number = value.parse();
        number
            .map(Self)
            .map_err(|_| serde::de::Error::custom(format_args!("{:?} is no number", shortened(&value))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector_of(series: &str) -> String {
        format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{series}]}}}}"#)
    }

    fn values(text: &str) -> Vec<String> {
        let print = |s: &Series| {
            let labels: Vec<String> = s.labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
            format!("{} {}", labels.join(","), s.value)
        };
        decode(text).unwrap().series.iter().map(print).collect()
    }

    #[test]
    fn a_vector_with_everything_that_a_float_can_be() {
        let text = vector_of(
            r#"{"metric":{"pod":"a","__name__":"up"},"value":[1700000000.123,"1"]},
               {"metric":{},"value":[1700000000,"1.5e+06"]},{"metric":{"b":"NaN"},"value":[1,"NaN"]},
               {"metric":{"b":"c"},"value":[1,"+Inf"]},{"metric":{"b":"d"},"value":[1,"-Inf"]},
               {"metric":{"b\u0061":"\"q\""},"value":[1,"-3.25"]}"#,
        );
        assert_eq!(
            values(&text),
            [
                "__name__=up,pod=a 1",
                " 1500000",
                "b=NaN NaN",
                "b=c inf",
                "b=d -inf",
                "ba=\"q\" -3.25"
            ]
        );
    }

    #[test]
    fn the_order_of_fields_and_unknown_ones_do_not_matter() {
        let text = r#"{"stats":{"a":[1]},"data":{"result":[{"value":[1,"2"],"metric":{"a":"b"}}],"analysis":{},
            "resultType":"vector"},"infos":["x"],"status":"success"}"#;
        assert_eq!(values(text), ["a=b 2"]);
    }

    #[test]
    fn a_scalar_is_a_series_without_labels() {
        let text = r#"{"status":"success","data":{"resultType":"scalar","result":[1700000000.1,"42"]}}"#;
        assert_eq!(values(text), [" 42"]);
    }

    #[test]
    fn texts_are_shared() {
        let series = decode(&vector_of(
            r#"{"metric":{"pod":"a"},"value":[1,"1"]},{"metric":{"pod":"a"},"value":[1,"2"]}"#,
        ))
        .unwrap()
        .series;
        assert!(Arc::ptr_eq(&series[0].labels[0].0, &series[1].labels[0].0));
        assert!(Arc::ptr_eq(&series[0].labels[0].1, &series[1].labels[0].1));
    }

    #[test]
    fn warnings_are_kept_in_bounds() {
        let long = "w".repeat(5000);
        let text = format!(
            r#"{{"status":"success","data":{{"resultType":"vector","result":[]}},"warnings":["{long}"{}]}}"#,
            r#","x""#.repeat(20)
        );
        let warnings = decode(&text).unwrap().warnings;
        assert_eq!(
            (warnings.len(), warnings[0].chars().count()),
            (WARNINGS, MESSAGE_CHARS + 1)
        );
    }

    #[test]
    fn what_is_no_number_for_each_series_is_refused() {
        for (text, part) in [
            (
                vector_of(r#"{"metric":{},"histogram":[1,{"count":"1"}]}"#),
                "native histograms",
            ),
            (vector_of(r#"{"metric":{}}"#), "not that of a Prometheus"),
            (
                vector_of(r#"{"metric":{},"value":[1,"many"]}"#),
                "not that of a Prometheus",
            ),
            (vector_of(r#"{"metric":{},"value":[1,2]}"#), "not that of a Prometheus"),
            (
                r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#.into(),
                "range vector",
            ),
            (
                r#"{"status":"success","data":{"resultType":"string","result":[1,"a"]}}"#.into(),
                "gives a string",
            ),
            (
                r#"{"status":"error","errorType":"bad_data","error":"1:2: parse error"}"#.into(),
                "bad_data: 1:2: parse error",
            ),
            (r#"{"status":"success"}"#.into(), "did not say why"),
            ("{}".into(), "did not say why"),
            ("<html>".into(), "not that of a Prometheus"),
            (String::new(), "not that of a Prometheus"),
        ] {
            let error = decode(&text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn names_are_a_list_or_null() {
        let names = |data: &str| decode_values(&format!(r#"{{"status":"success","data":{data}}}"#), 2);
        assert_eq!(names(r#"["a","b"]"#).unwrap(), ["a".into(), "b".into()]);
        assert!(names("null").unwrap().is_empty());
        assert!(matches!(names(r#"["a","b","c"]"#), Err(AnswerError::TooMany)));
        assert!(matches!(names("[1]"), Err(AnswerError::Json(_))));
    }

    #[test]
    fn a_refusal_is_told_from_a_proxys_page() {
        let text = r#"{"status":"error","errorType":"execution","error":"too many samples"}"#;
        assert_eq!(refusal(text), Some(("execution".into(), "too many samples".into())));
        assert_eq!(refusal("<html>502</html>"), None);
        assert_eq!(refusal(r#"{"message":"no"}"#), None);
    }
}
