//! A graph cut among ranks: how every value lies, and what crosses.

use std::collections::BTreeMap;

use num_traits::Zero;
use opledger_dims::{Binding, EvalError, Integer, Poly};
use opledger_ir::{Graph, Var};

use crate::error::PartitionError;
use crate::placement::{Placement, Placements};
use crate::strategy::{MeshAxis, Seeds, Strategy};
use crate::threads::{Threads, is_param};
use crate::transfer::{Collective, Transfer};

/// A graph cut among ranks, which stand in a mesh: along each of its axes in one way.
#[derive(Debug)]
pub struct Partition<'g> {
    pub(crate) graph: &'g Graph,
    pub(crate) mesh: Vec<MeshAxis>,
    /// How each operand of each node is read.
    pub(crate) wanted: Vec<Vec<Placements>>,
    /// How the results of each node lie.
    pub(crate) made: Vec<Vec<Placements>>,
    pub(crate) transfers: Vec<Transfer>,
    pub(crate) threads: Threads,
    /// What is cut along each axis of the mesh.
    pub(crate) seeds: Vec<Seeds>,
    /// Values that iterations only add to, by axes of the mesh: they lie as what is added.
    pub(crate) added: BTreeMap<(Var, usize), Placement>,
    /// How results lie when they are given.
    pub(crate) results: BTreeMap<Var, Placements>,
}

impl<'g> Partition<'g> {
    /// Cuts a graph in one way.
    ///
    /// # Errors
    /// As [`Partition::over`].
    pub fn new(graph: &'g Graph, strategy: Strategy, ranks: u64) -> Result<Self, PartitionError> {
        Partition::over(graph, &[MeshAxis { strategy, ranks }])
    }

    /// Cuts a graph in several ways at once, each among the ranks of an axis of a mesh: a rank has a place along
    /// each, the last of which runs fastest.
    ///
    /// # Errors
    /// When an axis has fewer than two ranks, there is nothing that could be cut so, or two ways cut a value at
    /// the same axis.
    pub fn over(graph: &'g Graph, mesh: &[MeshAxis]) -> Result<Self, PartitionError> {
        if let Some(axis) = mesh.iter().find(|axis| axis.ranks < 2) {
            return Err(PartitionError::Ranks { ranks: axis.ranks });
        }
        let threads = Threads::of(graph);
        let seeds = mesh.iter().map(|axis| axis.strategy.seeds(graph, &threads));
        let seeds = seeds.collect::<Result<Vec<_>, _>>()?;
        let (wanted, made, transfers) = (Vec::new(), Vec::new(), Vec::new());
        let (added, results) = (BTreeMap::new(), BTreeMap::new());
        let mut cut = Partition {
            graph,
            mesh: mesh.to_vec(),
            wanted,
            made,
            transfers,
            threads,
            seeds,
            added,
            results,
        };
        cut.plan();
        cut.cut_once()?;
        Ok(cut)
    }

