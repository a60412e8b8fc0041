//! Compiles the workload (harness/workload) into a static Linux program, which becomes part of recoup itself
//! and, at run time, an image of one file. Nothing is pulled from a registry, and no other build step is needed.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

fn main() -> io::Result<()> {
    let variable = |name: &str| env::var(name).map_err(|error| io::Error::other(format!("{name}: {error}")));
    let source = PathBuf::from(variable("CARGO_MANIFEST_DIR")?).join("../harness/workload/src");
    let out = PathBuf::from(variable("OUT_DIR")?).join("recoup-workload");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={}", source.display());
    // The nodes are containers of this machine, so they have its architecture.
    let arch = variable("CARGO_CFG_TARGET_ARCH")?;
    let native = variable("HOST")?.contains("-linux-") && variable("HOST")?.starts_with(&arch);
    let musl = format!("{arch}-unknown-linux-musl");
    let mut ways: Vec<Vec<&str>> = Vec::new();
    if native {
        ways.push(vec![]);
    }
    ways.push(vec!["--target", &musl, "-C", "linker=rust-lld"]);
    let mut failures = Vec::new();
    for way in ways {
        match compile(&variable("RUSTC")?, &way, &source, &out) {
            Ok(()) => return Ok(()),
            Err(failure) => failures.push(failure),
        }
    }
    // recoup still works on simulated clusters, and with RECOUP_WORKLOAD_BIN.
    println!(
        "cargo:warning=the workload could not be compiled for Linux: `rustup target add {musl}` and build again"
    );
    for failure in failures {
        println!("cargo:warning={}", failure.lines().next().unwrap_or_default());
    }
    fs::write(&out, [])
}

fn compile(rustc: &str, way: &[&str], source: &Path, out: &Path) -> Result<(), String> {
    let output = Command::new(rustc)
        .args(["--edition", "2024", "--crate-type", "bin", "--crate-name", "recoup_workload"])
        .args(["-C", "target-feature=+crt-static", "-C", "opt-level=2", "-C", "panic=abort"])
        .args(["-C", "strip=symbols", "-C", "codegen-units=1"])
        .args(way)
        // The image's tag is the program's hash: it must not depend on where the source lies.
        .arg("--remap-path-prefix")
        .arg(format!("{}=workload", source.display()))
        .arg("-o")
        .arg(out)
        .arg(source.join("main.rs"))
        .output()
        .map_err(|error| format!("{rustc}: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}
