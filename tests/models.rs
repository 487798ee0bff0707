//! Models against the `transformers` library: the checkpoints that `golden/models.py` wrote, read from
//! their configuration and run from their weights by the oracle and by the kernels.

use std::path::{Path, PathBuf};

use opledger_dims::{Binding, Class, Integer, Poly, Quantity};
use opledger_execute::Generator;
use opledger_interp::{Fast, Feeds, Interpreter, Oracle, Prepared, Quiet, Session, compare};
use opledger_ir::{Graph, ModuleClass, Op, Part, Role, SizeRole, Value};
use opledger_models::{
    Config, LatentForm, Logits, ModelGraph, Request, families, families_with_text, preset,
};
use opledger_tensor::Tensor;
use opledger_weights::{Checkpoint, read_config};
use safetensors::{Dtype, SafeTensors};

use crate::theorem::memory;

/// The greatest difference from the library's results in double precision.
const SINGLE: f64 = 1e-4;
/// The same of the oracle in double precision: the library and this differ in the order of sums only.
const DOUBLE: f64 = 1e-10;

/// A checkpoint and what the library made of it.
pub(crate) struct Case {
    pub(crate) name: String,
    folder: PathBuf,
    config: Config,
    inputs: Vec<(String, Tensor<i64>)>,
    /// Images and sounds.
    reals: Vec<(String, Tensor<f32>)>,
    expected: Vec<(String, Tensor<f64>)>,
    generated: Vec<i64>,
    metadata: std::collections::HashMap<String, String>,
}

fn numbers<T, const N: usize>(bytes: &[u8], read: fn([u8; N]) -> T) -> Vec<T> {
    bytes.chunks_exact(N).map(|chunk| read(chunk.try_into().unwrap())).collect()
}

fn read(folder: &Path) -> Case {
    let bytes = std::fs::read(folder.join("io.safetensors")).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let mut case = Case {
        name: folder.file_name().unwrap().to_string_lossy().into_owned(),
        folder: folder.to_owned(),
        config: read_config(folder).unwrap(),
        inputs: Vec::new(),
        reals: Vec::new(),
        expected: Vec::new(),
        generated: Vec::new(),
        metadata: header.metadata().clone().unwrap(),
    };
    for (name, view) in SafeTensors::deserialize(&bytes).unwrap().iter() {
        let (shape, data) = (view.shape(), view.data());
        match (view.dtype(), name.strip_prefix("expected.")) {
            (Dtype::I64, Some("generated")) => case.generated = numbers(data, i64::from_le_bytes),
            (Dtype::F64, Some(output)) => {
                let tensor = Tensor::new(shape, numbers(data, f64::from_le_bytes)).unwrap();
                case.expected.push((output.to_owned(), tensor));
            }
            (Dtype::F32, None) => {
                let tensor = Tensor::new(shape, numbers(data, f32::from_le_bytes)).unwrap();
                case.reals.push((name.to_owned(), tensor));
            }
            (Dtype::I64, None) => {
                let tensor = Tensor::new(shape, numbers(data, i64::from_le_bytes)).unwrap();
                case.inputs.push((name.to_owned(), tensor));
            }
            other => panic!("{}: {name} is {other:?}", folder.display()),
        }
    }
    case
}

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(name)
}

pub(crate) fn cases() -> Vec<Case> {
    let folder = golden("models");
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let family = |folder: &PathBuf| {
        let text = std::fs::read(folder.join("config.json")).unwrap();
        let config: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let family = config["model_type"].as_str().unwrap().to_owned();
        families().chain(families_with_text()).any(|known| known == family)
    };
    folders.iter().filter(|folder| family(folder)).map(|folder| read(folder)).collect()
}

impl Case {
    pub(crate) fn input(&self, name: &str) -> Option<&Tensor<i64>> {
        self.inputs.iter().find(|(n, _)| n == name).map(|(_, tensor)| tensor)
    }

    pub(crate) fn family(&self) -> String {
        let text = std::fs::read(self.folder.join("config.json")).unwrap();
        let config: serde_json::Value = serde_json::from_slice(&text).unwrap();
        config["model_type"].as_str().unwrap().to_owned()
    }

    /// How many patches a row of a text is made of, down as across.
    fn patches_of_a_row(&self) -> i64 {
        let text = std::fs::read(self.folder.join("config.json")).unwrap();
        let config: serde_json::Value = serde_json::from_slice(&text).unwrap();
        config["vision_config"]["spatial_merge_size"].as_i64().unwrap()
    }

