//! The sandbox helper alone, for this crate's tests: what `berth __sandbox …` is in the binary.

fn main() {
    let mut args = std::env::args_os().skip(1);
    // The runtime starts `<binary> __sandbox …`, as it does with the real one.
    if args.next().is_some_and(|first| first == "__sandbox") {
        runtime::sandbox::run(args);
    }
    std::process::exit(2);
}
