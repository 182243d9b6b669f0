//! A folder of recordings for each speaker.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// One recording of one speaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Recording {
    /// Which speaker, in the order of their names.
    pub(crate) speaker: u32,
    /// Its place below the root.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) path: PathBuf,
}

const EXTENSIONS: [&str; 7] = ["wav", "flac", "wave", "ogg", "oga", "opus", "webm"];
/// Folders inside a speaker's folder, such as chapters, and theirs.
const DEPTH_MAX: usize = 4;

/// Every recording below `root`, by speaker (its folders) and name.
pub(super) fn recordings(root: &Path) -> Result<Vec<Recording>> {
    let mut by_speaker: BTreeMap<String, Vec<(String, PathBuf)>> = BTreeMap::new();
    let folders = sorted(root)?.into_iter().filter(|path| path.is_dir());
    for folder in folders {
        for path in files(&folder, DEPTH_MAX)? {
            let below = path.strip_prefix(root).unwrap_or(&path);
            let name = below.to_string_lossy().into_owned();
            by_speaker
                .entry(speaker(below))
                .or_default()
                .push((name, path));
        }
    }
    let mut found = Vec::new();
    for (speaker, own) in by_speaker.into_values().enumerate() {
        let speaker = u32::try_from(speaker)?;
        found.extend(own.into_iter().map(|(name, path)| Recording {
            speaker,
            name,
            path,
        }));
    }
    ensure!(
        !found.is_empty(),
        "{}: no folders of recordings; give a folder that holds one folder for each speaker",
        root.display()
    );
    Ok(found)
}

/// The first folder; or, where files are named as LibriSpeech's are
/// (`speaker-chapter-number`), the folder of the name's speaker, at any depth.
fn speaker(below: &Path) -> String {
    let words: Vec<_> = below
        .components()
        .map(|c| c.as_os_str().to_string_lossy())
        .collect();
    let (file, folders) = words
        .split_last()
        .map_or(("", &[][..]), |(f, rest)| (&**f, rest));
    let named = file.split_once('-').map(|(first, _)| first);
    let named = folders.iter().find(|folder| named == Some(&***folder));
    named
        .or(folders.first())
        .map(|name| name.to_string())
        .unwrap_or_default()
}

fn files(folder: &Path, depth: usize) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in sorted(folder)? {
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        if path.is_dir() && depth > 0 {
            found.extend(files(&path, depth - 1)?);
        } else if EXTENSIONS.iter().any(|known| extension == *known) {
            found.push(path);
        }
    }
    Ok(found)
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let paths = entries.map(|entry| Ok(entry?.path()));
    let mut paths = paths.collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_are_found_by_speaker_at_any_depth_and_other_files_are_not() {
        let dir = tempfile::tempdir().unwrap();
        assert!(recordings(dir.path()).is_err());
        for file in [
            "b/7/x.FLAC",
            "b/6/y.wav",
            "a/z.wav",
            "a/z.trans.txt",
            "c.wav",
        ] {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"x").unwrap();
        }
        let found = recordings(dir.path()).unwrap();
        let seen: Vec<_> = found.iter().map(|r| (r.speaker, r.name.as_str())).collect();
        assert_eq!(seen, [(0, "a/z.wav"), (1, "b/6/y.wav"), (1, "b/7/x.FLAC")]);
    }
    #[test]
    fn a_corpus_of_several_parts_is_told_apart_by_its_speakers() {
        let dir = tempfile::tempdir().unwrap();
        for file in [
            "test-other/1688/142285/1688-142285-0000.flac",
            "test-other/367/130732/367-130732-0001.flac",
            "dev-clean/1272/128104/1272-128104-0003.flac",
        ] {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"x").unwrap();
        }
        let found = recordings(dir.path()).unwrap();
        let speakers: Vec<_> = found.iter().map(|one| one.speaker).collect();
        assert_eq!(speakers, [0, 1, 2]);
    }
}
