//! Reading what the API may leave out.

use serde::{Deserialize, Deserializer};

/// `null` where the document promises a list or an object reads as an empty one: several fields are "nullable".
pub(crate) fn nothing_is_empty<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
