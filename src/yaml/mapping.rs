//! Mappings with known keys, read key by key; what is wrong is collected, not returned.

use super::{Entry, Node, Place, Value, nearest};

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where.
    pub place: Place,
    /// The keys that lead there: `prometheus.main.timeout`; empty for the document.
    pub path: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}

/// `key` below `path`, quoted where it would be taken for several keys.
pub fn key_path(path: &str, key: &str) -> String {
    let key = if key.contains(['.', ' ', '[']) {
        format!("{key:?}")
    } else {
        key.to_owned()
    };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// A mapping whose keys are all known.
#[derive(Debug)]
pub struct Mapping<'a> {
    /// Where it stands.
    pub place: Place,
    /// The keys that lead to it.
    pub path: String,
    entries: &'a [Entry],
}

impl<'a> Mapping<'a> {
    /// The mapping that `node` is. Keys that are not `known` are mistakes, and so is a node of another kind; one that is
    /// left empty is an empty mapping.
    pub fn of(node: &'a Node, path: &str, known: &[&str], mistakes: &mut Vec<Mistake>) -> Option<Self> {
        let mapping = Self::open(node, path, mistakes)?;
        for entry in mapping.entries {
            if known.contains(&entry.key.as_str()) {
                continue;
            }
            let hint = match nearest(&entry.key, known.iter().copied()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("known are {}", known.join(", ")),
            };
            mistakes.push(Mistake {
                place: entry.place,
                path: path.to_owned(),
                problem: format!("unknown key {:?}; {hint}", entry.key),
            });
        }
        Some(mapping)
    }

    /// The mapping that `node` is, whose keys are names.
    pub fn open(node: &'a Node, path: &str, mistakes: &mut Vec<Mistake>) -> Option<Self> {
        let entries = match &node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Nothing => &[],
            other => {
                mistakes.push(Mistake {
                    place: node.place,
                    path: path.to_owned(),
                    problem: format!("is {}, and a mapping is wanted", other.noun()),
                });
                return None;
            }
        };
        Some(Self {
            place: node.place,
            path: path.to_owned(),
            entries,
        })
    }

    /// All its entries.
    pub fn entries(&self) -> &'a [Entry] {
        self.entries
    }

    /// The value of `key`, if there is one.
    pub fn get(&self, key: &str) -> Option<&'a Node> {
        self.entries
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
            .filter(|node| node.value != Value::Nothing)
    }

    /// The keys that lead to `key`.
    pub fn key_path(&self, key: &str) -> String {
        key_path(&self.path, key)
    }

    /// Adds a mistake at the value of `key`, or where it is missing from.
    pub fn refuse(&self, key: &str, problem: impl Into<String>, mistakes: &mut Vec<Mistake>) {
        mistakes.push(Mistake {
            place: self.get(key).map_or(self.place, |node| node.place),
            path: self.key_path(key),
            problem: problem.into(),
        });
    }

    /// The single value of `key`, if there is one.
    pub fn text(&self, key: &str, mistakes: &mut Vec<Mistake>) -> Option<&'a str> {
        match &self.get(key)?.value {
            Value::Scalar(text) => Some(text),
            other => {
                let problem = format!("is {}, and one value is wanted", other.noun());
                self.refuse(key, problem, mistakes);
                None
            }
        }
    }

    /// The single value of `key`, read by `read`, which says what is wrong as the end of a sentence that begins with the
    /// value.
    pub fn read<T>(
        &self,
        key: &str,
        mistakes: &mut Vec<Mistake>,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(key, mistakes)?;
        match read(text) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.refuse(key, format!("{:?} {problem}", shortened(text)), mistakes);
                None
            }
        }
    }
}

/// Enough of a value to recognize it; the credentials in a URL are left out.
pub fn shortened(text: &str) -> String {
    const LONGEST: usize = 100;
    let text = without_credentials(text);
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn without_credentials(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://…@{host}{path}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn a_password_in_a_url_is_not_repeated() {
        assert_eq!(shortened("http://me:word@host/a@b"), "http://…@host/a@b");
        assert_eq!(shortened("http://host/a@b"), "http://host/a@b");
        assert_eq!(shortened(&"x".repeat(200)).chars().count(), 101);
    }

    #[test]
    fn mistakes_say_where_and_what_was_meant() {
        let node = parse("colr: red\nsize: [1]\nweight: heavy\n").expect("it is YAML");
        let mut mistakes = Vec::new();
        let mapping = Mapping::of(&node, "box", &["color", "size", "weight"], &mut mistakes).expect("it is a mapping");
        assert_eq!(mapping.text("size", &mut mistakes), None);
        let weight = |text: &str| text.parse::<u32>().map_err(|_| "is no weight".to_owned());
        assert_eq!(mapping.read("weight", &mut mistakes, weight), None);
        let told: Vec<String> = mistakes
            .iter()
            .map(|m| format!("{}:{}: {}: {}", m.place.line, m.place.column, m.path, m.problem))
            .collect();
        assert_eq!(
            told,
            [
                "1:1: box: unknown key \"colr\"; did you mean \"color\"?",
                "2:7: box.size: is a list, and one value is wanted",
                "3:9: box.weight: \"heavy\" is no weight",
            ]
        );
    }
}
