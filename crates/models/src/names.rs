//! Under which names a checkpoint has the parameters of a graph, and in what layout: what a family
//! says, and what a reader of files asks.

use opledger_ir::path_at;

/// A dotted name in which `*` stands for any number: `layers.*.norm.weight`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// The pattern that a text is.
    pub fn new(text: &str) -> Self {
        Pattern(text.to_owned())
    }

    /// Whether a name is of this form.
    pub fn matches(&self, name: &str) -> bool {
        self.numbers(name).is_some()
    }

    /// The numbers that a name has for each `*`, when it is of this form.
    fn numbers(&self, name: &str) -> Option<Vec<usize>> {
        let (mut pattern, mut name) = (self.0.split('.'), name.split('.'));
        let mut numbers = Vec::new();
        loop {
            match (pattern.next(), name.next()) {
                (None, None) => return Some(numbers),
                (Some("*"), Some(n)) => {
                    let number = n.parse::<usize>().ok().filter(|number| number.to_string() == n);
                    numbers.push(number?);
                }
                (Some(p), Some(n)) if p == n => {}
                _ => return None,
            }
        }
    }
}

/// The heads of BERT's pretraining, both of which published files have.
const HEADS: [&str; 2] = ["cls.predictions", "cls.seq_relationship"];

/// Whether a name stands in a scope.
fn is_below(name: &str, scope: &str) -> bool {
    name.strip_prefix(scope).is_some_and(|rest| rest.starts_with('.'))
}

/// How the names in files follow from the paths of a graph. Without any rule they are the same.
///
/// Where a rule's pattern of a file has `*`, it takes the numbers of the path in their order. Rules
/// are tried in the order they were given, then the path itself.
#[derive(Clone, Debug, Default)]
pub struct Names {
    prefixes: Vec<String>,
    /// What a scope is called in the graph and in files.
    scopes: Vec<[String; 2]>,
    rules: Vec<Rule>,
    transposed: Vec<Pattern>,
    each: Vec<Pattern>,
    ignored: Vec<Pattern>,
    ignored_scopes: Vec<String>,
    tied: Vec<(Pattern, String)>,
    sinusoids: Vec<Pattern>,
    pub(crate) pairs: Vec<Pattern>,
    pub(crate) raised: Vec<Pattern>,
}

#[derive(Clone, Debug)]
enum Rule {
    Renamed { graph: Pattern, file: Pattern },
    Stacked { graph: Pattern, file: Pattern },
    Packed { graph: Pattern, files: Vec<Pattern> },
    Joined { parts: Vec<Pattern>, file: Pattern, interleaved: bool },
}

/// Where a parameter may be found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The names of the tensors, outermost first.
    pub files: Vec<String>,
    /// Whether each of them is one entry of the parameter's outermost axis.
    pub stacked: bool,
    /// The paths of the parameters that one tensor has along its outermost axis; empty when it is
    /// one parameter's alone.
    pub parts: Vec<String>,
    /// Whether the parts take turns: so many entries of each, again and again.
    pub interleaved: bool,
}

