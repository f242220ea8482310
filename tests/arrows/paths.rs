//! From tokens to the rooms that paths lead to.

use super::tokens::Token;

/// A path that leads to a top module of the crate.
#[derive(Debug)]
pub struct Arrow {
    /// The top module's name.
    pub to: String,
    /// Where the path begins.
    pub line: usize,
}

/// All paths in the module `module` that begin at the crate's root, be it by way of `super`.
pub fn arrows(tokens: &[Token<'_>], module: &[String]) -> Vec<Arrow> {
    let mut found = Vec::new();
    let mut nested: Vec<usize> = Vec::new(); // inline modules: the depth of braces at which each was opened
    let mut depth = 0;
    let mut at = 0;
    while at < tokens.len() {
        let text = |offset: usize| tokens.get(at + offset).map_or("", |token| token.text);
        match text(0) {
            "mod" if text(2) == "{" => {
                nested.push(depth);
                (depth, at) = (depth + 1, at + 3);
            }
            "{" => (depth, at) = (depth + 1, at + 1),
            "}" => {
                depth = depth.saturating_sub(1);
                if nested.last() == Some(&depth) {
                    nested.pop();
                }
                at += 1;
            }
            // `trimtab` is the crate's own name in examples and in the binary.
            "crate" | "trimtab" if text(1) == ":" => {
                heads(tokens, at + 3, &mut found);
                at += 3;
            }
            "super" if text(1) == ":" => {
                let mut ups = 0;
                while tokens.get(at).is_some_and(|token| token.text == "super") {
                    (ups, at) = (ups + 1, at + 3);
                }
                if ups == module.len() + nested.len() {
                    heads(tokens, at, &mut found);
                }
            }
            _ => at += 1,
        }
    }
    found
}

/// The first names of the path, or of each path of the group, that begins at token `at`.
fn heads(tokens: &[Token<'_>], at: usize, found: &mut Vec<Arrow>) {
    let Some(first) = tokens.get(at) else { return };
    if first.text != "{" {
        found.push(Arrow {
            to: first.text.to_owned(),
            line: first.line,
        });
        return;
    }
    let (mut depth, mut begins) = (0, false);
    for token in &tokens[at..] {
        match token.text {
            "{" => (depth, begins) = (depth + 1, depth == 0),
            "}" => depth -= 1,
            "," => begins = depth == 1,
            name if begins => {
                found.push(Arrow {
                    to: name.to_owned(),
                    line: token.line,
                });
                begins = false;
            }
            _ => {}
        }
        if depth == 0 {
            return;
        }
    }
}