    fn number(&self, key: &str) -> Integer {
        self.metadata[key].parse().unwrap()
    }

    pub(crate) fn model(&self, request: &Request) -> ModelGraph {
        let model = self.config.model(&self.name, request).unwrap_or_else(|e| panic!("{e}"));
        assert!(model.not_understood.is_empty(), "{}: {:?}", self.name, model.not_understood);
        model
    }

    /// Sizes of the inputs.
    pub(crate) fn binding(&self, model: &ModelGraph) -> Binding {
        let mut binding = model.binding.clone();
        for (name, symbol) in [("input_ids", "n"), ("decoder_input_ids", "n")] {
            if let Some(ids) = self.input(name) {
                binding.set("b", ids.shape()[0]).set(symbol, ids.shape()[1]);
            }
        }
        if let (Some(ids), Some(_)) = (self.input("input_ids"), self.input("decoder_input_ids")) {
            binding.set("m", ids.shape()[1]);
        }
        for (name, values) in &self.reals {
            if name == "input_values" {
                binding.set("t", values.shape()[1]);
            }
            let items = model.graph.size_of(SizeRole::Images).map_or("b", |images| images.as_str());
            binding.set(items, values.shape()[0]);
        }
        // Images that are cut into patches, of one grid.
        if let Some(grid) = self.input("image_grid_thw") {
            let [_, down, across] = grid.data()[..3] else { panic!("{}", self.name) };
            let side = self.patches_of_a_row();
            binding.set("bi", grid.shape()[0]).set("iy", down / side).set("ix", across / side);
        }
        binding
    }

    /// Every parameter from the files.
    pub(crate) fn weights(
        &self,
        model: &ModelGraph,
        binding: &Binding,
    ) -> impl Iterator<Item = (String, Value<f32>)> + use<> {
        let complete = model.graph.complete(binding).unwrap();
        let checkpoint = Checkpoint::open(&self.folder).unwrap();
        let loaded = checkpoint.load(&model.graph, &complete, &model.names, None);
        let loaded = loaded.unwrap_or_else(|e| panic!("{}: {e}", self.name));
        assert!(loaded.non_finite.is_empty());
        loaded.tensors.into_iter()
    }

    /// The same, and the inputs.
    pub(crate) fn feeds(&self, model: &ModelGraph, binding: &Binding) -> Feeds {
        let weights = self.weights(model, binding);
        let feeds = weights.fold(Feeds::seeded(0), |f, (path, value)| f.with(&path, value));
        let takes = |name: &str| model.graph.nodes().iter().any(|node| node.path == name);
        let inputs = self.inputs.iter().filter(|(name, _)| takes(name));
        let feeds = inputs.fold(feeds, |f, (name, ids)| f.with(name, Value::Index(ids.clone())));
        self.reals.iter().fold(feeds, |f, (name, values)| f.with(name, values.clone()))
    }

    /// Holds the results of an interpreter against the library's, and its ledger against the formulas.
    fn check<I: Interpreter>(
        &self,
        model: &ModelGraph,
        feeds: &Feeds,
        mut interpreter: I,
        bound: f64,
    ) {
        let prepared = Prepared::new(&model.graph, &self.binding(model), feeds);
        let prepared = prepared.unwrap_or_else(|e| panic!("{}: {e}", self.name));
        let run = prepared.run(&mut interpreter, &mut Quiet);
        let run = run.unwrap_or_else(|e| panic!("{}: {e}", self.name));
        let theorem = compare(&model.graph, &run.binding, &run.ledger, "the interpreter").unwrap();
        assert!(theorem.mismatches.is_empty(), "{}: {:?}", self.name, theorem.mismatches);
        assert!(theorem.points > 0);
        for (name, expected) in &self.expected {
            let result = run.output_f64(name).unwrap();
            assert_eq!(result.shape(), expected.shape(), "{} {name}", self.name);
            self.compare(name, result.data(), expected, bound);
        }
    }

