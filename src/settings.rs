//! The process's settings, validated, apart from what was typed.
//!
//! Each setting is declared once, in [`declared`], and has one name: a key of the configuration file (`sync-period`),
//! a flag (`--sync-period`) and an environment variable (`TRIMTAB_SYNC_PERIOD`). The file gives way to the environment,
//! the environment to flags. Nothing is read here: [`resolve`] is given the file's text, the variables and the flags.

mod declaration;
pub mod declared;
pub mod duration;
mod file;
pub mod gates;
mod layers;
mod mistake;

pub mod reference;
mod rules;
pub mod sources;
mod value;

pub use declaration::{Declaration, Section};
pub use declared::{DECLARATIONS, Settings};
pub use file::FILE_MAX_BYTES;
pub use layers::{Effective, Given, Item, Origin, Typed, resolve};
pub use mistake::{Mistake, Mistakes};
pub use value::{Folder, Format, Listen, LogFilter, Shape};
