//! Any bytes are a refusal of an API server in protobuf, or none.

use trimtab::wire::protobuf::status;

pub fn check(bytes: &[u8]) {
    if let Ok(status) = status(bytes) {
        let causes = status.details.map_or(0, |details| details.causes.len());
        assert!(status.message.len() <= bytes.len() && causes <= 100);
    }
}
