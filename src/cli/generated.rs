//! What is made from the command line's own description: shell completions and man pages.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Arguments;

/// Prints the completions of a shell on standard output.
pub fn completions(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "esmd", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(())
}

/// Writes a page for esmd and one for each of its commands into a directory, which is made if it is not there.
pub fn man_pages(directory: &Path) -> anyhow::Result<()> {
    let shown = directory.display();
    std::fs::create_dir_all(directory).with_context(|| format!("the directory {shown} cannot be made"))?;
    clap_mangen::generate_to(Arguments::command(), directory)
        .with_context(|| format!("man pages cannot be written to {shown}"))
}
