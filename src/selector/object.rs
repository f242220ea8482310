//! Selectors as objects: `LabelSelector`, with matchLabels and matchExpressions.

use std::sync::Arc;

use serde_json::Value;

use super::{Operator, Requirement, Selector, SelectorError};

impl Selector {
    /// The selector that a `LabelSelector` object stands for; an empty object, or null, picks everything.
    ///
    /// # Errors
    /// An operator that Kubernetes does not know, or labels and values that are none.
    pub fn from_label_selector(object: &Value) -> Result<Self, SelectorError> {
        let text = |value: &Value| {
            value
                .as_str()
                .map(Arc::<str>::from)
                .ok_or_else(|| SelectorError(format!("{value} is no text")))
        };
        let mut requirements = Vec::new();
        for (key, value) in object["matchLabels"].as_object().into_iter().flatten() {
            requirements.push(Requirement::new(key, Operator::Equals, vec![text(value)?])?);
        }
        for expression in object["matchExpressions"].as_array().into_iter().flatten() {
            let operator = match expression["operator"].as_str().unwrap_or_default() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => {
                    let known = "In, NotIn, Exists and DoesNotExist";
                    return Err(SelectorError(format!(
                        "{other:?} is not a valid label selector operator: {known} are"
                    )));
                }
            };
            let values = expression["values"]
                .as_array()
                .into_iter()
                .flatten()
                .map(text)
                .collect::<Result<Vec<_>, _>>()?;
            if matches!(operator, Operator::Exists | Operator::DoesNotExist) && !values.is_empty() {
                return Err(SelectorError("Exists and DoesNotExist take no values".into()));
            }
            requirements.push(Requirement::new(&text(&expression["key"])?, operator, values)?);
        }
        Ok(Self::new(requirements))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_become_the_text_that_kubernetes_sends() {
        let selector = json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["b", "a"]},
                {"key": "canary", "operator": "DoesNotExist"},
            ],
        });
        let text = Selector::from_label_selector(&selector).map(|s| s.to_string());
        assert_eq!(text.as_deref(), Ok("app=web,!canary,tier in (a,b)"));
        assert_eq!(Selector::from_label_selector(&json!({})), Ok(Selector::everything()));
        assert_eq!(Selector::from_label_selector(&Value::Null), Ok(Selector::everything()));
    }

    #[test]
    fn an_unknown_operator_is_refused() {
        let selector = json!({"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]});
        assert!(Selector::from_label_selector(&selector).is_err());
    }
}
