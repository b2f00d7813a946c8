//! dtma
