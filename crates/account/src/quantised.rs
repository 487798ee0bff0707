//! Weights as a configuration says that they are quantised.

use std::collections::BTreeMap;

use opledger_dims::Integer;
use opledger_ir::ops::{Draw, Source};
use opledger_ir::{Module, ModuleClass, Node, Op};
use opledger_models::{OfExperts, Quantisation, QuantisationMethod};

use crate::memory::bytes;
use crate::{AccountError, Model, ModelReference};

/// The bytes of quantised weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuantisedWeights {
    /// How matrices are quantised.
    pub method: QuantisationMethod,
    /// The elements of the matrices that are.
    pub elements: Integer,
    /// The bytes of these, scales and zeros included.
    pub matrices: Integer,
    /// The bytes of all other parameters, in the type of the configuration.
    pub others: Integer,
}

impl QuantisedWeights {
    /// All bytes.
    pub fn bytes(&self) -> Integer {
        &self.matrices + &self.others
    }
}

/// The rows and columns of a linear map's matrix.
#[derive(Default)]
struct Matrix {
    outs: Integer,
    ins: Integer,
}

impl Model {
    /// The bytes of its weights where its configuration says that they are quantised: the matrices of
    /// linear maps and experts, but those that the configuration leaves out; none where it says nothing.
    ///
    /// # Errors
    /// When it is not known how many bytes weights take that are quantised so, or a parameter has a size
    /// that no number was given for.
    pub fn quantised_weights(&self) -> Result<Option<QuantisedWeights>, AccountError> {
        let ModelReference::Config { config, .. } = self.reference() else { return Ok(None) };
        let unknown = |method: String| AccountError::Quantised {
            model: self.name().to_owned(),
            method: opledger_dims::escaped(&method),
        };
        match config.quantisation().map_err(unknown)? {
            Some(quantisation) => self.quantised_by(&quantisation).map(Some),
            None => Ok(None),
        }
    }

    fn quantised_by(&self, by: &Quantisation) -> Result<QuantisedWeights, AccountError> {
        let graph = self.graph();
        let sizes = graph.complete(self.sizes())?;
        // Maps that the library stores as one matrix are quantised as one.
        let mut matrices: BTreeMap<String, Matrix> = BTreeMap::new();
        let (mut experts, mut others) = (Vec::new(), Integer::default());
        let mut quantised = Integer::default();
        for node in graph.nodes() {
            let Op::Source(Source::Param { draw, .. }) = &node.op else { continue };
            let elements = node.shape.elements().at(&sizes)?;
            let linear = match draw {
                Draw::Weight { fan_in } => self.linear(node).map(|of| (of, fan_in)),
                Draw::Gain | Draw::Shift | Draw::Table => None,
            };
            let Some(((kind, module), fan_in)) = linear else {
                let times = graph.multiplicity(node).at(&sizes)?;
                others += bytes(elements, self.storage()) * times;
                continue;
            };
            let ins = fan_in.at(&sizes)?;
            for module in graph.instances_at(node, &module.path, &sizes)? {
                let quantised_here = match (by.method.of_experts(), kind) {
                    (OfExperts::Alone, Linear::Whole) => false,
                    (OfExperts::Alone, Linear::Experts) => true,
                    (OfExperts::Unknown, Linear::Experts) => {
                        let (model, method) = (self.name().to_owned(), by.method.to_string());
                        let method = format!("{method}, of experts");
                        return Err(AccountError::Quantised { model, method });
                    }
                    (OfExperts::Too, _) | (OfExperts::Unknown, Linear::Whole) => {
                        by.applies_to(&module, node.repeat.is_some())
                    }
                };
                if !quantised_here {
                    others += bytes(elements.clone(), self.storage());
                    continue;
                }
                quantised += &elements;
                match kind {
                    Linear::Experts => {
                        let all = node.shape.axes[0].size.at(&sizes)?;
                        let outs = &elements / (&ins * &all);
                        experts.push((all, Matrix { outs, ins: ins.clone() }));
                    }
                    Linear::Whole => {
                        let matrix = matrices.entry(module).or_default();
                        matrix.outs += &elements / &ins;
                        matrix.ins = ins.clone();
                    }
                }
            }
        }
        let of = |matrix: &Matrix| by.method.matrix_bytes(&matrix.outs, &matrix.ins);
        let matrices: Integer = matrices.values().map(of).sum();
        let experts: Integer = experts.iter().map(|(all, one)| all * of(one)).sum();
        let matrices = matrices + experts;
        Ok(QuantisedWeights { method: by.method, elements: quantised, matrices, others })
    }

    /// Which linear map a parameter is of, if it is of one, and the module that keeps its matrix.
    fn linear(&self, node: &Node) -> Option<(Linear, &Module)> {
        let mut around = self.graph().modules_around(node).map(|(_, module)| module);
        let own = around.next()?;
        match own.class {
            ModuleClass::Linear(_) => match around.next() {
                Some(whole) if matches!(whole.class, ModuleClass::FusedLinear(_)) => {
                    Some((Linear::Whole, whole))
                }
                _ => Some((Linear::Whole, own)),
            },
            ModuleClass::Experts => Some((Linear::Experts, own)),
            _ => None,
        }
    }
}

/// How a library keeps the matrix of a linear map.
#[derive(Clone, Copy)]
enum Linear {
    /// By itself, or with others as one map.
    Whole,
    /// With those of the other experts.
    Experts,
}