    /// Compares the rows of visible tokens.
    fn compare(&self, name: &str, result: &[f64], expected: &Tensor<f64>, bound: f64) {
        let width = *expected.shape().last().unwrap();
        let of_inputs = self.input("decoder_input_ids").is_none() || name.starts_with("encoder_");
        let mask = self.input("attention_mask").filter(|_| of_inputs);
        let rows = result.chunks_exact(width).zip(expected.data().chunks_exact(width));
        let by_token = expected.shape().len() == 3;
        let first = |row: &[f64]| {
            let better = |best: usize, at: usize| if row[at] > row[best] { at } else { best };
            (0..row.len()).fold(0, better)
        };
        let mut compared = 0;
        for (at, (row, wanted)) in rows.enumerate() {
            if by_token && mask.is_some_and(|mask| mask.data()[at] == 0) {
                continue;
            }
            for (x, y) in row.iter().zip(wanted) {
                let difference = (x - y).abs();
                assert!(difference <= bound, "{} {name} row {at}: {x} for {y}", self.name);
            }
            assert_eq!(first(row), first(wanted), "{} {name} row {at}", self.name);
            compared += 1;
        }
        assert!(compared > 0, "{} {name}", self.name);
    }

    pub(crate) fn request(&self) -> Request {
        let attention_mask = self.input("attention_mask").is_some();
        Request { attention_mask, image: self.image(), ..Request::default() }
    }

    /// The sides of its images, where they are others than the configuration's.
    fn image(&self) -> Option<[u64; 2]> {
        let (_, images) = self.reals.iter().find(|(name, _)| name == "pixel_values")?;
        self.model(&Request::default()).other_image(images.shape())
    }

    /// In which orders the model's attention may take its products: one, unless it has a latent.
    fn forms(&self) -> Vec<LatentForm> {
        let has = |form: &LatentForm| {
            self.config.model("", &Request { latent: *form, ..Request::default() }).is_ok()
        };
        LatentForm::ALL.into_iter().filter(has).collect()
    }
}

/// Multiplications in contractions outside attention and recurrences, and inside when every pair is computed, as
/// engines that mask by adding −∞ do.
fn contractions(graph: &Graph, binding: &Binding) -> (Integer, Integer) {
    let (mut outside, mut inside) = (Integer::default(), Integer::default());
    for node in graph.nodes() {
        let mut around = graph.modules_around(node);
        if around.any(|(_, module)| matches!(module.class, ModuleClass::Recurrence(_))) {
            continue;
        }
        let times = graph.multiplicity(node);
        if let Op::Attention(_) = node.op {
            let shapes = graph.operand_shapes(node);
            let last = |at: usize| &shapes[at].axes.last().unwrap().size;
            let (q, k) = (shapes[0], shapes[1]);
            // Windows are attended to one by one.
            let keep = node.inputs.last().filter(|own| graph.of_positions(**own));
            if keep.is_some() {
                let cost = graph.node_cost(node);
                let both = [Part::Scores, Part::Context];
                let macs: Poly = both.iter().map(|part| cost.part(*part)[Class::Mul].clone()).sum();
                inside += macs.at(binding).unwrap();
                continue;
            }
            let keys = &k.axes[k.axes.len() - 3].size;
            let rows = q.elements() * keys * times;
            let (rows, width) = (rows.at(binding).unwrap(), last(0).at(binding).unwrap());
            inside += &rows + rows.clone() / width * last(2).at(binding).unwrap();
        } else {
            let macs = if let Op::Convolution(_) = node.op {
                // Taps that fall on padding as well.
                let weight = graph.operand_shapes(node)[1];
                let mut results = node.shape.elements();
                // The library convolves behind the last token as well, and cuts that off.
                let class = graph.modules_around(node).next().map(|(_, module)| module.class);
                if class == Some(ModuleClass::CausalConvolution) {
                    let behind = &weight.axes[2].size - &Poly::one();
                    let lines = &node.shape.axes[0].size * &node.shape.axes[1].size;
                    results += lines * behind;
                }
                let taps = weight.elements() * results * times;
                taps.at(binding).unwrap() / weight.axes[0].size.at(binding).unwrap()
            } else {
                let macs = graph.node_cost(node).part(Part::Contraction);
                macs[Class::Mul].at(binding).unwrap()
            };
            // Attention with several biases is recorded as the chain that defines it.
            let of_chain = [".scores", ".context"].iter().any(|end| node.path.ends_with(end));
            *if of_chain { &mut inside } else { &mut outside } += macs;
        }
    }
    (outside, inside)
}

