//! `opledger parallel`: what ranks send each other, and what each holds.

use opledger_account::Cutting;
use opledger_ir::SizeRole;
use opledger_models::Request;
use opledger_parallel::{MeshAxis, Strategy, Zero};

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
    let (mesh, stages, step) = (args.mesh(), args.stages, args.step || args.data.is_some());
    let record = model.cut_among(&Cutting { mesh, stages, step, elem }, &sizes)?;
    output::show_noted(&record, &notes::about(&model, model.sizes()), args.format)
}

impl ParallelArgs {
    /// In which ways, each among how many ranks: those that cut heads stand next to each other.
    fn mesh(&self) -> Vec<MeshAxis> {
        let tensor = Strategy::Tensor { sequence: self.sequence, vocabulary: self.vocabulary };
        let zero = match self.zero.unwrap_or_default() {
            0 => Zero::None,
            1 | 2 => Zero::Gradients,
            _ => Zero::Parameters,
        };
        let ways = [
            (self.data, Strategy::Data(zero)),
            (self.experts, Strategy::Experts),
            (self.context, Strategy::Context),
            (self.tensor, tensor),
        ];
        let asked = ways.into_iter();
        asked.filter_map(|(ranks, strategy)| Some(MeshAxis { strategy, ranks: ranks? })).collect()
    }
}
