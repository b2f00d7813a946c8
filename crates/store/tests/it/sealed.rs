//! Sealed values of every table.

use std::collections::BTreeSet;

use store::sealed::{self, PLACES, Sealed};

use crate::{change, on_both_stores, tenant};

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
                words
                    .iter()
                    .filter(|word| {
                        **word == "sealed" || word.ends_with("_sealed") || word.starts_with("encrypted_")
                    })
                    .map(|word| format!("{table}.{word}")),
            );
        }
    }
    let known: BTreeSet<String> =
        PLACES.iter().map(|place| format!("{}.{}", place.table, place.column)).collect();
    assert_eq!(found, known);
}

#[test]
fn every_place_is_read_and_written_by_both_databases() {
    on_both_stores(async |store| {
        let acme = tenant(&store, "acme").await;
        let token = acme.environment.dtma_token_sealed.clone().unwrap();
        for place in PLACES {
            let found = sealed::others(&store, place, 7, "", 9).await.unwrap();
            let expected = usize::from(place.table == "account_tool_environments");
            assert_eq!(found.len(), expected, "{place:?}");
            assert_eq!(sealed::count(&store, place, None).await.unwrap(), expected as u64, "{place:?}");
            assert_eq!(sealed::one_of(&store, place, 7).await.unwrap(), None, "{place:?}");
            let row = Sealed { key: "x".to_owned(), id: "x".to_owned(), value: token.clone() };
            let row = found.first().unwrap_or(&row).clone();
            let put =
                async || change(&store, async |tx| sealed::replace(tx, place, &row, "7.new").await).await;
            assert_eq!(put().await.unwrap(), expected == 1, "{place:?}");
            assert!(!put().await.unwrap(), "it is another one by now: {place:?}");
            assert_eq!(sealed::count(&store, place, Some(7)).await.unwrap(), expected as u64, "{place:?}");
            assert_eq!(sealed::others(&store, place, 7, "", 9).await.unwrap(), [], "{place:?}");
            let one = sealed::one_of(&store, place, 7).await.unwrap().map(|one| (one.id, one.value));
            assert_eq!(one, (expected == 1).then(|| (row.id.clone(), "7.new".to_owned())), "{place:?}");
        }
    });
}
