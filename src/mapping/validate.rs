//! Document to mapping: every limit stands here once.
