//! `resourceRules`: the resources of containers.

use std::sync::Arc;
use std::time::Duration;

use super::super::go_template::Use;
use super::super::query::{container_query, freshness};
use super::{Reader, is_label};
use crate::promql::definition::{longest_range, promql_duration};
use crate::promql::{Answers, Definition, Missing};
use crate::yaml::{Mapping, Node};

impl Reader<'_> {
    /// Reads the block. `nodeQuery` is passed over: autoscalers read pods only.
    pub(super) fn resource_rules(&mut self, node: &Node, endpoint: &Arc<str>) -> Vec<Arc<Definition>> {
        let keys = ["cpu", "memory", "window"];
        let Some(fields) = Mapping::of(node, "resourceRules", &keys, &mut self.mistakes) else {
            return Vec::new();
        };
        let window = fields.read("window", &mut self.mistakes, |text| {
            promql_duration(text).ok_or_else(|| "is no duration, such as 5m".to_owned())
        });
        let definitions = ["cpu", "memory"].map(|resource| {
            let node = fields.get(resource)?;
            self.resource_rule(resource, node, window, endpoint).map(Arc::new)
        });
        definitions.into_iter().flatten().collect()
    }

    fn resource_rule(
        &mut self,
        resource: &str,
        node: &Node,
        window: Option<Duration>,
        endpoint: &Arc<str>,
    ) -> Option<Definition> {
        let path = format!("resourceRules.{resource}");
        let keys = ["containerQuery", "nodeQuery", "resources", "containerLabel"];
        let fields = Mapping::of(node, &path, &keys, &mut self.mistakes)?;
        let (labels, _) = self.labels(&fields);
        if fields.get("containerLabel").is_none() {
            fields.refuse("containerLabel", "is missing, such as container", &mut self.mistakes);
        }
        let container_label = fields.read("containerLabel", &mut self.mistakes, |text| match is_label(text) {
            true => Ok(text.to_owned()),
            false => Err("is not the name of a label: letters, digits and '_'".to_owned()),
        });
        let query = self.template(&fields, "containerQuery", Use::Query)?;
        let container_label = container_label?;
        let (template, namespace_label, pod_label) = match container_query(&query, &labels, &container_label) {
            Ok(made) => made,
            Err(problem) => {
                fields.refuse("containerQuery", problem, &mut self.mistakes);
                return None;
            }
        };
        let window = window.or_else(|| longest_range(template.text())).unwrap_or_default();
        Some(Definition {
            name: resource.into(),
            answers: Answers::Resource {
                pod_label,
                container_label: container_label.into(),
                namespace_label,
                window,
            },
            endpoint: endpoint.clone(),
            step: Duration::ZERO,
            freshness: freshness(&template),
            template,
            missing: Missing::Fails,
        })
    }
}
