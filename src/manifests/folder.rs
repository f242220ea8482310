//! A folder of manifests: which files there are, what they hold, and which of them hold.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, Metadata};
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{FILE_BYTES, Manifest, Place, Problem, ReadOptions, read};
use crate::files;
use crate::spec::Key;

/// The most files: more than a cluster of ten thousand autoscalers has, each in a file of its own.
const FILES: usize = 20_000;

/// The most entries of folders that are looked at, manifests or not.
const ENTRIES: usize = 10 * FILES;

/// The largest size of all files together.
const FOLDER_BYTES: u64 = 64 << 20;

/// How files are called that hold manifests.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// All that is wrong with a folder, at least one thing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

/// A line each.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the autoscalers' manifests cannot be used:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

/// A folder, as it was when it was last looked at.
///
/// Files `*.yaml`, `*.yml` and `*.json` of the folder itself and of its sub-folders, one level deep: so many ConfigMaps can
/// be mounted into one. Links are followed; what begins with a dot is passed over, as is `..data` of a mounted ConfigMap.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    options: ReadOptions,
    files: BTreeMap<Arc<str>, Known>,
    problems: Vec<Problem>,
    manifests: BTreeMap<Key, Arc<Manifest>>,
}

/// What is known of a file.
#[derive(Debug, Default)]
struct Known {
    signature: Option<Signature>,
    /// The file was read once more after its signature had changed: a write in the same tick of its file system's clock
    /// would not have changed it again.
    settled: bool,
    hash: Option<u64>,
    /// The autoscalers of the last content that was as it should be.
    good: Vec<Arc<Manifest>>,
    /// What is wrong with the last content.
    problems: Vec<Problem>,
}

/// What changes when a file does, as a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Signature {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Signature {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl Folder {
    /// A folder that nobody has looked at yet.
    pub fn new(path: impl Into<PathBuf>, options: ReadOptions) -> Self {
        Self {
            path: path.into(),
            options,
            files: BTreeMap::new(),
            problems: Vec::new(),
            manifests: BTreeMap::new(),
        }
    }

    /// A folder in which everything is as it should be.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn open(path: impl Into<PathBuf>, options: ReadOptions) -> Result<Self, Problems> {
        let mut folder = Self::new(path, options);
        folder.look();
        if folder.problems.is_empty() {
            Ok(folder)
        } else {
            Err(Problems(folder.problems))
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The autoscalers to serve, by key.
    pub fn manifests(&self) -> &BTreeMap<Key, Arc<Manifest>> {
        &self.manifests
    }

    /// What is wrong, sorted by place.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// How many files there are.
    pub fn files(&self) -> usize {
        self.files.len()
    }

    /// Files without any autoscaler, good or bad.
    pub fn empty_files(&self) -> impl Iterator<Item = &Arc<str>> {
        let empty = |known: &Known| known.good.is_empty() && known.problems.is_empty();
        self.files
            .iter()
            .filter(move |(_, known)| empty(known))
            .map(|(path, _)| path)
    }

    /// Looks at the folder; whether its autoscalers or its problems are others than before. Blocks.
    ///
    /// A file that has become wrong or cannot be read keeps the autoscalers that it had; one that is gone takes them away.
    /// Where two say what one autoscaler wants, the one that did so before stays, or else the first by path and line.
    pub fn look(&mut self) -> bool {
        let listed = list(&self.path);
        let mut problems = Vec::new();
        match listed {
            Ok(listed) => {
                let paths: BTreeSet<&Arc<str>> = listed.keys().collect();
                self.files.retain(|path, _| paths.contains(path));
                for (path, found) in listed {
                    let known = self.files.entry(path.clone()).or_default();
                    known.look(&path, found, &self.options);
                }
            }
            // What cannot be seen has not gone: everything stays as it was.
            Err(problem) => problems.push(problem),
        }
        problems.extend(self.files.values().flat_map(|known| known.problems.iter().cloned()));
        let manifests = self.settle(&mut problems);
        problems.sort_by(|a, b| a.place.cmp(&b.place));
        let changed = problems != self.problems || manifests != self.manifests;
        (self.problems, self.manifests) = (problems, manifests);
        changed
    }

    /// One manifest for each key, and a problem for each further one.
    fn settle(&self, problems: &mut Vec<Problem>) -> BTreeMap<Key, Arc<Manifest>> {
        let mut by_key: BTreeMap<Key, Vec<&Arc<Manifest>>> = BTreeMap::new();
        for manifest in self.files.values().flat_map(|known| &known.good) {
            by_key.entry(manifest.spec.key.clone()).or_default().push(manifest);
        }
        let settle_one = |(key, candidates): (Key, Vec<&Arc<Manifest>>)| {
            let before = self.manifests.get(&key).map(|manifest| &manifest.place.file);
            let stays = candidates.iter().find(|manifest| Some(&manifest.place.file) == before);
            let first = (*stays.or(candidates.first())?).clone();
            let others = candidates.iter().filter(|manifest| !Arc::ptr_eq(manifest, &first));
            problems.extend(others.map(|manifest| Problem {
                place: manifest.place.clone(),
                text: format!(
                    "HorizontalPodAutoscaler {key}: found a second time, want it only once; the one at {} stays",
                    first.place
                ),
            }));
            Some((key, first))
        };
        by_key.into_iter().filter_map(settle_one).collect()
    }
}

