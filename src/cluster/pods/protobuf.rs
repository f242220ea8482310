//! A pod as protobuf, cut down to what a decision needs.
//!
//! A third of the bytes of JSON and of the time. The fields are those of k8s.io/api `core/v1/generated.proto`.

use jiff::Timestamp;

use super::slim::{SlimPod, amount, condition_status, phase};
use crate::observe::{ContainerKind, ContainerRequests, Pod, PodPhase, PodRequests, ReadyCondition, ResourceList};
use crate::quantity::Milli;
use crate::wire::protobuf::{Field, Fields, ProtobufError, quantity, time};

/// Reads a `v1` Pod, as leniently as its JSON is read.
pub(super) fn read(pod: &[u8]) -> Result<SlimPod, ProtobufError> {
    let mut slim = SlimPod {
        namespace: String::new(),
        resource_version: String::new(),
        labels: Vec::new(),
        facts: Pod {
            name: "".into(),
            phase: PodPhase::Unknown,
            terminating: false,
            ready: None,
            started: None,
            requests: PodRequests::default().into(),
        },
    };
    for field in Fields::of(pod) {
        let field = field?;
        match field.number {
            1 => metadata(&mut slim, field)?,
            2 => slim.facts.requests = spec(field)?.into(),
            3 => status(&mut slim.facts, field)?,
            _ => {}
        }
    }
    Ok(slim)
}

/// `meta.v1.ObjectMeta`
fn metadata(slim: &mut SlimPod, metadata: Field<'_>) -> Result<(), ProtobufError> {
    for field in metadata.message()? {
        let field = field?;
        match field.number {
            1 => slim.facts.name = field.text()?.into(),
            3 => field.text()?.clone_into(&mut slim.namespace),
            6 => field.text()?.clone_into(&mut slim.resource_version),
            9 => slim.facts.terminating = true,
            11 => {
                let (key, value) = field.entry()?;
                let value = std::str::from_utf8(value).map_err(|_| ProtobufError::NotText)?;
                slim.labels.push((key.to_owned(), value.to_owned()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// `PodSpec`
fn spec(spec: Field<'_>) -> Result<PodRequests, ProtobufError> {
    let (mut requests, mut init) = (PodRequests::default(), Vec::new());
    let mut overhead = Vec::new();
    for field in spec.message()? {
        let field = field?;
        match field.number {
            2 => requests.containers.push(container(field, false)?),
            20 => init.push(container(field, true)?),
            32 => overhead.extend(named_amount(field)?),
            40 => requests.pod_level = requests_of(field)?,
            _ => {}
        }
    }
    requests.containers.extend(init);
    requests.overhead = sorted(overhead);
    Ok(requests)
}

/// `Container`
fn container(container: Field<'_>, init: bool) -> Result<ContainerRequests, ProtobufError> {
    let (mut name, mut restarts, mut requests) = ("", false, ResourceList::default());
    for field in container.message()? {
        let field = field?;
        match field.number {
            1 => name = field.text()?,
            8 => requests = requests_of(field)?,
            24 => restarts = field.bytes()? == b"Always",
            _ => {}
        }
    }
    let kind = match (init, restarts) {
        (false, _) => ContainerKind::Main,
        (true, true) => ContainerKind::Sidecar,
        (true, false) => ContainerKind::Init,
    };
    Ok(ContainerRequests {
        name: name.into(),
        kind,
        requests,
    })
}

/// `ResourceRequirements`
fn requests_of(resources: Field<'_>) -> Result<ResourceList, ProtobufError> {
    let mut requests = Vec::new();
    for field in resources.message()? {
        let field = field?;
        if field.number == 2 {
            requests.extend(named_amount(field)?);
        }
    }
    Ok(sorted(requests))
}

/// An entry of a map to quantities; `None` where the quantity does not parse.
fn named_amount(entry: Field<'_>) -> Result<Option<(&str, Milli)>, ProtobufError> {
    let (name, value) = entry.entry()?;
    let amount = quantity(value)?.map_or(Some(Milli::ZERO), amount);
    Ok(amount.map(|amount| (name, amount)))
}

fn sorted(mut amounts: Vec<(&str, Milli)>) -> ResourceList {
    amounts.sort_by_key(|(name, _)| *name);
    ResourceList(
        amounts
            .into_iter()
            .map(|(name, amount)| (name.into(), amount))
            .collect(),
    )
}

/// `PodStatus`
fn status(facts: &mut Pod, status: Field<'_>) -> Result<(), ProtobufError> {
    for field in status.message()? {
        let field = field?;
        match field.number {
            1 => facts.phase = phase(field.text()?),
            2 if facts.ready.is_none() => facts.ready = ready(field)?,
            7 => facts.started = timestamp(field)?,
            _ => {}
        }
    }
    Ok(())
}

/// `PodCondition`; `None` where it is another than Ready.
fn ready(condition: Field<'_>) -> Result<Option<ReadyCondition>, ProtobufError> {
    let (mut kind, mut status, mut since) = ("", "", None);
    for field in condition.message()? {
        let field = field?;
        match field.number {
            1 => kind = field.text()?,
            2 => status = field.text()?,
            4 => since = timestamp(field)?,
            _ => {}
        }
    }
    Ok((kind == "Ready").then(|| ReadyCondition {
        status: condition_status(status),
        since,
    }))
}

fn timestamp(field: Field<'_>) -> Result<Option<Timestamp>, ProtobufError> {
    let seconds = time(field.bytes()?)?;
    Ok(seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()))
}

#[cfg(test)]
mod tests;
