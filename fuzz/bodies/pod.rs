//! Any bytes are a pod in protobuf, or in JSON, or an error; a list of pods gives the same however it is cut.

use trimtab::cluster::pods::SlimPod;
use trimtab::cluster::watch::Watched;
use trimtab::wire::protobuf::{ListReader, Part, ProtobufError};

pub fn check(bytes: &[u8]) {
    let read = SlimPod::READ_PROTOBUF.expect("pods are read as protobuf");
    for pod in [serde_json::from_slice(bytes).ok(), read(bytes).ok()]
        .into_iter()
        .flatten()
    {
        let pod: SlimPod = pod;
        // What a pod asks for is added up for its autoscaler.
        assert!(pod.facts.requests.containers.len() <= bytes.len());
    }
    let whole = list(bytes, bytes.len().max(1));
    assert_eq!(whole, list(bytes, 1));
    assert_eq!(whole, list(bytes, 1 + bytes.len() / 3));
}

fn list(bytes: &[u8], size: usize) -> Result<Vec<Option<SlimPod>>, ProtobufError> {
    let read = SlimPod::READ_PROTOBUF.expect("pods are read as protobuf");
    let (mut reader, mut pods) = (ListReader::default(), Vec::new());
    for piece in bytes.chunks(size) {
        reader.push(piece, |part| {
            if let Part::Item(item) = part {
                pods.push(read(item).ok());
            }
            Ok::<_, ProtobufError>(())
        })?;
    }
    reader.finish().map(|_| pods)
}
