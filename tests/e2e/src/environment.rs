//! Where the built programs, the models and the sample photographs are.

use std::path::PathBuf;

/// What a test needs from outside the repository.
#[derive(Debug, Clone)]
pub struct Environment {
    bin_dir: PathBuf,
    models_dir: PathBuf,
    media_dir: Option<PathBuf>,
}

impl Environment {
    /// Programs and models, or `None` after saying which variable is not set.
    pub fn find(test: &str) -> Option<Self> {
        Some(Self {
            bin_dir: variable(test, "REDOUBT_BIN_DIR")?,
            models_dir: variable(test, "REDOUBT_MODELS_DIR")?,
            media_dir: std::env::var_os("REDOUBT_MEDIA_DIR").map(PathBuf::from),
        })
    }

    /// Programs alone, for an appliance without a worker.
    pub fn of_programs(bin_dir: PathBuf) -> Self {
        Self {
            bin_dir,
            models_dir: PathBuf::new(),
            media_dir: None,
        }
    }

    /// Programs, models and sample photographs.
    pub fn with_media(test: &str) -> Option<Self> {
        let found = Self::find(test)?;
        variable(test, "REDOUBT_MEDIA_DIR")?;
        Some(found)
    }

    /// A built program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }

    /// The models folder.
    pub fn models(&self) -> &PathBuf {
        &self.models_dir
    }

    /// The model manifest of this source tree.
    pub fn manifest(&self) -> PathBuf {
        [
            env!("CARGO_MANIFEST_DIR"),
            "..",
            "..",
            "images",
            "models.toml",
        ]
        .iter()
        .collect()
    }

    /// The sample photographs.
    pub fn media(&self) -> anyhow::Result<redoubt_bank::media::Media> {
        let dir = self.media_dir.as_deref();
        let dir = dir.ok_or_else(|| anyhow::anyhow!("REDOUBT_MEDIA_DIR is not set"))?;
        redoubt_bank::media::Media::read(dir)
    }

    /// The folder of the sample photographs.
    pub fn media_dir(&self) -> Option<&PathBuf> {
        self.media_dir.as_ref()
    }
}

fn variable(test: &str, name: &str) -> Option<PathBuf> {
    let value = std::env::var_os(name).filter(|value| !value.is_empty());
    if value.is_none() {
        println!("skipped: {test}: {name} is not set");
    }
    value.map(PathBuf::from)
}
