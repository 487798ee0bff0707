//! Sentence embeddings by a BERT-like checkpoint, and how similar the sentences are.
//!
//! ```text
//! cargo run --release -p opledger --example embed -- FOLDER "A man is eating." "Someone eats."
//! ```
//!
//! FOLDER holds config.json, tokenizer.json and model.safetensors, such as those of
//! sentence-transformers/all-MiniLM-L6-v2. An embedding is the mean of the last hidden states of a
//! sentence's tokens, divided by its length.

use std::error::Error;
use std::path::Path;

use opledger::models::Request;
use opledger::weights::{Checkpoint, read_config};
use opledger::{Fast, Feeds};
use tokenizers::{PaddingParams, Tokenizer};

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("give a folder and some sentences")?;
    let (folder, sentences) = (Path::new(&folder), arguments.collect::<Vec<String>>());

    let mut tokenizer = Tokenizer::from_file(folder.join("tokenizer.json"))?;
    tokenizer.with_padding(Some(PaddingParams::default()));
    let encodings = tokenizer.encode_batch(sentences.clone(), true)?;
    let tokens = encodings.first().ok_or("give some sentences")?.get_ids().len();
    let shape = [sentences.len(), tokens];
    let ids = encodings.iter().flat_map(|e| e.get_ids()).map(|id| i64::from(*id)).collect();
    let mask: Vec<i64> =
        encodings.iter().flat_map(|e| e.get_attention_mask()).map(|m| i64::from(*m)).collect();

    let request = Request { attention_mask: true, ..Request::default() };
    let model = read_config(folder)?.model("encoder", &request)?;
    let sizes = model.binding.clone().with("b", shape[0]).with("n", shape[1]);
    let all_sizes = model.graph.complete(&sizes)?;
    let weights = Checkpoint::open(folder)?.load(&model.graph, &all_sizes, &model.names, None)?;
    let mut feeds = Feeds::default()
        .with_ids("input_ids", &shape, ids)?
        .with_ids("attention_mask", &shape, mask.clone())?
        .zeros_at("token_type_ids");
    for (path, weight) in weights.tensors {
        feeds = feeds.with(&path, weight);
    }
    let run = Fast::new()?.run(&model.graph, &sizes, &feeds)?;
    let states = run.output("last_hidden_state")?;

    let width = states.shape()[2];
    let embedding = |item: usize| {
        let mut sum = vec![0.0; width];
        for token in (0..tokens).filter(|token| mask[item * tokens + token] == 1) {
            (0..width).for_each(|i| sum[i] += states[[item, token, i]]);
        }
        let length = sum.iter().map(|x| x * x).sum::<f32>().sqrt();
        sum.into_iter().map(|x| x / length).collect::<Vec<f32>>()
    };
    let embeddings: Vec<Vec<f32>> = (0..sentences.len()).map(embedding).collect();
    for (a, sentence) in embeddings.iter().zip(&sentences) {
        for b in &embeddings {
            print!("{:6.3}", a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>());
        }
        println!("  {sentence}");
    }
    println!("{} scalar operations, counted while they ran", run.ledger.useful().total());
    Ok(())
}
