//! Compiles the workload (harness/workload) and what holds packets back on a node (harness/delay) into static Linux
//! programs, which become part of recoup itself. Nothing is pulled from a registry, and no other build step is needed.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

/// Folders below harness/, each of a program `recoup-FOLDER`, and the variable that names another build of it.
const PROGRAMS: [(&str, &str); 2] = [("workload", "RECOUP_WORKLOAD_BIN"), ("delay", "RECOUP_DELAY_BIN")];

fn main() -> io::Result<()> {
    let variable = |name: &str| env::var(name).map_err(|error| io::Error::other(format!("{name}: {error}")));
    println!("cargo:rerun-if-changed=build.rs");
    // The nodes are containers of this machine, so they have its architecture.
    let arch = variable("CARGO_CFG_TARGET_ARCH")?;
    let native = variable("HOST")?.contains("-linux-") && variable("HOST")?.starts_with(&arch);
    let musl = format!("{arch}-unknown-linux-musl");
    let mut ways: Vec<Vec<&str>> = Vec::new();
    if native {
        ways.push(vec![]);
    }
    ways.push(vec!["--target", &musl, "-C", "linker=rust-lld"]);
    for (name, instead) in PROGRAMS {
        let source = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join(format!("../harness/{name}/src"));
        let out = PathBuf::from(variable("OUT_DIR")?).join(format!("recoup-{name}"));
        println!("cargo:rerun-if-changed={}", source.display());
        let mut failures = Vec::new();
        for way in &ways {
            match compile(&variable("RUSTC")?, way, name, &source, &out) {
                Ok(()) => {
                    failures.clear();
                    break;
                }
                Err(failure) => failures.push(failure),
            }
        }
        if failures.is_empty() {
            continue;
        }
        // recoup still works on simulated clusters, and with the variable.
        println!(
            "cargo:warning=harness/{name} could not be compiled for Linux: `rustup target add {musl}` and build \
             again, or set {instead}"
        );
        for failure in failures {
            println!("cargo:warning={}", failure.lines().next().unwrap_or_default());
        }
        fs::write(&out, [])?;
    }
    Ok(())
}

fn compile(rustc: &str, way: &[&str], name: &str, source: &Path, out: &Path) -> Result<(), String> {
    let output = Command::new(rustc)
        .args(["--edition", "2024", "--crate-type", "bin", "--crate-name", &format!("recoup_{name}")])
        .args(["-C", "target-feature=+crt-static", "-C", "opt-level=2", "-C", "panic=abort"])
        .args(["-C", "strip=symbols", "-C", "codegen-units=1"])
        .args(way)
        // The image's tag is the program's hash: it must not depend on where the source lies.
        .arg("--remap-path-prefix")
        .arg(format!("{}={name}", source.display()))
        .arg("-o")
        .arg(out)
        .arg(source.join("main.rs"))
        .output()
        .map_err(|error| format!("{rustc}: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}
