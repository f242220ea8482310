//! Files that others write, read up to a bound: a token, a certificate, a manifest. One that is endless, or far too large, costs
//! no more than its bound.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// What stands in a file.
///
/// # Errors
///
/// It cannot be opened or read, or is larger than `most` bytes. The message names neither the file nor what is in it.
pub fn read_bytes(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("it is larger than {most} bytes")));
    }
    Ok(bytes)
}

/// The same as text.
///
/// # Errors
///
/// Also where it is not UTF-8.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let bytes = read_bytes(path, most)?;
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_bound_and_not_beyond() {
        let path = std::env::temp_dir().join(format!("trimtab-files-{}", std::process::id()));
        std::fs::write(&path, "four").unwrap();
        assert_eq!(read_bytes(&path, 4).unwrap(), b"four");
        assert_eq!(read_text(&path, 4).unwrap(), "four");
        let error = read_bytes(&path, 3).unwrap_err();
        assert_eq!(error.to_string(), "it is larger than 3 bytes");
        std::fs::write(&path, b"\xff").unwrap();
        assert_eq!(read_text(&path, 4).unwrap_err().to_string(), "it is not UTF-8");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read_bytes(&path, 4).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    /// A device that never ends.
    #[test]
    fn what_has_no_end_is_given_up() {
        let error = read_bytes(Path::new("/dev/zero"), 1000).unwrap_err();
        assert_eq!(error.to_string(), "it is larger than 1000 bytes");
    }
}
