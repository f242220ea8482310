//! JSON pointers (RFC 6901).

use serde_json::Value;

/// A place in a JSON document.
pub(super) struct Pointer(Vec<String>);

impl Pointer {
    /// `None` where the text is no pointer.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let rest = match text {
            "" => return Some(Self(Vec::new())),
            text => text.strip_prefix('/')?,
        };
        let unescaped = |part: &str| part.replace("~1", "/").replace("~0", "~");
        Some(Self(rest.split('/').map(unescaped).collect()))
    }

    pub(super) fn find<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(value, |value, part| match value {
            Value::Object(fields) => fields.get(part),
            Value::Array(items) => items.get(part.parse::<usize>().ok()?),
            _ => None,
        })
    }

    pub(super) fn find_mut<'v>(&self, value: &'v mut Value) -> Option<&'v mut Value> {
        walk(value, &self.0)
    }

    /// Adds to an object, or into a list before the item of that number; replaces the whole where the pointer is empty.
    pub(super) fn add(&self, value: &mut Value, new: Value) -> Option<()> {
        let Some((last, parents)) = self.0.split_last() else {
            *value = new;
            return Some(());
        };
        match walk(value, parents)? {
            Value::Object(fields) => drop(fields.insert(last.clone(), new)),
            Value::Array(items) if last == "-" => items.push(new),
            Value::Array(items) => {
                let at = last.parse::<usize>().ok().filter(|at| *at <= items.len())?;
                items.insert(at, new);
            }
            _ => return None,
        }
        Some(())
    }

    /// Adds to an object only.
    pub(super) fn add_field(&self, value: &mut Value, new: Value) -> Option<()> {
        let (last, parents) = self.0.split_last()?;
        walk(value, parents)?.as_object_mut()?.insert(last.clone(), new);
        Some(())
    }

    pub(super) fn remove(&self, value: &mut Value) -> Option<Value> {
        let (last, parents) = self.0.split_last()?;
        match walk(value, parents)? {
            Value::Object(fields) => fields.remove(last),
            Value::Array(items) => {
                let at = last.parse::<usize>().ok().filter(|at| *at < items.len())?;
                Some(items.remove(at))
            }
            _ => None,
        }
    }
}

fn walk<'v>(value: &'v mut Value, parts: &[String]) -> Option<&'v mut Value> {
    parts.iter().try_fold(value, |value, part| match value {
        Value::Object(fields) => fields.get_mut(part),
        Value::Array(items) => items.get_mut(part.parse::<usize>().ok()?),
        _ => None,
    })
}
