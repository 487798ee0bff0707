//! Modules of a crate import downward: no two of them import each other, straight or round about.
//!
//! A module is a file with its folder. It imports a neighbour of the same folder when a path in it
//! (`crate::…`, `super::…`, in a `use` or not) leads to what the neighbour defines; where the path goes
//! by way of a re-export, that is the file where the name is defined. A module and the one that
//! declares it may name each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::tokens::{Token, tokens};
use super::{root, sources};

/// Circles that stand: a crate and the neighbours.
const CIRCLES: &[(&str, &[&str])] = &[];

/// A path as it is written, from the module that names it.
type Written = Vec<String>;

/// The modules of a crate, by path from its root.
struct Modules(BTreeMap<Vec<String>, Module>);

#[derive(Default)]
struct Module {
    /// Every path that begins with `crate` or `super`, or in a `use`.
    named: Vec<Written>,
    /// What a `use` brings into the module, and from where; `*` for all of a module.
    uses: Vec<(String, Written)>,
}

impl Modules {
    fn read(src: &Path) -> Modules {
        let mut modules = BTreeMap::new();
        for file in sources(src) {
            let inside = file.strip_prefix(src).unwrap().with_extension("");
            let mut path: Vec<String> =
                inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            // Compiled for tests only.
            if path.iter().any(|part| ["proof", "tests"].contains(&part.as_str())) {
                continue;
            }
            if matches!(path.last().map(String::as_str), Some("lib" | "main" | "mod")) {
                path.pop();
            }
            modules.insert(path, Module::read(&tokens(&fs::read_to_string(file).unwrap())));
        }
        Modules(modules)
    }

    /// The module that defines what a path leads to; `None` outside the crate.
    fn resolve(&self, from: &[String], written: &[String], depth: usize) -> Option<Vec<String>> {
        if depth > 16 {
            return None;
        }
        let mut at = from.to_vec();
        let mut rest = written;
        match rest.first()?.as_str() {
            "crate" => (at, rest) = (Vec::new(), &rest[1..]),
            "self" => rest = &rest[1..],
            "super" => {}
            first => {
                let mut child = at.clone();
                child.push(first.to_owned());
                if !self.0.contains_key(&child) {
                    return None;
                }
            }
        }
        while rest.first().is_some_and(|first| first == "super") {
            at.pop();
            rest = &rest[1..];
        }
        while let Some((first, later)) = rest.split_first() {
            let mut child = at.clone();
            child.push(first.clone());
            if self.0.contains_key(&child) {
                (at, rest) = (child, later);
                continue;
            }
            let uses = &self.0.get(&at)?.uses;
            let brought = uses.iter().find(|(name, _)| name == first);
            return match brought {
                Some((_, target)) => self.resolve(&at, target, depth + 1).or(Some(at)),
                None => Some(at),
            };
        }
        Some(at)
    }

    /// The imports between the modules that one module declares.
    fn imports(&self, parent: &[String]) -> BTreeMap<&str, BTreeSet<String>> {
        let level = parent.len();
        let mut imports: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for (path, module) in &self.0 {
            if path.len() <= level || !path.starts_with(parent) {
                continue;
            }
            let own = imports.entry(path[level].as_str()).or_default();
            for written in &module.named {
                let target = self.resolve(path, written, 0);
                let target = target.filter(|to| to.len() > level && to.starts_with(parent));
                own.extend(target.map(|to| to[level].clone()).filter(|to| *to != path[level]));
            }
        }
        imports
    }

    /// Neighbours that reach each other.
    fn circles(&self) -> BTreeSet<BTreeSet<String>> {
        let mut circles = BTreeSet::new();
        for parent in self.0.keys() {
            let imports = self.imports(parent);
            let reached = |from: &str| {
                let mut reached = BTreeSet::new();
                let mut open = vec![from.to_owned()];
                while let Some(next) = open.pop() {
                    let further = imports.get(next.as_str()).into_iter().flatten();
                    open.extend(further.filter(|to| reached.insert((*to).clone())).cloned());
                }
                reached
            };
            let all: BTreeMap<&str, BTreeSet<String>> =
                imports.keys().map(|name| (*name, reached(name))).collect();
            let name = |own: &str| [parent, &[own.to_owned()][..]].concat().join("::");
            for (own, reached) in all.iter().filter(|(own, reached)| reached.contains(**own)) {
                let circle = reached.iter().filter(|to| all[to.as_str()].contains(*own));
                circles.insert(circle.map(|to| name(to)).collect());
            }
        }
        circles
    }
}

