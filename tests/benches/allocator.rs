//! The binary's allocator, so that a bench measures what the binary does (`src/main.rs`).

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
