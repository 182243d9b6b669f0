//! A folder of images for each person.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// One image of one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Which person, in the order of their names.
    pub person: u32,
    /// Folder and file below the root.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

const EXTENSIONS: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

/// Every image below `root`, by person and name.
pub fn images(root: &Path) -> Result<Vec<Image>> {
    let mut found = Vec::new();
    let folders = sorted(root)?.into_iter().filter(|path| path.is_dir());
    for (person, folder) in folders.enumerate() {
        let owner = name(&folder);
        for path in sorted(&folder)? {
            let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
            if EXTENSIONS.iter().any(|known| extension == *known) {
                found.push(Image {
                    person: u32::try_from(person)?,
                    name: format!("{owner}/{}", name(&path)),
                    path,
                });
            }
        }
    }
    ensure!(
        !found.is_empty(),
        "{}: no folders of images; give a folder that holds one folder for each person",
        root.display()
    );
    Ok(found)
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_found_by_person_and_other_files_are_not() {
        let dir = tempfile::tempdir().unwrap();
        assert!(images(dir.path()).is_err());
        for file in [
            "b/b_0001.jpg",
            "a/a_0002.PNG",
            "a/a_0001.jpeg",
            "a/notes.txt",
        ] {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"x").unwrap();
        }
        std::fs::write(dir.path().join("pairs.txt"), b"1 300").unwrap();
        let found = images(dir.path()).unwrap();
        let seen: Vec<_> = found.iter().map(|i| (i.person, i.name.as_str())).collect();
        assert_eq!(
            seen,
            [
                (0, "a/a_0001.jpeg"),
                (0, "a/a_0002.PNG"),
                (1, "b/b_0001.jpg")
            ]
        );
    }
}
