//! The words of toolbelts, and of what agents may do with them.

use serde::{Deserialize, Serialize};

use crate::status::words;

words! {
    /// How a toolbelt shows its tools.
    Mode {
        /// All of them in the list.
        List = "list",
        /// Two tools in their place: one that searches them, one that calls one of them.
        Search = "search",
    }
}

words! {
    /// What a toolbelt does with a tool whose definition is no longer the approved one.
    OnChange {
        /// It goes on showing the approved definition.
        Keep = "keep",
        /// It shows the tool no more, and refuses calls, until somebody approves.
        Withhold = "withhold",
    }
}

words! {
    /// A kind of things that members of a toolbelt have.
    Kind {
        /// A tool, by name.
        Tool = "tool",
        /// A prompt, by name.
        Prompt = "prompt",
        /// A resource, by address.
        Resource = "resource",
        /// A template of resources, by its own.
        Template = "template",
    }
}

words! {
    /// How much of an instance's server an agent was granted.
    AccessLevel {
        /// What says of itself that it only reads.
        ReadOnly = "read_only",
        /// Everything.
        FullAccess = "full_access",
        /// The tools that are named.
        Custom = "custom",
    }
}

words! {
    /// How a credential of an agent's stands.
    CredentialStatus {
        /// It is used.
        Active = "active",
        /// Somebody took it back.
        Revoked = "revoked",
        /// Whoever it is with wants to be asked again.
        RequiresReauth = "requires_reauth",
        /// It did not work.
        Error = "error",
    }
}
