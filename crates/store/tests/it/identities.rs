//! Whom identity providers vouch for.

use store::identities;

use crate::{NOW, after, change, on_both_stores, tenant};

#[test]
fn an_identity_is_one_users_for_good() {
    on_both_stores(async |store| {
        let (mary, jo) = (tenant(&store, "acme").await.owner.id, tenant(&store, "beta").await.owner.id);
        let keep = async |issuer, subject, user, at| {
            change(&store, async |tx| identities::keep(tx, issuer, subject, user, at).await).await.unwrap()
        };
        let of = async |issuer, subject| identities::user_of(&store, issuer, subject).await.unwrap();
        assert_eq!(of("https://a", "1").await, None);
        assert!(keep("https://a", "1", mary, NOW).await);
        assert!(keep("https://a", "1", mary, after(1)).await, "again");
        assert!(!keep("https://a", "1", jo, after(2)).await, "and nobody else's");
        // The same word of another issuer is somebody else, and so is another one in other letters.
        assert!(keep("https://b", "1", jo, NOW).await);
        assert!(keep("https://a", "X", jo, NOW).await);
        assert!(keep("https://a", "x", mary, NOW).await);
        let found = [
            of("https://a", "1").await,
            of("https://b", "1").await,
            of("https://a", "X").await,
            of("https://a", "x").await,
        ];
        assert_eq!(found, [Some(mary), Some(jo), Some(jo), Some(mary)]);
    });
}