#[test]
fn results_are_those_of_transformers() {
    let cases = cases();
    let mut latent = 0;
    for case in &cases {
        for form in case.forms() {
            let model = case.model(&Request { latent: form, ..case.request() });
            let feeds = case.feeds(&model, &case.binding(&model));
            case.check(&model, &feeds, Oracle::<f64>::new(), DOUBLE);
            case.check(&model, &feeds, Fast::new().unwrap(), SINGLE);
            latent += usize::from(form == LatentForm::Absorbed);
        }
    }
    assert!(cases.len() >= 15, "{} cases", cases.len());
    assert!(latent >= 5, "{latent} with a latent");
}

#[test]
fn peaks_of_memory_are_those_foreseen() {
    for case in cases() {
        let model = case.model(&case.request());
        let (graph, binding) = (&model.graph, case.binding(&model));
        let feeds = case.feeds(&model, &binding);
        for (mut fast, equal) in
            [(Fast::new().unwrap(), false), (Fast::new().unwrap().node_by_node(), true)]
        {
            let run = fast.run(graph, &binding, &feeds).unwrap();
            memory(graph, &run, equal).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        }
    }
}

/// Angles that the library evaluates where tables of positions are looked up here: of a pair once for both its
/// elements, for each of three positions of each token, and of each patch by one position.
fn angles_in_grids(graph: &Graph, binding: &Binding) -> Integer {
    let rows = |axis: &str, of: &str| {
        let tables = graph.nodes().iter().filter(|node| matches!(node.op, Op::GatherNd(_)));
        let of = tables.filter(|node| node.path.contains(of)).map(|node| &node.shape);
        let of = of.filter(|shape| shape.position(&axis.into()).is_some());
        let cosines = of.map(|shape| shape.elements().at(binding).unwrap() / 2u32);
        cosines.sum::<Integer>()
    };
    let images = binding.get(&"bi".into()).unwrap();
    rows("cos_sin", "model.rotary_emb") * 3u32 / 2u32
        + rows("cos_sin", "rotary_pos_emb") * images / 2u32
}

#[test]
fn parameters_and_contractions_are_those_that_pytorch_counts() {
    for case in cases() {
        let model = case.model(&Request { attention_mask: false, ..case.request() });
        let binding = model.graph.complete(&case.binding(&model)).unwrap();
        let parameters = model.graph.parameters().0.at(&binding).unwrap();
        assert_eq!(parameters, case.number("params"), "{}", case.name);
        let (outside, inside) = contractions(&model.graph, &binding);
        assert_eq!(inside, case.number("macs.attention"), "{}", case.name);
        assert_eq!(outside + inside, case.number("macs"), "{}", case.name);
        let counts = model.graph.counts_at(&binding).unwrap();
        for class in [Class::Sin, Class::Cos] {
            let evaluated = case.number(class.name());
            let expected = match &*case.family() {
                // The table of all positions is made with the model, not in the pass.
                "gptj" => 0.into(),
                // A function that makes complex numbers of angles takes both.
                "deepseek_v2" | "llama4" | "llama4_text" => 0.into(),
                "qwen2_vl" | "qwen2_5_vl" | "qwen3_vl" => angles_in_grids(&model.graph, &binding),
                // The angle of a pair is evaluated once for both its elements, of each item, and once for each
                // of three positions, which of texts are the same.
                "qwen3_5" | "qwen3_5_text" | "qwen3_5_moe_text" => {
                    counts[class].clone() * binding.get(&"b".into()).unwrap() * 3 / 2
                }
                // The angle of a pair is evaluated once for both its elements.
                "gpt_oss" => &counts[class] / 2,
                _ => counts[class].clone(),
            };
            assert_eq!(expected, evaluated, "{} {class}", case.name);
        }
    }
}