impl Module {
    fn read(tokens: &[Token]) -> Module {
        let mut module = Module::default();
        // Inside `mod x { … }`, `super` is the file.
        let (mut depth, mut inline) = (0, Vec::new());
        let mut at = 0;
        while at < tokens.len() {
            let token = &tokens[at];
            let opens = at > 1 && token.is("{") && tokens[at - 2].is("mod");
            depth += i32::from(token.is("{")) - i32::from(token.is("}"));
            if opens {
                inline.push(depth);
            } else if inline.last().is_some_and(|inside| depth < *inside) {
                inline.pop();
            }
            let begins = at == 0 || !(tokens[at - 1].is(":") || tokens[at - 1].is("("));
            let is_use = token.is("use");
            if is_use || begins && (token.is("crate") || token.is("super")) {
                let mut paths = Vec::new();
                at = tree(tokens, at + usize::from(is_use), &[], &mut paths);
                for (name, written) in paths {
                    let outside = written.iter().take_while(|part| *part == "super").count();
                    let written = written[outside.min(inline.len())..].to_vec();
                    if is_use && inline.is_empty() {
                        module.uses.push((name, written.clone()));
                    }
                    module.named.push(written);
                }
            } else {
                at += 1;
            }
        }
        module
    }
}

/// Reads a path or a tree of paths; each is given with the name that it brings. Returns what follows.
fn tree(
    tokens: &[Token],
    mut at: usize,
    before: &[String],
    paths: &mut Vec<(String, Written)>,
) -> usize {
    let mut path = before.to_vec();
    loop {
        match tokens.get(at) {
            Some(Token::Word(word)) => {
                path.push(word.clone());
                at += 1;
            }
            Some(token) if token.is("{") => {
                at += 1;
                while !tokens[at].is("}") {
                    at = tree(tokens, at, &path, paths);
                    at += usize::from(tokens[at].is(","));
                }
                return at + 1;
            }
            _ => {
                at += usize::from(tokens.get(at).is_some_and(|token| token.is("*")));
                break;
            }
        }
        if !(tokens.get(at).is_some_and(|t| t.is(":"))
            && tokens.get(at + 1).is_some_and(|t| t.is(":")))
        {
            break;
        }
        at += 2;
    }
    let mut name = path.last().cloned().unwrap_or_default();
    if tokens.get(at).is_some_and(|token| token.is("as")) {
        name = tokens[at + 1].word().unwrap_or("_").to_owned();
        at += 2;
    }
    paths.push((name, path));
    at
}

fn circles_of(name: &str) -> BTreeSet<BTreeSet<String>> {
    Modules::read(&root().join("crates").join(name).join("src")).circles()
}

#[test]
fn modules_import_no_circles() {
    let crates = fs::read_dir(root().join("crates")).unwrap();
    let mut found = BTreeSet::new();
    for name in crates.map(|entry| entry.unwrap().file_name().into_string().unwrap()) {
        let circles = circles_of(&name).into_iter();
        found.extend(circles.map(|circle| (name.clone(), circle.into_iter().collect::<Vec<_>>())));
    }
    let owned = |(name, circle): &(&str, &[&str])| {
        ((*name).to_owned(), circle.iter().map(|part| (*part).to_owned()).collect())
    };
    let standing: BTreeSet<(String, Vec<String>)> = CIRCLES.iter().map(owned).collect();
    let new: Vec<_> = found.difference(&standing).collect();
    assert!(new.is_empty(), "circles of imports: {new:#?}");
    let gone: Vec<_> = standing.difference(&found).collect();
    assert!(gone.is_empty(), "these circles are no more, take them off the list: {gone:?}");
}
