//! Formulas, paths, costs, lists and structures, each once.

use std::collections::HashMap;
use std::hash::Hash;

use opledger_dims::Poly;
use opledger_report::{FormulaId, PageCost, PageExpression, PageStructure, PageTraining};

use crate::emitted::SizeExpression;

/// What a page holds of each once.
#[derive(Default)]
pub(super) struct SharedTexts {
    pub(super) formulas: Vec<String>,
    pub(super) paths: Vec<String>,
    pub(super) costs: Vec<PageCost>,
    pub(super) lists: Vec<Vec<usize>>,
    pub(super) structures: Vec<PageStructure>,
    pub(super) trainings: Vec<PageTraining>,
    formula_at: HashMap<String, usize>,
    path_at: HashMap<String, usize>,
    cost_at: HashMap<PageCost, usize>,
    list_at: HashMap<Vec<usize>, usize>,
    structure_at: HashMap<PageStructure, usize>,
    training_at: HashMap<PageTraining, usize>,
}

impl SharedTexts {
    pub(super) fn formula(&mut self, poly: &Poly) -> FormulaId {
        once(poly.to_string(), &mut self.formulas, &mut self.formula_at)
    }

    pub(super) fn path(&mut self, path: String) -> usize {
        once(path, &mut self.paths, &mut self.path_at)
    }

    pub(super) fn cost(&mut self, cost: PageCost) -> usize {
        once(cost, &mut self.costs, &mut self.cost_at)
    }

    pub(super) fn list(&mut self, list: Vec<usize>) -> usize {
        once(list, &mut self.lists, &mut self.list_at)
    }

    pub(super) fn structure(&mut self, structure: PageStructure) -> usize {
        once(structure, &mut self.structures, &mut self.structure_at)
    }

    pub(super) fn training(&mut self, training: PageTraining) -> usize {
        once(training, &mut self.trainings, &mut self.training_at)
    }

    pub(super) fn expression(&mut self, own: &SizeExpression) -> PageExpression {
        let (name, a, b) = match own {
            SizeExpression::Poly(poly) => return PageExpression::Formula(self.formula(poly)),
            SizeExpression::Add(a, b) => ("add", a, b),
            SizeExpression::Sub(a, b) => ("sub", a, b),
            SizeExpression::Mul(a, b) => ("mul", a, b),
            SizeExpression::Floor(a, b) => ("floor", a, b),
            SizeExpression::Min(a, b) => ("min", a, b),
            SizeExpression::Max(a, b) => ("max", a, b),
            SizeExpression::Gcd(a, b) => ("gcd", a, b),
        };
        PageExpression::Both(name, self.expression(a).into(), self.expression(b).into())
    }
}

fn once<T: Clone + Eq + Hash>(own: T, all: &mut Vec<T>, at: &mut HashMap<T, usize>) -> usize {
    *at.entry(own).or_insert_with_key(|own| {
        all.push(own.clone());
        all.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stands_once_at_its_place() {
        let mut texts = SharedTexts::default();
        let places = ["a", "b", "a", "c"].map(|path| texts.path(path.to_owned()));
        assert_eq!(
            (places, &texts.paths[..]),
            ([0, 1, 0, 2], &["a", "b", "c"].map(str::to_owned)[..])
        );
        let places = [vec![1], vec![], vec![1]].map(|list| texts.list(list));
        assert_eq!((places, texts.lists.len()), ([0, 1, 0], 2));
        let places = ["n", "b·n", "n"].map(|formula| texts.formula(&formula.parse().unwrap()));
        assert_eq!(
            (places, &texts.formulas[..]),
            ([0, 1, 0], &["n", "b·n"].map(str::to_owned)[..])
        );
    }
}