impl Known {
    fn look(&mut self, path: &Arc<str>, found: io::Result<Signature>, options: &ReadOptions) {
        let signature = match found {
            Ok(signature) => signature,
            Err(error) => return self.cannot(path, &error),
        };
        let same = self.signature == Some(signature);
        if same && self.settled {
            return;
        }
        match read_text(Path::new(&**path)) {
            Ok(text) => {
                (self.signature, self.settled) = (Some(signature), same);
                self.take(path, &text, options);
            }
            Err(error) => self.cannot(path, &error),
        }
    }

    fn take(&mut self, path: &Arc<str>, text: &str, options: &ReadOptions) {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let hash = Some(hasher.finish());
        if self.hash == hash {
            return;
        }
        self.hash = hash;
        let content = read(path, text, options);
        if content.problems.is_empty() {
            self.good = content.manifests.into_iter().map(Arc::new).collect();
        }
        self.problems = content.problems;
    }

    /// It cannot be read now: it is read again at the next look.
    fn cannot(&mut self, path: &Arc<str>, error: &io::Error) {
        (self.signature, self.hash) = (None, None);
        self.problems = vec![Problem {
            place: Place::file(path.clone()),
            text: format!("cannot be read: {error}"),
        }];
    }
}

/// A file's text.
///
/// # Errors
///
/// It cannot be opened or read, is larger than [`FILE_BYTES`], or not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    files::read_text(path, FILE_BYTES)
}

type Listed = BTreeMap<Arc<str>, io::Result<Signature>>;

