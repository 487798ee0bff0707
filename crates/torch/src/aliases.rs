//! Modules that a program has under two names: what tools that walk the names count twice.

use std::collections::{BTreeMap, BTreeSet};

use opledger_conventions::ModuleNames;

use crate::archive::Payloads;
use crate::classes::stack;
use crate::schema::ExportedProgram;

/// The names of modules, by their paths.
#[derive(Debug)]
pub(crate) enum Aliases {
    /// How many, of modules that have several.
    Known(BTreeMap<String, u64>),
    /// Another, of modules that may have several: one under another parent, of a module all of whose parameters
    /// are the same, and whose class is not known to be another.
    Supposed(BTreeMap<String, String>),
}

impl Default for Aliases {
    fn default() -> Self {
        Aliases::Supposed(BTreeMap::new())
    }
}

impl Aliases {
    pub(crate) fn of(
        program: &ExportedProgram,
        payloads: &Payloads,
        tied: &BTreeMap<String, String>,
    ) -> Aliases {
        if tied.is_empty() {
            return Aliases::default();
        }
        let first = |name: &String| tied.get(name).unwrap_or(name).clone();
        // The parameters of each module, by their names below it.
        let mut modules: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
        for (name, _) in payloads.iter().filter(|(_, (_, meta))| meta.is_param) {
            for (at, _) in name.match_indices('.') {
                modules.entry(&name[..at]).or_default().insert(&name[at + 1..], first(name));
            }
        }
        let nodes = program.graph_module.graph.nodes.iter();
        let classes: BTreeMap<&str, &str> =
            nodes.flat_map(stack).map(|call| (call.path, call.class)).collect();
        let mut equal: BTreeMap<&BTreeMap<&str, String>, Vec<&str>> = BTreeMap::new();
        for (path, parameters) in &modules {
            equal.entry(parameters).or_default().push(path);
        }
        let is_one = |a: &str, b: &str| {
            let [a, b] = [a, b].map(|path| classes.get(path));
            a.is_none() || b.is_none() || a == b
        };
        let pairs: BTreeSet<(&str, &str)> = equal
            .values()
            .flat_map(|paths| paths.iter().flat_map(|a| paths.iter().map(|b| (*a, *b))))
            .filter(|(a, b)| a != b && is_one(a, b))
            .collect();
        // A tool meets a module of one parent once, and what is below it as often as itself.
        let counted = pairs.iter().filter(|(a, b)| {
            let ([above_a, own_a], [above_b, own_b]) = (parts(a), parts(b));
            above_a != above_b && !(own_a == own_b && pairs.contains(&(above_a, above_b)))
        });
        Aliases::Supposed(counted.map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect())
    }

    /// The names of a module.
    pub(crate) fn of_path(&self, path: &str) -> ModuleNames {
        match self {
            Aliases::Known(names) => ModuleNames::Known(names.get(path).copied().unwrap_or(1)),
            Aliases::Supposed(others) => {
                let ends = path.match_indices('.').map(|(at, _)| at).chain([path.len()]);
                let other = ends.filter_map(|end| others.get(&path[..end])).next();
                other.map_or_else(ModuleNames::default, |other| ModuleNames::Unsure {
                    other: other.clone(),
                })
            }
        }
    }
}

/// The parent of a module, and its name there.
fn parts(path: &str) -> [&str; 2] {
    path.rsplit_once('.').map_or(["", path], |(above, own)| [above, own])
}
