//! `opledger parallel`: what ranks send each other, and what each holds.

use opledger_account::Cutting;
use opledger_ir::SizeRole;
use opledger_models::Request;
use opledger_parallel::{Strategy, Zero};

use crate::args::ParallelArgs;
use crate::failure::Failure;
use crate::notes;
use crate::output;

pub(crate) fn execute(args: &ParallelArgs) -> Result<(), Failure> {
    let (model, sizes) = args.model.open(Request::default())?;
    if let (Some(ranks), Some(items)) = (args.data, model.graph().size_of(SizeRole::Batch))
        && sizes.get(items).is_none()
    {
        return Err(Failure::NoItems { ranks, items: items.clone() });
    }
    let elem = args.dtype.unwrap_or(model.storage());
    let record = match args.stages {
        Some(stages) => model.cut_into_stages(stages, elem, &sizes)?,
        None => {
            let (ranks, strategy) = args.cut();
            let step = args.step || args.data.is_some();
            model.cut_among(Cutting { ranks, strategy, step, elem }, &sizes)?
        }
    };
    output::show_noted(&record, &notes::about(&model, model.sizes()), args.format)
}

impl ParallelArgs {
    /// Among how many ranks, and how.
    fn cut(&self) -> (u64, Strategy) {
        let tensor = Strategy::Tensor { sequence: self.sequence, vocabulary: self.vocabulary };
        let zero = match self.zero.unwrap_or_default() {
            0 => Zero::None,
            1 | 2 => Zero::Gradients,
            _ => Zero::Parameters,
        };
        let ways = [
            (self.tensor, tensor),
            (self.experts, Strategy::Experts),
            (self.context, Strategy::Context),
            (self.data, Strategy::Data(zero)),
        ];
        let asked = ways.into_iter().find_map(|(ranks, strategy)| Some((ranks?, strategy)));
        // One of them is asked for: the command line says so.
        asked.unwrap_or((0, tensor))
    }
}
