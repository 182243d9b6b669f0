//! The command line's way of saying what goes into a ramdisk.

use std::str::FromStr;

use redoubt_image::{Entry, pack};

use crate::read;

/// What goes into one ramdisk.
#[derive(Debug, Clone)]
pub(crate) struct Ramdisk(Vec<Item>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Item {
    File {
        path: String,
        from: String,
        executable: bool,
    },
    Folder(String),
}

impl FromStr for Ramdisk {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(item)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn item(text: &str) -> Result<Item, String> {
    let parsed = match text.split_once(':') {
        Some(("dir", path)) => Some(Item::Folder(path.to_owned())),
        Some((kind @ ("run" | "file"), rest)) => {
            rest.split_once('=').map(|(path, from)| Item::File {
                path: path.to_owned(),
                from: from.to_owned(),
                executable: kind == "run",
            })
        }
        _ => None,
    };
    parsed.ok_or_else(|| format!("{text:?}: write run:PATH=FILE, file:PATH=FILE or dir:PATH"))
}

impl Ramdisk {
    /// Reads the files and packs them.
    pub(crate) fn pack(&self) -> Result<Vec<u8>, String> {
        let (mut files, mut folders) = (Vec::new(), Vec::new());
        for item in &self.0 {
            match item {
                Item::Folder(path) => folders.push(path.as_str()),
                Item::File {
                    path,
                    from,
                    executable,
                } => files.push(Entry {
                    path: path.clone(),
                    executable: *executable,
                    bytes: read(from.as_ref())?,
                }),
            }
        }
        pack(&files, &folders).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_programs_files_and_folders() {
        let program = item("run:init=/a/b=c").unwrap();
        let wanted = Item::File {
            path: "init".into(),
            from: "/a/b=c".into(),
            executable: true,
        };
        assert_eq!(program, wanted);
        assert_eq!(item("dir:dev").unwrap(), Item::Folder("dev".into()));
        for wrong in ["", "init=/a", "run:init", "link:a=b"] {
            assert!(item(wrong).unwrap_err().contains("write run:"), "{wrong}");
        }
    }
}
