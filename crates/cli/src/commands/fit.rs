//! `opledger fit`: how many tokens fit in memory.

use std::cmp::Reverse;
use std::process::ExitCode;

use opledger_account::{AccountError, MemoryBudget, Model, Sweep};
use opledger_dims::{Binding, Integer};
use opledger_ir::{Elem, Kind, SizeRole};
use opledger_models::Request;
use opledger_report::{Fitted, FittedTokens, Intake, thousands};

use crate::args::FitArgs;
use crate::failure::Failure;
use crate::notes;
use crate::output;

pub(crate) fn execute(args: &FitArgs) -> Result<ExitCode, Failure> {
    let model = args.open()?;
    let given = args.fixed(&model)?;
    let elem = args.dtype.unwrap_or(model.storage());
    let cache = args.cache_dtype.unwrap_or(elem);
    let files = model.stored_weights();
    // A type that is asked for is that of the weights too.
    let stored: Option<(String, Integer)> = match (args.dtype, &files[..]) {
        (Some(_), _) => None,
        (None, []) => match model.typed_weights(&given)? {
            Some(bytes) => Some(("as the module has them".to_owned(), bytes)),
            None => {
                model.quantised_weights()?.map(|own| (format!("as {}", own.method), own.bytes()))
            }
        },
        (None, files) => {
            let bytes = files.iter().map(|kind| &kind.bytes).sum();
            Some(("as the files hold them".to_owned(), bytes))
        }
    };
    let (weights, stored) = stored.unzip();
    let of_elements = stored.is_none();
    let budget = MemoryBudget { bytes: args.memory.clone(), weights: stored, elem, cache };
    let mut fitted: Vec<Fitted> = Vec::new();
    for items in args.items(&model) {
        for reading in [Intake::OneByOne, Intake::AtOnce] {
            match model.fitting(&budget, &items, reading, &given) {
                Ok(most) => fitted.push(most),
                // What has no cache reads all at once.
                Err(AccountError::NoCache { .. }) if reading == Intake::OneByOne => {}
                Err(problem) => return Err(problem.into()),
            }
        }
    }
    let weights_alone = fitted.first().map(|most| most.weights.clone()).unwrap_or_default();
    let hint = (of_elements && weights_alone > budget.bytes)
        .then(|| narrower(elem, args.dtype.is_some(), &weights_alone, &budget.bytes));
    let fits = fitted.iter().any(|most| most.tokens > Integer::default());
    let record = FittedTokens {
        model: model.name().to_owned(),
        binding: given,
        memory: budget.bytes,
        weights: weights.unwrap_or_else(|| format!("as {}", elem.name())),
        dtype: elem.name(),
        cache_dtype: cache.name(),
        hint,
        fitted,
    };
    output::show_noted(&record, &notes::about(&model, model.sizes()), args.format)?;
    Ok(if fits { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// That weights alone do not fit, and the widest type in which they do.
fn narrower(elem: Elem, asked: bool, weights: &Integer, memory: &Integer) -> String {
    let bytes = |other: Elem| weights * other.bits() / elem.bits();
    let mut others: Vec<Elem> = Elem::ALL
        .into_iter()
        .filter(|other| other.kind() == Kind::Real && other.bits() < elem.bits())
        .collect();
    others.sort_by_key(|other| (Reverse(other.bits()), *other != Elem::Bf16));
    let said = if asked { "" } else { ", since nothing here says in which type they are stored" };
    let told = format!(
        "Weights are taken as {}{said}: {} bytes, more than {} alone.",
        elem.name(),
        thousands(weights),
        thousands(memory)
    );
    match others.into_iter().find(|other| bytes(*other) < *memory) {
        Some(other) => format!(
            "{told} --dtype {} takes {} bytes for them.",
            other.name(),
            thousands(&bytes(other))
        ),
        None => format!("{told} They do not fit in any type."),
    }
}

impl FitArgs {
    fn open(&self) -> Result<Model, Failure> {
        let latent = self.latent.unwrap_or_default();
        Ok(Model::open_for(&self.model, Request { latent, ..Request::default() })?)
    }

    /// The numbers of items to look at.
    fn items(&self, model: &Model) -> Vec<Integer> {
        let symbol = model.graph().size_of(SizeRole::Batch);
        let given = self.sizes.iter().find(|sweep| Some(&sweep.symbol) == symbol);
        given.map_or_else(|| vec![1.into()], |sweep| sweep.sizes.iter().collect())
    }

    /// The other sizes.
    fn fixed(&self, model: &Model) -> Result<Binding, Failure> {
        let graph = model.graph();
        let mut sizes = Binding::new();
        for Sweep { symbol, sizes: given } in &self.sizes {
            let role = |role| graph.size_of(role) == Some(symbol);
            if role(SizeRole::Batch) {
                continue;
            }
            if role(SizeRole::Tokens) || role(SizeRole::Past) {
                return Err(Failure::FittedSize { symbol: symbol.clone() });
            }
            match (given.at(0), given.len()) {
                (Some(size), 1) => drop(sizes.set(symbol, size)),
                _ => return Err(Failure::FittedSizes { symbol: symbol.clone() }),
            }
        }
        Ok(sizes)
    }
}
