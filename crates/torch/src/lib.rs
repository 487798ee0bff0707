//! Programs that PyTorch exported (`torch.export.save`), as graphs.
//!
//! An archive holds the operations of a module as PyTorch calls them, each with the shape of its
//! result in symbols, the module it belongs to and the line it stands in. Every operation is recorded
//! as one or more of the graph's, whose costs, references and kernels are those of all models.

mod aliases;
mod archive;
mod atoms;
mod bounds;
mod buffers;
mod call;
mod canonical;
mod chain;
mod classes;
mod constants;
mod equalities;
mod error;
mod followed;
mod guards;
mod hidden;
mod import;
mod importer;
mod in_full;
mod inline;
mod inputs;
mod layers;
mod lower;
mod meaning;
mod multiples;
mod names;
mod observed;
mod quiet;
mod schema;
mod shared;
mod sources;
mod symbolic;
mod tensor;
mod told;
mod types;
mod weights;
mod whole;
mod writes;

use std::path::Path;

pub use error::{ImportError, UnknownOperation};
pub use import::{ImportOptions, Imported};
pub use weights::weights;

/// Reads the program of a `.pt2` archive and records it.
///
/// # Errors
/// When the file is no such archive, or asks for what is not known.
pub fn open(path: &Path, options: &ImportOptions) -> Result<Imported, ImportError> {
    let mut archive = archive::Archive::open(path)?;
    let program = archive.program()?;
    let payloads = archive.payloads()?;
    let tied = shared::tied(&payloads);
    let known = importer::Known {
        names: match archive.module_names()? {
            Some(names) => aliases::Aliases::Known(names),
            None => aliases::Aliases::of(&program, &payloads, &tied),
        },
        tied,
        constants: weights::constants(&mut archive, &payloads)?,
    };
    let unread = shared::unread(&program, &payloads);
    import::import(&program, &known, options).map(|imported| Imported { unread, ..imported })
}