/// Products of published models at 128 tokens or at one image, all pairs of attention among them and none of experts.
#[test]
fn products_of_published_models_are_those_that_pytorch_counts() {
    let text = std::fs::read(golden("flops.json")).unwrap();
    let golden: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let counted = golden["flops"].as_object().unwrap();
    for (name, flops) in counted {
        let model = preset(name).unwrap().config().model(name, &Request::default()).unwrap();
        let graph = &model.graph;
        let tokens = golden["tokens"].as_u64().unwrap();
        let mut sizes = model.binding.clone().with("b", 1);
        if graph.size_of(SizeRole::Tokens).is_some() {
            sizes.set("n", tokens);
        }
        if graph.symbols().contains(&"t".into()) {
            sizes.set("t", golden["samples"].as_u64().unwrap());
        }
        if let (Some(images), Some(limit)) = (graph.size_of(SizeRole::Images), &model.positions) {
            sizes.set(images, 1).set("n", limit.tokens);
            if graph.symbols().contains(&"iy".into()) {
                let [down, across] = [0, 1].map(|at| golden["grid"][at].as_u64().unwrap());
                sizes.set("iy", down).set("ix", across);
                sizes = graph.complete(&sizes).unwrap();
            }
            // Where rows of the image stand in the text, it is these and as many tokens.
            let placed = graph.nodes().iter().find(|node| node.role == Some(Role::Placed));
            if let Some(placed) = placed {
                let rows = graph.node(placed.inputs[1]).inputs[0];
                let rows = graph.shape(rows).axes[0].size.at(&sizes).unwrap();
                sizes.set("n", rows + tokens);
            }
        }
        let source = graph.size_of(SizeRole::Memory);
        if let Some(m) = source.filter(|m| sizes.get(m).is_none()) {
            sizes.set(m, tokens);
        }
        let sizes = graph.complete(&sizes).unwrap();
        let (outside, inside) = contractions(graph, &sizes);
        let experts = graph.nodes().iter().filter(|node| matches!(node.op, Op::Experts(_)));
        let experts: Integer =
            experts.map(|node| graph.node_cost(node).macs().at(&sizes).unwrap()).sum();
        let found = (outside + inside - experts) * 2;
        assert_eq!(found, flops.as_u64().unwrap().into(), "{name}");
    }
    assert!(counted.len() >= 36, "{} models", counted.len());
}

/// Parameters of a configuration alone are those of the library, which differ where weights bring a head.
#[test]
fn a_configuration_alone_has_the_parameters_that_the_library_makes_of_it() {
    let mut others = Vec::new();
    for case in cases() {
        let config = read_config(&case.folder.join("config.json")).unwrap();
        let model = config.model("alone", &Request::default()).unwrap();
        let key = "params.alone";
        let differs = case.metadata.contains_key(key);
        let params = case.number(if differs { key } else { "params" });
        let (formula, _) = model.graph.parameters();
        let binding = model.graph.complete(&model.binding).unwrap_or(model.binding);
        assert_eq!(formula.at(&binding).unwrap(), params, "{}", case.name);
        others.extend(differs.then_some(case.name));
    }
    assert_eq!(others, ["llama_another_head", "mt5_apart", "t5_gated"]);
}

/// Every key that the library knows is read, refused or known to change nothing.
#[test]
fn no_key_that_the_library_knows_is_left_out() {
    let text = std::fs::read(golden("config_keys.json")).unwrap();
    let known: serde_json::Value = serde_json::from_slice(&text).unwrap();
    for family in families() {
        let case = cases().into_iter().find(|case| case.family() == family).unwrap();
        let text = std::fs::read(case.folder.join("config.json")).unwrap();
        let mut config: serde_json::Value = serde_json::from_slice(&text).unwrap();
        for key in known["keys"][family].as_array().unwrap() {
            let key = key.as_str().unwrap();
            // Null is as good as missing, but for one key.
            let value = if key == "is_causal" { true.into() } else { serde_json::Value::Null };
            config.as_object_mut().unwrap().entry(key).or_insert(value);
        }
        let config = Config::parse(family, config.to_string().as_bytes()).unwrap();
        let model = config.model(family, &Request::default()).unwrap();
        assert!(model.not_understood.is_empty(), "{family}: {:?}", model.not_understood);
    }
}

