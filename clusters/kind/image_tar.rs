//! The workload's image: one static program, packed here and loaded into the nodes. Nothing is pulled.

use std::{env, io};

use ring::digest::{SHA256, digest};
use serde_json::json;
use tar::{Builder, EntryType, Header};

use super::{Docker, docker::succeeded, program::program};
use crate::ClusterError;

/// The workload as this build compiled it; empty where that was not possible.
static PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/recoup-workload"));
/// Names a static Linux build of harness/workload to use instead.
const OVERRIDE: &str = "RECOUP_WORKLOAD_BIN";
/// Where the program lies in the image; its name is how faults find the workload's process.
pub(super) const PATH: &str = "/recoup-workload";
/// A registry of that name cannot exist: `.local` is never resolved by DNS.
const REPOSITORY: &str = "recoup.local/workload";

/// An image that can be loaded into a node.
pub(super) struct Image {
    /// Its name with a tag made from its content.
    pub name: String,
    /// A docker-archive.
    archive: Vec<u8>,
}

impl Image {
    /// The image of this build's workload.
    pub fn workload() -> Result<Image, ClusterError> {
        let program = program(PROGRAM, OVERRIDE, "the workload's program", "harness/workload")?;
        let path = "image archive".to_owned();
        pack(&program).map_err(|source| ClusterError::File { path, source })
    }

    /// Loads it into a node that does not have it; true where it was loaded now.
    pub async fn load(&self, docker: &Docker, node: &str) -> Result<bool, ClusterError> {
        let filter = format!("name=={}", self.name);
        let find = ["ctr", "--namespace=k8s.io", "images", "ls", "-q", &filter];
        let found = docker.exec(node, &find, None).await?;
        if String::from_utf8_lossy(&found.stdout).lines().any(|line| line == self.name) {
            return Ok(false);
        }
        // As `kind load` does it.
        let import = ["ctr", "--namespace=k8s.io", "images", "import", "--snapshotter=overlayfs", "-"];
        let output = docker.exec(node, &import, Some(self.archive.clone())).await?;
        succeeded(node, &import, output).map(|_| true)
    }
}

/// A docker-archive of one layer with one file. The same program gives the same bytes.
fn pack(program: &[u8]) -> io::Result<Image> {
    let mut layer = Builder::new(Vec::new());
    append(&mut layer, PATH.trim_start_matches('/'), 0o755, program)?;
    let layer = layer.into_inner()?;
    let layer_hash = hex(&layer);
    let config = json!({
        "architecture": match env::consts::ARCH { "x86_64" => "amd64", "aarch64" => "arm64", other => other },
        "os": "linux",
        "created": "1970-01-01T00:00:00Z",
        "config": { "Entrypoint": [PATH] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer_hash}")] },
        "history": [{ "created": "1970-01-01T00:00:00Z", "created_by": "recoup" }],
    })
    .to_string();
    let config_hash = hex(config.as_bytes());
    let name = format!("{REPOSITORY}:{}", config_hash.get(..12).unwrap_or_default());
    let (config_file, layer_file) = (format!("{config_hash}.json"), format!("{layer_hash}/layer.tar"));
    let manifest = json!([{ "Config": config_file, "RepoTags": [name], "Layers": [layer_file] }]).to_string();
    let mut archive = Builder::new(Vec::new());
    append(&mut archive, &config_file, 0o644, config.as_bytes())?;
    append(&mut archive, &layer_file, 0o644, &layer)?;
    append(&mut archive, "manifest.json", 0o644, manifest.as_bytes())?;
    Ok(Image { name, archive: archive.into_inner()? })
}

fn append(archive: &mut Builder<Vec<u8>>, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_size(content.len() as u64);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    archive.append_data(&mut header, path, content)
}

fn hex(content: &[u8]) -> String {
    digest(&SHA256, content).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Read};

    use super::*;

    fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(archive);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().display().to_string(), content)
        });
        entries.collect()
    }

    #[test]
    fn the_archive_names_what_it_holds() {
        let image = pack(b"program").unwrap();
        let outer = files(&image.archive);
        let manifest: serde_json::Value = serde_json::from_slice(&outer["manifest.json"]).unwrap();
        assert_eq!(manifest[0]["RepoTags"][0], image.name);
        let config = &outer[manifest[0]["Config"].as_str().unwrap()];
        let layer = &outer[manifest[0]["Layers"][0].as_str().unwrap()];
        let config: serde_json::Value = serde_json::from_slice(config).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", hex(layer)));
        assert_eq!(files(layer)["recoup-workload"], b"program");
    }

    #[test]
    fn the_same_program_gives_the_same_image_and_another_one_another_name() {
        let (one, same, other) = (pack(b"one").unwrap(), pack(b"one").unwrap(), pack(b"other").unwrap());
        assert_eq!(one.archive, same.archive);
        assert_ne!(one.name, other.name);
        assert_eq!(hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn this_build_holds_a_linux_program() {
        if cfg!(target_os = "linux") {
            assert!(PROGRAM.starts_with(b"\x7fELF"), "{} bytes", PROGRAM.len());
        }
    }
}
