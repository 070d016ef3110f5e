//! The command line; see `mintgate --help`.

fn main() {}