#[test]
fn generating_with_a_cache_is_generating_without_one() {
    let mut generations = 0;
    let decoders = cases().into_iter().filter(|case| case.input("decoder_input_ids").is_none());
    for case in decoders.filter(|case| !case.generated.is_empty()) {
        let prompt = case.input("input_ids").unwrap();
        let length = case.prompt_length();
        let prompt = prompt.data()[..length].to_vec();
        for latent in case.forms() {
            let request =
                Request { past: true, logits: Logits::Last, latent, ..Request::default() };
            let model = case.model(&request);
            let sizes = model.binding.clone().with("b", 1);
            let feeds = case.feeds_of_weights(&model, &sizes);
            let mut session =
                Session::new(&model.graph, &sizes, &feeds, Fast::new().unwrap()).unwrap();
            let (mut next, mut counted) = (prompt.clone(), Vec::new());
            for (at, expected) in case.generated.iter().enumerate() {
                let run = session.step(next.len(), &next, &mut Quiet).unwrap();
                let theorem = compare(&model.graph, &run.binding, &run.ledger, "step").unwrap();
                assert!(theorem.mismatches.is_empty(), "{}", case.name);
                counted.push(run.ledger.useful().total());
                // Buffers of dead values do not stand beside more than was foreseen.
                memory(&model.graph, &run, false).unwrap_or_else(|e| panic!("{}: {e}", case.name));
                let scores = run.value("logits").unwrap().real().unwrap().data();
                let best =
                    (0..scores.len()).fold(0, |b, i| if scores[i] > scores[b] { i } else { b });
                assert_eq!(best as i64, *expected, "{} token {at}", case.name);
                next = vec![*expected];
            }
            assert_eq!(session.past(), length + case.generated.len() - 1);
            generations += 1;
        }
    }
    assert!(generations >= 8, "{generations} generations");
}

/// Decoders of pairs, given the text of the first item.
#[test]
fn an_encoder_and_a_decoder_generate_with_a_cache() {
    let mut generations = 0;
    let pairs = cases().into_iter().filter(|case| case.input("decoder_input_ids").is_some());
    for case in pairs.filter(|case| !case.generated.is_empty()) {
        let whole = case.model(&Request::default());
        let (name, source, length) = case.source();
        let one = whole.binding.clone().with("b", 1).with("m", length);
        let feeds = case.feeds_of_weights(&whole, &one);

        let encoder = case.model(&Request { source: true, ..Request::default() });
        let sizes = encoder.binding.clone().with("b", 1).with("m", length);
        let own = feeds.clone().with(&name, source);
        let own = own.taken_by(&encoder.graph, &encoder.graph.complete(&sizes).unwrap()).unwrap();
        let once = Fast::new().unwrap().run(&encoder.graph, &sizes, &own).unwrap();
        let theorem = compare(&encoder.graph, &once.binding, &once.ledger, "encoder").unwrap();
        assert!(theorem.holds(), "{}: {:?}", case.name, theorem.mismatches);

        let request = Request { past: true, logits: Logits::Last, ..Request::default() };
        let decoder = case.model(&request);
        let sizes = decoder.binding.clone().with("b", 1).with("m", length);
        let complete = decoder.graph.complete(&sizes).unwrap();
        let heads = once.outputs.iter().fold(feeds, |feeds, (n, v)| feeds.with(n, v.clone()));
        let heads = heads.taken_by(&decoder.graph, &complete).unwrap();
        let fast = Fast::new().unwrap();
        let mut session = Session::new(&decoder.graph, &sizes, &heads, fast).unwrap();
        let settings = case.config.generation().unwrap();
        let mut next = 0;
        for (at, expected) in case.generated.iter().enumerate() {
            let run = session.step(1, &[next], &mut Quiet).unwrap();
            let theorem = compare(&decoder.graph, &run.binding, &run.ledger, "step").unwrap();
            assert!(theorem.holds(), "{}: {:?}", case.name, theorem.mismatches);
            memory(&decoder.graph, &run, false).unwrap_or_else(|e| panic!("{}: {e}", case.name));
            let scores = run.value("logits").unwrap().real().unwrap().data();
            let scores = settings.allowed(scores, at == 0);
            let best = (0..scores.len()).fold(0, |b, i| if scores[i] > scores[b] { i } else { b });
            assert_eq!(best as i64, *expected, "{} token {at}", case.name);
            next = *expected;
        }
        // Keys and values of the source, and of each token, of both attentions.
        let cache = complete.clone().with("p", case.generated.len()).with("n", 1);
        let cache = decoder.graph.complete(&cache).unwrap();
        let elements = decoder.graph.quantity(Quantity::Cache).at(&cache).unwrap();
        assert_eq!(session.cache_bytes(), elements * 4u32, "{}", case.name);
        generations += 1;
    }
    assert!(generations >= 2, "{generations} generations");
}

