//! What a function does with the labels of its input: the only thing about it that a rewriting must know.

/// How a function's result comes from its vector argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::promql) enum Behaviour {
    /// Series by series, the labels kept but for the metric's name; from an instant vector.
    EachInstant,
    /// The same, from a range vector: a series without a sample in the range gives nothing.
    EachRange,
    /// Like `EachInstant`, but it looks at the samples of a plain selector themselves.
    Timestamp,
    /// Groups by all labels but `le`.
    Histogram,
    /// Sets the label that its second argument names.
    SetsLabel,
    /// Is there where its argument is not.
    Absent,
    /// A vector to a number.
    Scalar,
    /// A number to a vector without labels.
    Vector,
    /// A number, of no vector.
    Number,
    /// Like `EachInstant`, but without an argument a number as a vector without labels.
    Date,
}

/// The functions of Prometheus 2.42 to 3.x; `None` for any other, and for `info`, which looks at series that no
/// selector of the query names.
pub(in crate::promql) fn behaviour(function: &str) -> Option<Behaviour> {
    use Behaviour::*;
    Some(match function {
        "abs" | "acos" | "acosh" | "asin" | "asinh" | "atan" | "atanh" | "ceil" | "clamp" | "clamp_max"
        | "clamp_min" | "cos" | "cosh" | "deg" | "exp" | "floor" | "ln" | "log10" | "log2" | "rad" | "round"
        | "sgn" | "sin" | "sinh" | "sort" | "sort_by_label" | "sort_by_label_desc" | "sort_desc" | "sqrt" | "tan"
        | "tanh" => EachInstant,
        "histogram_avg" | "histogram_count" | "histogram_stddev" | "histogram_stdvar" | "histogram_sum" => EachInstant,
        "avg_over_time"
        | "changes"
        | "count_over_time"
        | "delta"
        | "deriv"
        | "double_exponential_smoothing"
        | "first_over_time"
        | "holt_winters"
        | "idelta"
        | "increase"
        | "irate"
        | "last_over_time"
        | "mad_over_time"
        | "max_over_time"
        | "min_over_time"
        | "predict_linear"
        | "present_over_time"
        | "quantile_over_time"
        | "rate"
        | "resets"
        | "stddev_over_time"
        | "stdvar_over_time"
        | "sum_over_time"
        | "ts_of_first_over_time"
        | "ts_of_last_over_time"
        | "ts_of_max_over_time"
        | "ts_of_min_over_time" => EachRange,
        "timestamp" => Timestamp,
        "histogram_quantile" | "histogram_fraction" => Histogram,
        "label_replace" | "label_join" => SetsLabel,
        "absent" | "absent_over_time" => Absent,
        "scalar" => Scalar,
        "vector" => Vector,
        "time" | "pi" => Number,
        "day_of_month" | "day_of_week" | "day_of_year" | "days_in_month" | "hour" | "minute" | "month" | "year" => Date,
        _ => return None,
    })
}
