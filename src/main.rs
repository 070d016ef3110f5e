//! The command line; see `mintgate --help`.

fn main() -> std::process::ExitCode {
    mintgate::cli::main()
}