/// The files of a folder and of its sub-folders.
fn list(folder: &Path) -> Result<Listed, Problem> {
    let about = |path: &Path, text: String| Problem {
        place: Place::file(path.display().to_string()),
        text,
    };
    let mut found = Listed::new();
    let (mut entries, mut bytes) = (0_usize, 0_u64);
    let mut folders = vec![(folder.to_owned(), true)];
    while let Some((folder, has_folders)) = folders.pop() {
        let unlisted = |error| about(&folder, format!("cannot be listed: {error}"));
        for entry in fs::read_dir(&folder).map_err(unlisted)? {
            let name = entry.map_err(unlisted)?.file_name();
            entries += 1;
            let is_manifest = Path::new(&name)
                .extension()
                .is_some_and(|extension| EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known)));
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = folder.join(&name);
            let signature = match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => {
                    if has_folders {
                        folders.push((path, false));
                    }
                    continue;
                }
                Ok(metadata) if !metadata.is_file() => continue,
                Ok(metadata) => Ok(Signature::of(&metadata)),
                Err(error) => Err(error),
            };
            if !is_manifest {
                continue;
            }
            bytes = bytes.saturating_add(signature.as_ref().map_or(0, |signature| signature.bytes));
            found.insert(path.to_string_lossy().into(), signature);
        }
        if entries > ENTRIES || found.len() > FILES || bytes > FOLDER_BYTES {
            let text = format!(
                "has more than {FILES} files, {ENTRIES} entries or {} MiB",
                FOLDER_BYTES >> 20
            );
            return Err(about(&folder, text));
        }
    }
    Ok(found)
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs::File;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder of a test; gone when dropped.
    pub(in crate::manifests) struct Scratch(pub PathBuf);

    impl Scratch {
        pub(in crate::manifests) fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("trimtab-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        pub(in crate::manifests) fn write(&self, name: &str, text: &str) {
            fs::write(self.0.join(name), text).unwrap();
        }

        fn remove(&self, name: &str) {
            fs::remove_file(self.0.join(name)).unwrap();
        }

        fn folder(&self) -> Folder {
            Folder::new(&self.0, ReadOptions::default())
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    pub(in crate::manifests) fn hpa(name: &str, max: &str) -> String {
        format!(
            "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  \
             scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: web}}\n  maxReplicas: {max}\n---\n"
        )
    }

    /// Each autoscaler's name and its highest count.
    fn served(folder: &Folder) -> Vec<(String, i32)> {
        let manifests = folder.manifests().values();
        manifests
            .map(|m| (m.spec.key.name.to_string(), m.spec.max_replicas))
            .collect()
    }

    fn one(name: &str, max: i32) -> (String, i32) {
        (name.to_owned(), max)
    }

    /// The problems without the folder's own path.
    fn problems(folder: &Folder) -> Vec<String> {
        let own = format!("{}/", folder.path().display());
        folder
            .problems()
            .iter()
            .map(|p| p.to_string().replace(&own, ""))
            .collect()
    }

    #[test]
    fn manifests_of_a_folder_and_its_sub_folders_are_served() {
        let scratch = Scratch::new("listing");
        fs::create_dir_all(scratch.0.join("team/deeper")).unwrap();
        fs::create_dir_all(scratch.0.join("..2026_01_05")).unwrap();
        for name in [
            "a.yaml",
            "team/b.yml",
            "..2026_01_05/linked.yaml",
            ".hidden.yaml",
            "notes.txt",
            "team/deeper/d.yaml",
        ] {
            let own = name.rsplit('/').next().unwrap().split('.').next().unwrap();
            scratch.write(name, &hpa(own, "3"));
        }
        scratch.write("c.json", &hpa("c", "4"));
        scratch.write("other.yaml", "kind: Service\n");
        // As a ConfigMap is mounted.
        symlink("..2026_01_05", scratch.0.join("..data")).unwrap();
        symlink("..data/linked.yaml", scratch.0.join("linked.yaml")).unwrap();
        let folder = Folder::open(&scratch.0, ReadOptions::default()).unwrap();
        assert_eq!(
            served(&folder),
            [one("a", 3), one("b", 3), one("c", 4), one("linked", 3)]
        );
        assert_eq!(folder.files(), 5);
        assert_eq!(folder.empty_files().count(), 1);
    }

    #[test]
    fn files_come_change_and_go() {
        let scratch = Scratch::new("changes");
        let mut folder = scratch.folder();
        assert!(!folder.look());
        scratch.write("a.yaml", &hpa("a", "3"));
        assert!(folder.look());
        assert!(!folder.look() && !folder.look(), "nothing has changed");
        scratch.write("a.yaml", &(hpa("a", "4") + &hpa("b", "5")));
        assert!(folder.look());
        assert_eq!(served(&folder), [one("a", 4), one("b", 5)]);
        scratch.remove("a.yaml");
        assert!(folder.look());
        assert_eq!((served(&folder), folder.problems()), (vec![], &[][..]));
    }

    #[test]
    fn a_write_that_the_clock_does_not_show_is_seen_at_the_next_look() {
        let scratch = Scratch::new("tick");
        let mut folder = scratch.folder();
        scratch.write("a.yaml", &hpa("a", "3"));
        folder.look();
        let path = scratch.0.join("a.yaml");
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        scratch.write("a.yaml", &hpa("a", "4"));
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_modified(modified)
            .unwrap();
        assert!(folder.look());
        assert_eq!(served(&folder), [one("a", 4)]);
    }

    #[test]
    fn a_file_that_becomes_wrong_keeps_what_it_had() {
        let scratch = Scratch::new("wrong");
        let mut folder = scratch.folder();
        scratch.write("a.yaml", &hpa("a", "3"));
        folder.look();
        scratch.write("a.yaml", &(hpa("a", "0") + &hpa("b", "5")));
        assert!(folder.look());
        assert_eq!(served(&folder), [one("a", 3)]);
        assert_eq!(
            problems(&folder),
            ["a.yaml:6:3: HorizontalPodAutoscaler shop/a: spec.maxReplicas: missing, want at least 1"]
        );
        assert!(!folder.look(), "it is wrong as before");
        scratch.write("a.yaml", "kind: [");
        assert!(folder.look());
        assert_eq!(served(&folder), [one("a", 3)]);
        fs::set_permissions(
            scratch.0.join("a.yaml"),
            std::os::unix::fs::PermissionsExt::from_mode(0o000),
        )
        .unwrap();
        scratch.write("b.yaml", &hpa("b", "5"));
        assert!(folder.look());
        assert_eq!(served(&folder), [one("a", 3), one("b", 5)]);
        scratch.remove("a.yaml");
        assert!(folder.look());
        assert_eq!((served(&folder), problems(&folder)), (vec![one("b", 5)], vec![]));
    }

    #[test]
    fn a_wrong_file_is_right_again() {
        let scratch = Scratch::new("right");
        let mut folder = scratch.folder();
        scratch.write("a.yaml", &hpa("a", "0"));
        folder.look();
        assert_eq!((served(&folder), folder.problems().len()), (vec![], 1));
        scratch.write("a.yaml", &hpa("a", "7"));
        assert!(folder.look());
        assert_eq!((served(&folder), folder.problems()), (vec![one("a", 7)], &[][..]));
    }

    #[test]
    fn of_two_the_one_that_was_there_stays() {
        let scratch = Scratch::new("twice");
        let mut folder = scratch.folder();
        scratch.write("b.yaml", &hpa("web", "3"));
        folder.look();
        scratch.write("a.yaml", &(hpa("web", "4") + &hpa("other", "1")));
        folder.look();
        assert_eq!(served(&folder), [one("other", 1), one("web", 3)]);
        let own = format!("{}/", scratch.0.display());
        assert_eq!(
            problems(&folder),
            [
                "a.yaml:1:1: HorizontalPodAutoscaler shop/web: found a second time, want it only once; the one at b.yaml:1:1 stays"
            ],
            "{own}"
        );
        // A process that starts now has seen neither.
        let fresh = Folder::open(&scratch.0, ReadOptions::default()).unwrap_err();
        assert!(
            fresh
                .to_string()
                .contains("b.yaml:1:1: HorizontalPodAutoscaler shop/web: found a second time")
        );
        scratch.remove("b.yaml");
        assert!(folder.look());
        assert_eq!(
            (served(&folder), folder.problems()),
            (vec![one("other", 1), one("web", 4)], &[][..])
        );
    }

    #[test]
    fn a_folder_that_cannot_be_seen_has_lost_nothing() {
        let scratch = Scratch::new("unseen");
        let mut folder = scratch.folder();
        scratch.write("a.yaml", &hpa("a", "3"));
        folder.look();
        let moved = scratch.0.with_extension("moved");
        fs::rename(&scratch.0, &moved).unwrap();
        assert!(folder.look());
        assert_eq!(served(&folder), [one("a", 3)]);
        assert!(folder.problems()[0].text.starts_with("cannot be listed: "));
        fs::rename(&moved, &scratch.0).unwrap();
        assert!(folder.look());
        assert_eq!((served(&folder), folder.problems()), (vec![one("a", 3)], &[][..]));
    }

    #[test]
    fn what_is_too_large_is_not_read() {
        let scratch = Scratch::new("large");
        let file = File::create(scratch.0.join("a.yaml")).unwrap();
        file.set_len(FILE_BYTES + 1).unwrap();
        let mut folder = scratch.folder();
        folder.look();
        assert!(
            problems(&folder)[0].starts_with("a.yaml: cannot be read: it is larger than "),
            "{:?}",
            folder.problems()
        );
        file.set_len(FOLDER_BYTES + 1).unwrap();
        folder.look();
        assert!(
            folder.problems().iter().any(|p| p.text.contains("more than")),
            "{:?}",
            folder.problems()
        );
    }
}