impl Names {
    /// Files may have this prefix before every name, or lack it: `bert.`.
    #[must_use]
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.prefixes.push(prefix.to_owned());
        self
    }

    /// Files may have this scope, `model.language_model`, where paths have another, `model`.
    #[must_use]
    pub fn scope(mut self, graph: &str, file: &str) -> Self {
        self.scopes.push([format!("{graph}."), format!("{file}.")]);
        self
    }

    /// A parameter may have another name in files.
    #[must_use]
    pub fn rename(mut self, graph: &str, file: &str) -> Self {
        let (graph, file) = (Pattern::new(graph), Pattern::new(file));
        self.rules.push(Rule::Renamed { graph, file });
        self
    }

    /// Files hold the matrix of a parameter, `[out…, in…]` in the graph, as `[in, out]`.
    #[must_use]
    pub fn transpose(mut self, graph: &str) -> Self {
        self.transposed.push(Pattern::new(graph));
        self
    }

    /// A tensor has the outermost axis of a parameter outermost, too, and what is said of its layout
    /// otherwise holds within each entry.
    #[must_use]
    pub fn within_each(mut self, graph: &str) -> Self {
        self.each.push(Pattern::new(graph));
        self
    }

    /// Files hold each entry of a parameter's outermost axis as a tensor; its number is the last `*`
    /// of `file`, which the path has not: `experts.w1` and `experts.*.w1`.
    #[must_use]
    pub fn stack(mut self, graph: &str, file: &str) -> Self {
        let (graph, file) = (Pattern::new(graph), Pattern::new(file));
        self.rules.push(Rule::Stacked { graph, file });
        self
    }

    /// Files hold each entry of a parameter's outermost axis as a tensor of its own name, in this order:
    /// `qkv` and `query`, `key`, `value`.
    #[must_use]
    pub fn pack(mut self, graph: &str, files: &[&str]) -> Self {
        let files = files.iter().copied().map(Pattern::new).collect();
        self.rules.push(Rule::Packed { graph: Pattern::new(graph), files });
        self
    }

    /// Files hold several parameters as one tensor, one after another along its outermost axis (of a
    /// transposed one, the axis of outputs).
    #[must_use]
    pub fn join(self, graph: &[&str], file: &str) -> Self {
        self.join_parts(graph, file, false)
    }

    /// Files hold several parameters as one tensor in which they take turns, head by head: for each
    /// entry of the shortest outermost axis, the share that each parameter has in it. Of queries, keys
    /// and values with as many heads, a head of each (GPT-NeoX); with fewer heads of keys and values,
    /// all query heads of a group, then its key head, then its value head (Falcon).
    #[must_use]
    pub fn interleave(self, graph: &[&str], file: &str) -> Self {
        self.join_parts(graph, file, true)
    }

    fn join_parts(mut self, graph: &[&str], file: &str, interleaved: bool) -> Self {
        let parts = graph.iter().copied().map(Pattern::new).collect();
        self.rules.push(Rule::Joined { parts, file: Pattern::new(file), interleaved });
        self
    }

    /// Files may hold tensors of these names, which no parameter is read from.
    #[must_use]
    pub fn ignore(mut self, file: &str) -> Self {
        self.ignored.push(Pattern::new(file));
        self
    }

    /// Files may hold tensors below this scope, which no parameter is read from.
    #[must_use]
    pub fn ignore_scope(mut self, scope: &str) -> Self {
        self.ignored_scopes.push(scope.to_owned());
        self
    }

    /// Whether a tensor is of a head that shares its scope with others, of which a model may have some.
    pub fn is_of_a_head(&self, file: &str) -> bool {
        let names = self.spellings(file);
        names.iter().any(|name| HEADS.iter().any(|head| is_below(name, head)))
    }

    /// A name without the prefixes that files may have or lack.
    pub fn bare<'n>(&self, name: &'n str) -> &'n str {
        self.prefixes.iter().find_map(|prefix| name.strip_prefix(&**prefix)).unwrap_or(name)
    }

    /// Files may hold a copy of a parameter under this name, beside it or in its stead. A copy beside
    /// it has the same elements.
    #[must_use]
    pub fn tie(mut self, file: &str, graph: &str) -> Self {
        self.tied.push((Pattern::new(file), graph.to_owned()));
        self
    }

    /// Files may leave out a table of positions, since its elements are known: in row p, at i in the first
    /// half of c elements sin(p / 10000^(2i/c)), in the second half the cosines.
    #[must_use]
    pub fn sinusoids(mut self, graph: &str) -> Self {
        self.sinusoids.push(Pattern::new(graph));
        self
    }

    /// The places where a parameter may be, those of rules first. `outermost` is how many entries its
    /// outermost axis has.
    pub fn places(&self, path: &str, outermost: usize) -> Vec<Place> {
        let of = |files: Vec<String>| Place { files, ..Place::default() };
        let alone = |name: String| of(vec![name]);
        let mut places = Vec::new();
        for rule in &self.rules {
            places.extend(match rule {
                Rule::Renamed { graph, file } => {
                    graph.numbers(path).map(|numbers| alone(path_at(&file.0, &numbers)))
                }
                Rule::Stacked { graph, file } => graph.numbers(path).map(|numbers| {
                    let name = |i| path_at(&file.0, &[&numbers[..], &[i]].concat());
                    let files = (0..outermost).map(name).collect();
                    Place { stacked: true, ..of(files) }
                }),
                Rule::Packed { graph, files } => {
                    let numbers = graph.numbers(path).filter(|_| files.len() == outermost);
                    numbers.map(|numbers| {
                        let files = files.iter().map(|file| path_at(&file.0, &numbers)).collect();
                        Place { stacked: true, ..of(files) }
                    })
                }
                Rule::Joined { parts, file, interleaved } => {
                    parts.iter().find_map(|part| part.numbers(path)).map(|numbers| Place {
                        parts: parts.iter().map(|part| path_at(&part.0, &numbers)).collect(),
                        interleaved: *interleaved,
                        ..alone(path_at(&file.0, &numbers))
                    })
                }
            });
        }
        places.push(alone(path.to_owned()));
        let copies = self.tied.iter().filter(|(_, graph)| graph == path);
        places.extend(copies.map(|(file, _)| alone(file.0.clone())));
        places
    }

    /// A name with and without the prefixes, and in scopes of other names, itself first.
    pub fn spellings(&self, name: &str) -> Vec<String> {
        let prefixed = self.prefixes.iter().map(|prefix| format!("{prefix}{name}"));
        let stripped = self.prefixes.iter().filter_map(|prefix| name.strip_prefix(&**prefix));
        let own = std::iter::once(name.to_owned());
        let moved = self.scopes.iter().flat_map(|[graph, file]| {
            let (of_graph, of_file) = (name.strip_prefix(&**graph), name.strip_prefix(&**file));
            let of_graph = of_graph.map(|rest| format!("{file}{rest}"));
            of_graph.into_iter().chain(of_file.map(|rest| format!("{graph}{rest}")))
        });
        own.chain(prefixed).chain(stripped.map(str::to_owned)).chain(moved).collect()
    }

    /// Whether files hold the matrix of a parameter as `[in, out]`.
    pub fn is_transposed(&self, path: &str) -> bool {
        self.transposed.iter().any(|pattern| pattern.matches(path))
    }

    /// Whether files may leave out a parameter, whose elements are sines and cosines.
    pub fn is_sinusoids(&self, path: &str) -> bool {
        self.sinusoids.iter().any(|pattern| pattern.matches(path))
    }

    /// Whether the layout of a parameter is that of each entry of its outermost axis.
    pub fn is_within_each(&self, path: &str) -> bool {
        self.each.iter().any(|pattern| pattern.matches(path))
    }

    /// Whether files may hold a tensor of this name that no parameter is read from.
    pub fn is_ignored(&self, file: &str) -> bool {
        let names = self.spellings(file);
        names.iter().any(|name| {
            self.ignored.iter().any(|pattern| pattern.matches(name))
                || self.ignored_scopes.iter().any(|scope| is_below(name, scope))
        })
    }

    /// The parameter that a tensor is a copy of.
    pub fn original(&self, file: &str) -> Option<&str> {
        let names = self.spellings(file);
        let matching = |(pattern, _): &&(Pattern, String)| names.iter().any(|n| pattern.matches(n));
        self.tied.iter().find(matching).map(|(_, graph)| &**graph)
    }
}

/// Names where files hold a map of queries, keys and values as one tensor, head by head, with a bias or
/// without: `whole` is its path, in which the parts stand.
pub(crate) fn fused_heads(names: Names, whole: &str) -> Names {
    ["weight", "bias"].into_iter().fold(names, |names, kind| {
        let parts = ["q", "k", "v"].map(|part| format!("{whole}.{part}.{kind}"));
        names.interleave(&parts.each_ref().map(String::as_str), &format!("{whole}.{kind}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_parameter_takes_its_tensors_in_their_order() {
        let names = Names::default().pack("layers.*.qkv", &["layers.*.q", "layers.*.k"]);
        let files = |path, outermost| names.places(path, outermost).swap_remove(0).files;
        assert_eq!(files("layers.7.qkv", 2), ["layers.7.q", "layers.7.k"]);
        // Another number of entries is not what the rule is for.
        assert_eq!(files("layers.7.qkv", 3), ["layers.7.qkv"]);
    }
}
