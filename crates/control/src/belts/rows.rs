//! A toolbelt between its tables and its running self.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use api::events::Event;
use domain::ids::ToolbeltItemId;
use domain::toolbelts::Kind;
use store::toolbelts::{AddressedToolbelt, FeatureRow};
use store::{Store, StoreError};
use toolbelt::{Belt, Definition, Feature, Listing, Member};

use super::code::{Code, Kept};
use crate::app::problem::Chain;
use crate::directory::now;

/// What the tables say of a toolbelt.
pub(super) async fn load(store: &Store, row: &AddressedToolbelt) -> Result<Kept, StoreError> {
    let toolbelt = &row.toolbelt;
    let items = store::toolbelts::items(store, toolbelt.id).await?;
    let mut features: HashMap<ToolbeltItemId, HashMap<(Kind, String), Feature>> = HashMap::new();
    for row in store::toolbelts::features(store, toolbelt.id).await? {
        let (item, feature) = (row.item, feature(row));
        features.entry(item).or_default().insert((feature.kind, feature.name.clone()), feature);
    }
    let members = items.iter().map(|item| Member {
        id: item.instance.to_string(),
        name: item.instance_name.as_str().to_owned(),
        is_active: item.is_active,
        features: features.remove(&item.id).unwrap_or_default(),
        ..Member::default()
    });
    let belt = Belt {
        name: toolbelt.name.as_str().to_owned(),
        description: toolbelt.description.clone(),
        mode: toolbelt.mode,
        on_change: toolbelt.on_change,
        members: members.collect(),
    };
    Ok(Kept { belt, items: items.into_iter().map(|item| (item.id, item.instance)).collect() })
}

fn feature(row: FeatureRow) -> Feature {
    let seen = row.seen_hash.zip(row.seen_json);
    Feature {
        kind: row.kind,
        name: row.name,
        shown: row.shown_name,
        description: row.description,
        is_on: row.is_on,
        approved: Definition { json: row.approved_json.into(), hash: row.approved_hash.into() },
        seen: seen.map(|(hash, json)| Definition { json: json.into(), hash: hash.into() }),
    }
}

impl Code {
    /// Takes what people changed; what members were last heard to say stays.
    pub(super) fn reload(&self, fresh: Kept) {
        if self.is_unkept.swap(false, Ordering::Relaxed) {
            // What was not written down is asked for again, and gets the names that are free now.
            self.freshness.expire();
        }
        self.change(|kept| {
            let before = std::mem::replace(kept, fresh);
            let mut known: HashMap<ToolbeltItemId, Member> =
                before.items.iter().map(|(item, _)| *item).zip(before.belt.members).collect();
            for ((item, _), member) in kept.items.iter().zip(&mut kept.belt.members) {
                match known.remove(item) {
                    Some(before) => {
                        (member.listed, member.is_silent) = (before.listed, before.is_silent);
                        (member.trouble, member.known) = (before.trouble, before.known);
                    }
                    None => self.freshness.expire(),
                }
            }
        });
    }

    /// Takes what members list, and keeps what is new of it.
    pub(super) async fn hear(self: &Arc<Self>, heard: Vec<(ToolbeltItemId, Result<Listing, String>)>) {
        if heard.is_empty() {
            return;
        }
        let (rows, is_news) = self.change(|kept| {
            let troubles = |kept: &Kept| -> Vec<_> {
                kept.belt.members.iter().map(|member| member.trouble.clone()).collect()
            };
            let before = troubles(kept);
            let place = |item| kept.items.iter().position(|(known, _)| *known == item);
            // One that was taken out in the meantime is not heard.
            let heard =
                heard.into_iter().filter_map(|(item, listing)| Some((place(item)?, listing))).collect();
            let changed = kept.belt.hear(heard);
            let row = |(at, key): (usize, (Kind, String))| {
                let (item, _) = kept.items.get(at)?;
                Some(self.row(*item, kept.belt.members.get(at)?.features.get(&key)?))
            };
            let rows: Vec<_> = changed.into_iter().filter_map(row).collect();
            let is_news = !rows.is_empty() || before != troubles(kept);
            (rows, is_news)
        });
        if !is_news {
            return;
        }
        let Some(app) = self.app.upgrade() else { return };
        let news = || app.publish(self.account, Event::Toolbelt { name: self.name() });
        if rows.is_empty() {
            return news();
        }
        let keep = async {
            let mut tx = app.store.begin().await?;
            store::toolbelts::put_features(&mut tx, &rows).await?;
            tx.commit().await
        };
        if let Err(error) = keep.await {
            tracing::warn!(toolbelt = %self.id, error = %Chain(&error), "what members of a toolbelt have could not be noted; its rows are read anew");
            self.is_unkept.store(true, Ordering::Relaxed);
            app.belts.changed();
            return;
        }
        news();
    }

    fn row(&self, item: ToolbeltItemId, feature: &Feature) -> FeatureRow {
        let at = now();
        FeatureRow {
            item,
            toolbelt: self.id,
            kind: feature.kind,
            name: feature.name.clone(),
            shown_name: feature.shown.clone(),
            description: feature.description.clone(),
            is_on: feature.is_on,
            approved_hash: feature.approved.hash.to_string(),
            approved_json: feature.approved.json.to_string(),
            seen_hash: feature.seen.as_ref().map(|seen| seen.hash.to_string()),
            seen_json: feature.seen.as_ref().map(|seen| seen.json.to_string()),
            first_seen_at: at,
            seen_at: at,
        }
    }
}
