//! The data of a page: formulas of all published models, their sizes being symbols.

mod readers;
mod structure;
mod texts;
mod tools;
mod training;

use opledger_conventions::Convention;
use opledger_dims::{Class, Symbol};
use opledger_ir::{Elem, Kind, SizeRole};
use opledger_models::{Logits, Preset, Request, harmless_keys, presets};
use opledger_report::{CONVENTIONS, Page, PageDevice, PageModel, PageTool};

use self::readers::{known, readers};
use self::structure::structure;
use self::texts::SharedTexts;
use self::tools::tools;
use self::training::Trainings;
use crate::kinds::LayerKind;
use crate::{AccountError, KnownDevice, Model, devices};

/// What a page says of the published models.
///
/// ```no_run
/// let page = opledger::account::page()?;
/// assert!(page.models.iter().any(|model| model.name == "llama-3.1-8b"));
/// assert!(page.structures.len() < 2 * page.models.len()); // models of one kind share their formulas
/// # Ok::<(), opledger::account::AccountError>(())
/// ```
///
/// # Errors
/// When a published model cannot be read.
pub fn page() -> Result<Page, AccountError> {
    let mut texts = SharedTexts::default();
    let mut trainings = Trainings::default();
    let (mut models, mut refused) = (Vec::new(), Vec::new());
    let (presets, tools) = (presets()?, tools()?);
    for preset in &presets {
        match page_model(preset, &tools, &mut texts, &mut trainings) {
            Ok(model) => models.push(model),
            Err(problem @ AccountError::NoFunction { .. }) => {
                refused.push((preset.name.clone(), problem.to_string()));
            }
            Err(problem) => return Err(problem),
        }
    }
    let stored = Elem::ALL.into_iter().filter(|elem| elem.kind() == Kind::Real);
    let types = stored.map(|elem| (elem.name(), elem.bits())).collect();
    let known = known(&presets);
    Ok(Page {
        version: env!("CARGO_PKG_VERSION"),
        classes: Class::ALL.map(Class::name).to_vec(),
        conventions: CONVENTIONS.into_iter().collect(),
        types,
        kinds: LayerKind::ALL.map(LayerKind::name).to_vec(),
        formulas: texts.formulas,
        paths: texts.paths,
        costs: texts.costs,
        lists: texts.lists,
        structures: texts.structures,
        trainings: texts.trainings,
        tools: tools.into_iter().map(|one| PageTool { name: one.name, unit: one.unit }).collect(),
        devices: devices().iter().map(page_device).collect(),
        readers: readers(&presets, &models, &known)?,
        known: known.into_iter().collect(),
        harmless: harmless_keys().to_vec(),
        models,
        refused,
    })
}

fn page_device(device: &KnownDevice) -> PageDevice {
    let figures = device.peaks.iter().map(|(_, figure)| figure);
    let mut sources: Vec<&str> = [&device.memory, &device.bandwidth]
        .into_iter()
        .chain(figures)
        .map(|of| of.source)
        .collect();
    sources.sort_unstable();
    sources.dedup();
    PageDevice {
        name: device.name,
        memory: device.memory.value,
        bandwidth: device.bandwidth.value,
        peaks: device.peaks.iter().map(|(elem, peak)| (elem.name(), peak.value)).collect(),
        sources,
    }
}

/// A model as it generates: with a cache, and scores of the last token alone; none where an encoder runs first,
/// of a text or of images.
fn generating(model: &Model) -> Result<Option<Model>, AccountError> {
    if model.source_part()?.is_some() || model.graph().size_of(SizeRole::Images).is_some() {
        return Ok(None);
    }
    let request = Request { past: true, logits: Logits::Last, ..*model.request() };
    let own = model.with_cache(request)?;
    Ok(own.filter(|own| own.graph().size_of(SizeRole::Past).is_some()))
}

fn page_model(
    preset: &Preset,
    tools: &[Convention],
    texts: &mut SharedTexts,
    trainings: &mut Trainings,
) -> Result<PageModel, AccountError> {
    let model = Model::open(&preset.name)?;
    let plain = structure(&model, texts)?;
    let training = trainings.of(&model, texts);
    let cached = model.with_cache(*model.request())?;
    let cached = cached.filter(|model| !model.graph().caches().is_empty());
    let cached = cached.map(|model| structure(&model, texts)).transpose()?;
    let generating = generating(&model)?.map(|model| structure(&model, texts)).transpose()?;
    let sizes = model.graph().complete(model.sizes())?;
    let asked = texts.structures[plain].free.iter().map(|name| Symbol::from(&**name));
    let asked: Vec<Symbol> = asked.filter(|symbol| sizes.get(symbol).is_none()).collect();
    let sizes = sizes.iter().map(|(symbol, size)| (symbol.to_string(), size.to_string()));
    let limit = model.recorded().positions.as_ref();
    let tools = tools::counts(&model, &asked, tools, texts);
    Ok(PageModel {
        name: preset.name.clone(),
        family: preset.family().to_owned(),
        source: preset.source.clone(),
        storage: model.storage().name(),
        sizes: sizes.collect(),
        positions: limit.map(|limit| (limit.tokens, limit.key, limit.computed)),
        notes: model.conditions(),
        plain,
        cached,
        generating,
        untrained: training.as_ref().err().cloned(),
        training: training.ok(),
        tools,
    })
}