    /// The graph.
    pub fn graph(&self) -> &'g Graph {
        self.graph
    }

    /// The mesh.
    pub fn mesh(&self) -> &[MeshAxis] {
        &self.mesh
    }

    /// How many ranks there are.
    pub fn ranks(&self) -> u64 {
        self.mesh.iter().map(|axis| axis.ranks).product()
    }

    /// How a value lies where it is made, along each axis of the mesh.
    pub fn layout(&self, var: Var) -> Placements {
        let made = self.made.get(var.index()).and_then(|results| results.get(var.result()));
        made.cloned().unwrap_or_else(|| Placements::all(Placement::Whole, &self.mesh))
    }

    /// What is brought to lie in another way, in the order of the nodes that read it.
    pub fn transfers(&self) -> &[Transfer] {
        &self.transfers
    }

    /// What crosses between ranks: of the transfers those that are a collective.
    pub fn collectives(&self) -> impl Iterator<Item = (&Transfer, Collective)> {
        self.transfers.iter().filter_map(|transfer| Some((transfer, transfer.collective?)))
    }

    /// Bytes that one rank sends in a run.
    pub fn sent(&self) -> Poly {
        (0..self.mesh.len()).map(|axis| self.sent_along(axis)).sum()
    }

    /// Bytes that one rank sends along an axis of the mesh.
    pub fn sent_along(&self, axis: usize) -> Poly {
        let own = self.transfers.iter().filter(|transfer| transfer.along == axis);
        own.map(|transfer| transfer.sent() * &transfer.times).sum()
    }

    /// Bytes of the parameters that a rank holds.
    pub fn weights(&self) -> Poly {
        let params = self.graph.vars().filter(|var| is_param(self.graph, *var));
        params.map(|var| self.held(var)).sum()
    }

    /// Bytes of all parameters.
    pub fn whole_weights(&self) -> Poly {
        let params = self.graph.vars().filter(|var| is_param(self.graph, *var));
        params.map(|var| self.bytes(var, self.graph.shape(var).elements())).sum()
    }

    /// Bytes that a rank holds of a value, of all its iterations, as it is made.
    pub fn held(&self, var: Var) -> Poly {
        self.bytes(var, self.layout(var).elements(self.graph.shape(var), &self.mesh))
    }

    /// The same of a result, as it is given.
    pub fn given(&self, var: Var) -> Poly {
        let lies = self.results.get(&var).cloned().unwrap_or_else(|| self.layout(var));
        self.bytes(var, lies.elements(self.graph.shape(var), &self.mesh))
    }

    fn bytes(&self, var: Var, elements: Poly) -> Poly {
        let node = self.graph.node(var);
        let bits = elements * node.shape.elem.bits() as i64 * self.graph.multiplicity(node);
        self.graph.fold(&bits.ratio(1, 8))
    }

    /// Checks that the ranks divide every axis that is cut, and every buffer that goes round in parts, as far as
    /// their sizes are given.
    ///
    /// # Errors
    /// The first size that they do not divide, with both sides.
    pub fn check(&self, binding: &Binding) -> Result<(), PartitionError> {
        for var in self.graph.vars().flat_map(|var| self.graph.results(var)) {
            let layout = self.layout(var);
            for (along, placement) in layout.iter().enumerate() {
                if let Placement::Cut(axis) = placement {
                    self.divides(along, var, *axis, binding)?;
                }
            }
        }
        for transfer in &self.transfers {
            let ends = [transfer.from(), transfer.to];
            for axis in ends.into_iter().filter_map(Placement::axis) {
                self.divides(transfer.along, transfer.value, axis, binding)?;
            }
            let flat = ends.contains(&Placement::Flat);
            if flat || transfer.collective == Some(Collective::AllReduce) {
                let others = transfer.lies.with(transfer.along, Placement::Whole);
                let elements = others.elements(self.graph.shape(transfer.value), &self.mesh);
                self.divided(transfer.ranks, transfer.value, &elements, "elements", binding)?;
            }
        }
        Ok(())
    }

    fn divides(
        &self,
        along: usize,
        var: Var,
        axis: usize,
        binding: &Binding,
    ) -> Result<(), PartitionError> {
        let counts = &self.seeds[along].counts;
        let what = counts.get(&self.threads.at(var, axis)).copied().unwrap_or("places");
        let size = &self.graph.shape(var).axes[axis].size;
        self.divided(self.mesh[along].ranks, var, size, what, binding)
    }

    fn divided(
        &self,
        ranks: u64,
        var: Var,
        formula: &Poly,
        what: &str,
        binding: &Binding,
    ) -> Result<(), PartitionError> {
        let size = match formula.at(binding) {
            Ok(size) => size,
            // What is free is not held against anything.
            Err(EvalError::Unbound(_)) => return Ok(()),
            Err(problem) => return Err(problem.into()),
        };
        if (&size % ranks).is_zero() {
            return Ok(());
        }
        let (formula, path) = (formula.clone(), self.graph.node(var).path.clone());
        Err(PartitionError::Uneven { ranks, size, what: what.to_owned(), formula, path })
    }

    /// Refuses a mesh in which two axes cut a value at the same place.
    fn cut_once(&self) -> Result<(), PartitionError> {
        for (node, layouts) in self.graph.nodes().iter().zip(&self.made) {
            for layout in layouts {
                let mut axes: Vec<usize> =
                    layout.iter().filter_map(|placement| placement.axis()).collect();
                let all = axes.len();
                axes.sort_unstable();
                axes.dedup();
                if axes.len() < all {
                    return Err(PartitionError::Twice { path: node.path.clone() });
                }
            }
        }
        Ok(())
    }

    /// The sum of what one rank sends, at sizes.
    ///
    /// # Errors
    /// As [`Partition::check`].
    pub fn sent_at(&self, binding: &Binding) -> Result<Integer, PartitionError> {
        self.check(binding)?;
        Ok(self.sent().at(binding)?)
    }
}
