//! `opledger derive`: the closed form of every count.

use opledger_dims::Poly;

use crate::account::account;
use crate::args::DeriveArgs;
use crate::failure::Failure;
use crate::output;
use crate::subject::{Needs, Subject};

pub(crate) fn execute(args: &DeriveArgs) -> Result<(), Failure> {
    let subject = Subject::new(&args.model, Needs::Nothing)?;
    let bind = |poly: &Poly| Ok(poly.bind(&subject.binding));
    let formula = |counts: &opledger_dims::Counts<Poly>| {
        counts.map(|poly| poly.bind(&subject.binding)).to_string()
    };
    output::show(&account(&subject, None, bind, formula)?, args.format)
}
