//! What strangers write is text, wherever it stands.
