//! `opledger page`: one file, offline, of moderate size.

use std::collections::BTreeSet;
use std::fs;

use miniz_oxide::inflate::decompress_to_vec_zlib;

use crate::stdout;

fn written() -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("page.html");
    assert_eq!(stdout(&["page", "-o", file.to_str().unwrap()]), "");
    fs::read_to_string(file).unwrap()
}

/// What stands in the element of the data, unpacked.
fn data(page: &str) -> serde_json::Value {
    let (_, after) = page.split_once("<script type=\"text/plain\" id=\"data\">").unwrap();
    let packed = base64::decode(after.split_once("</script>").unwrap().0).unwrap();
    serde_json::from_slice(&decompress_to_vec_zlib(&packed).unwrap()).unwrap()
}

/// One test: a page takes seconds to make.
#[test]
fn a_page_is_one_file_of_records_that_asks_nobody() {
    let page = written();
    asks_nobody(&page);
    has_records_of_published_models(&page);
}

fn asks_nobody(page: &str) {
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    assert!(page.contains("default-src 'none'"));
    let outside = page.lines().filter(|line| !line.contains("id=\"data\""));
    for line in outside {
        for word in ["http:", "https:", "src=", "@import", "url(", "fetch(", "XMLHttp", "WebSocket"]
        {
            assert!(!line.contains(word), "{word} in {line}");
        }
        // Texts become nodes of text, never markup or code.
        for word in
            ["innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "Function("]
        {
            assert!(!line.contains(word), "{word} in {line}");
        }
    }
    for mark in ["/*style*/", "/*unpack*/", "/*evaluate*/", "/*paste*/", "/*show*/", "/*data*/"] {
        assert!(!page.contains(mark), "{mark} is still there");
    }
}

fn has_records_of_published_models(page: &str) {
    let data = data(page);
    let list = |name: &str| data[name].as_array().unwrap();
    let (models, structures) = (list("models"), list("structures"));
    assert!(models.len() > 200);
    // Models of one kind share the formulas of each kind of run.
    for run in ["plain", "cached", "generating"] {
        let own = models.iter().filter_map(|model| model[run].as_u64());
        let (all, distinct) = (own.clone().count(), own.collect::<BTreeSet<u64>>().len());
        assert!(distinct < all && distinct < structures.len(), "{run}: {distinct} of {all}");
    }
    let named = |name: &str| models.iter().find(|model| model["name"] == name).unwrap();
    let (llama, other) = (named("llama-3.1-8b"), named("llama-3.1-70b"));
    assert_eq!((&llama["plain"], &llama["cached"]), (&other["plain"], &other["cached"]));
    assert_eq!(llama["sizes"]["c"], "4096");
    // What is pasted is read by products that give the sizes of the model that they were found at.
    assert!(list("readers").len() > 50);
    for reader in list("readers") {
        let model = &models[reader["model"].as_u64().unwrap() as usize];
        for size in reader["sizes"].as_array().unwrap() {
            let (symbol, value) = (size[0].as_str().unwrap(), &size[1]);
            assert_eq!(&model["sizes"][symbol], value, "{symbol} of {}", model["name"]);
        }
    }
    // Where a formula is not known, the page says why.
    for refused in list("refused") {
        assert!(refused[1].as_str().unwrap().contains("no function of sizes"), "{refused}");
    }
}
