//! Sealed values of every table.

use std::collections::BTreeSet;

use store::sealed::PLACES;

/// A new column of sealed values that is not in the list would keep the key that it was sealed with for ever.
#[test]
fn every_sealed_column_is_in_the_list() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut found = BTreeSet::new();
    for file in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
        let text = std::fs::read_to_string(file).unwrap();
        let mut table = "";
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with("--")) {
            let words: Vec<&str> = line.split([' ', '(', ',', ';']).filter(|word| !word.is_empty()).collect();
            if let ["CREATE" | "ALTER", "TABLE", name, ..] = words[..] {
                table = name;
            }
            found.extend(
                words.iter().filter(|word| word.ends_with("_sealed")).map(|word| format!("{table}.{word}")),
            );
        }
    }
    let known: BTreeSet<String> =
        PLACES.iter().map(|place| format!("{}.{}", place.table, place.column)).collect();
    assert_eq!(found, known);
}
