//! What is measured.

mod decision;
mod decode;
mod merge;
mod pass;
mod pods;
mod protobuf;

/// One thing to measure, with all it needs.
pub trait Case {
    /// Done before each run, and not measured.
    fn prepare(&mut self) {}
    /// What is measured.
    fn run(&mut self);
}

/// A case by its name.
pub struct Named {
    pub name: &'static str,
    /// Whether its instructions are counted; under callgrind everything takes fifty times as long.
    pub is_counted: bool,
    pub make: Box<dyn Fn() -> Box<dyn Case>>,
}

fn counted<C: Case + 'static>(name: &'static str, make: impl Fn() -> C + 'static) -> Named {
    Named {
        name,
        is_counted: true,
        make: Box::new(move || Box::new(make())),
    }
}

/// A case too large to be counted.
fn timed<C: Case + 'static>(name: &'static str, make: impl Fn() -> C + 'static) -> Named {
    Named {
        is_counted: false,
        ..counted(name, make)
    }
}

/// All of them, in the order of the table.
pub fn all() -> Vec<Named> {
    [
        decision::cases(),
        pods::cases(),
        decode::cases(),
        merge::cases(),
        pass::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