/// By a generator, whose files say what the decoder begins with and which tokens do not come.
#[test]
fn texts_follow_from_sounds() {
    let mut generations = 0;
    let of_sounds = |case: &Case| case.reals.iter().any(|(name, _)| name == "input_features");
    for case in cases().into_iter().filter(of_sounds) {
        let Ok(generator) = Generator::open(&case.folder.to_string_lossy(), Feeds::seeded(0))
        else {
            assert!(case.generated.is_empty(), "{}", case.name);
            continue;
        };
        let (mut generator, new) = (generator.past_end_tokens(), case.generated.len());
        let untold = generator.generate(&[], new).unwrap_err().to_string();
        assert!(untold.contains("its text or its sound first"), "{untold}");
        assert!(generator.read_source(&[1]).is_err());
        let (_, sound, _) = case.source();
        generator.read_sound(Some(&sound)).unwrap();
        assert_eq!(generator.generate(&[], new).unwrap(), case.generated, "{}", case.name);
        // The same where the first of them are given, unless the next may not be the first that is chosen.
        generator.read_sound(Some(&sound)).unwrap();
        let (given, rest) = case.generated.split_at(3);
        let found = generator.generate(given, rest.len()).unwrap();
        let suppressed = generator.settings().suppressed_first.contains(&rest[0]);
        assert_eq!(found == rest, !suppressed, "{}", case.name);
        let other = Value::Real(Tensor::new(&[1, 1, 2], vec![0.0; 2]).unwrap());
        assert!(generator.read_sound(Some(&other)).is_err());
        generations += 1;
    }
    assert!(generations >= 3, "{generations} generations");
}

/// The encoder with the keys and values of its result, and the decoder that is given them, do together
/// what both do in one run.
#[test]
fn the_parts_of_a_pair_cost_what_the_pair_costs() {
    let mut pairs = 0;
    for case in cases().into_iter().filter(|case| case.input("decoder_input_ids").is_some()) {
        let model = |request| case.config.model(&case.name, &request);
        let whole = model(Request::default()).unwrap();
        let encoder = model(Request { source: true, ..Request::default() }).unwrap();
        let decoder = model(Request { past: true, ..Request::default() }).unwrap();
        let at = |model: &ModelGraph, sizes: &[(&str, u64)]| {
            let mut binding = model.binding.clone();
            for (symbol, size) in sizes {
                binding.set(*symbol, *size);
            }
            let binding = model.graph.complete(&binding).unwrap();
            model.graph.cost().at(&binding).unwrap().total()
        };
        let both = at(&whole, &[("b", 3), ("m", 7), ("n", 5)]);
        let first = at(&encoder, &[("b", 3), ("m", 7)]);
        let second = at(&decoder, &[("b", 3), ("m", 7), ("n", 5), ("p", 0)]);
        assert_eq!(both, first + second, "{}", case.name);
        pairs += 1;
    }
    assert!(pairs >= 8, "{pairs} pairs");
}

impl Case {
    /// What the encoder of a pair is given of the first item: its name, and how many tokens it takes.
    fn source(&self) -> (String, Value<f32>, usize) {
        if let Some((name, sounds)) = self.reals.first() {
            let [_, strengths, frames] = sounds.shape() else { panic!("{name} is no sound") };
            let first = sounds.data()[..strengths * frames].to_vec();
            let sound = Tensor::new(&[1, *strengths, *frames], first).unwrap();
            return (name.clone(), Value::Real(sound), frames / 2);
        }
        let length = self.prompt_length();
        let ids = self.input("input_ids").unwrap().data()[..length].to_vec();
        let ids = Tensor::new(&[1, length], ids).unwrap();
        ("input_ids".to_owned(), Value::Index(ids), length)
    }

    /// The tokens of the first item that are no padding.
    fn prompt_length(&self) -> usize {
        let ids = self.input("input_ids").unwrap();
        let all = ids.shape()[1];
        let visible = |mask: &Tensor<i64>| mask.data()[..all].iter().filter(|v| **v != 0).count();
        self.input("attention_mask").map_or(all, visible)
    }

    fn feeds_of_weights(&self, model: &ModelGraph, sizes: &Binding) -> Feeds {
        let past = model.graph.size_of(SizeRole::Past).map(|p| (p.clone(), 0));
        let sizes = past.into_iter().fold(sizes.clone(), |sizes, (p, none)| sizes.with(p, none));
        let complete = model.graph.complete(&sizes.with("n", 1)).unwrap();
        let checkpoint = Checkpoint::open(&self.folder).unwrap();
        let loaded = checkpoint.load(&model.graph, &complete, &model.names, None).unwrap();
        loaded.tensors.into_iter().fold(Feeds::seeded(0), |f, (path, v)| f.with(&path, v))
    }
}
