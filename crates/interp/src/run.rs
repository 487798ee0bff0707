//! A finished run.

use std::time::Duration;

use ndarray::ArrayD;
use opledger_dims::{Binding, Scalar};
use opledger_ir::{Kind, Value};
use opledger_tensor::Tensor;

use crate::{Ledger, Peak, RunError};

/// A finished run.
#[derive(Clone, Debug)]
pub struct Run<T> {
    /// The results of the graph, by name; of one inside a repetition there is one for each iteration,
    /// whose number stands in place of the `*` in its name.
    pub outputs: Vec<(String, Value<T>)>,
    /// What every node did.
    pub ledger: Ledger,
    /// The sizes of all symbols, those that followed from others and from the data included.
    pub binding: Binding,
    /// Wall-clock time of the computation, without drawing or reading the tensors fed.
    pub wall: Duration,
    /// The most that computed values needed, where the interpreter counts it.
    pub peak: Option<Peak>,
}

impl<T> Run<T> {
    /// The result of a name.
    ///
    /// # Errors
    /// When there is none of this name.
    pub fn value(&self, name: &str) -> Result<&Value<T>, RunError> {
        let found = self.outputs.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value).ok_or_else(|| {
            let known: Vec<&str> = self.outputs.iter().map(|(name, _)| name.as_str()).collect();
            RunError::OutputUnknown { name: name.to_owned(), known: known.join(", ") }
        })
    }

    /// A result that holds reals, as an `ndarray` array.
    ///
    /// # Errors
    /// When there is none of this name, or it holds whole numbers.
    pub fn output(&self, name: &str) -> Result<ArrayD<T>, RunError>
    where
        T: Clone,
    {
        let tensor = self.value(name)?.real().ok_or_else(|| kind(name, Kind::Whole));
        Ok(tensor?.view().to_owned())
    }

    /// A result that holds whole numbers, as an `ndarray` array.
    ///
    /// # Errors
    /// When there is none of this name, or it holds reals.
    pub fn whole_numbers(&self, name: &str) -> Result<ArrayD<i64>, RunError> {
        let tensor = self.value(name)?.index().ok_or_else(|| kind(name, Kind::Real));
        Ok(tensor?.view().to_owned())
    }

    /// A result that holds reals of any type, as `f64`.
    ///
    /// # Errors
    /// As [`Run::output`].
    pub fn output_f64(&self, name: &str) -> Result<Tensor<f64>, RunError>
    where
        T: Scalar,
    {
        let tensor = self.value(name)?.real().ok_or_else(|| kind(name, Kind::Whole));
        Ok(tensor?.map(|x| x.to_f64()))
    }
}

fn kind(name: &str, found: Kind) -> RunError {
    RunError::OutputKind { name: name.to_owned(), found }
}
