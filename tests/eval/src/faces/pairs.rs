//! LFW's lists of pairs (Huang et al. 2007).
//!
//! A line names two images of one person (`name n1 n2`) or of two
//! (`name1 n1 name2 n2`). The first line may say how many parts there are and how many
//! pairs of each kind in a part (`10 300`), or only the latter (`500`); parts follow
//! each other, in each the pairs of one person first.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context, Result, bail, ensure};

use super::tree::Image;

/// Two images of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// Index of an image.
    pub one: usize,
    /// Index of the other.
    pub other: usize,
    /// Whether the list says they are of one person.
    pub same: bool,
    /// Which part of the list.
    pub fold: usize,
}

/// A list over the images there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    /// Its pairs of which both images are there.
    pub pairs: Vec<Pair>,
    /// How many parts it has.
    pub folds: usize,
    /// Pairs of which an image is not there.
    pub missing: usize,
}

/// The pairs of a list over these images.
pub fn read(list: &str, images: &[Image]) -> Result<List> {
    let known = images.iter().enumerate();
    let known: HashMap<&str, usize> = known.map(|(at, image)| (stem(&image.name), at)).collect();
    let list = list.trim_start_matches('\u{feff}');
    let lines = list.lines().enumerate();
    let mut lines = lines.filter(|(_, line)| !line.trim().is_empty()).peekable();
    let each = lines
        .next_if(|(_, line)| line.split_whitespace().all(is_number))
        .and_then(|(_, line)| line.split_whitespace().last()?.parse::<usize>().ok());
    let (mut pairs, mut counted) = (Vec::new(), 0);
    for (number, line) in lines {
        let find = |person: &str, image: &str| {
            let image: u32 = image.parse().context("an image's number is none")?;
            let name = format!("{person}/{person}_{image:04}");
            Ok::<_, anyhow::Error>(known.get(name.as_str()).copied())
        };
        let read = || {
            let (one, other, same) = match line.split_whitespace().collect::<Vec<_>>()[..] {
                [person, a, b] => (find(person, a)?, find(person, b)?, true),
                [person, a, stranger, b] => (find(person, a)?, find(stranger, b)?, false),
                _ => bail!("three or four words belong here"),
            };
            let (Some(one), Some(other)) = (one, other) else {
                return Ok(None);
            };
            ensure!(one != other, "both are one image");
            let fold = each.map_or(0, |each| counted / (2 * each).max(1));
            Ok(Some(Pair {
                one,
                other,
                same,
                fold,
            }))
        };
        let pair = read().with_context(|| format!("line {}: {line:?}", number + 1))?;
        pairs.extend(pair);
        counted += 1;
    }
    let folds: BTreeSet<usize> = pairs.iter().map(|pair: &Pair| pair.fold).collect();
    ensure!(
        counted == 0 || !pairs.is_empty(),
        "none of its images is below the folder"
    );
    Ok(List {
        folds: folds.len(),
        missing: counted - pairs.len(),
        pairs,
    })
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images() -> Vec<Image> {
        let names = [
            "A_B/A_B_0001.jpg",
            "A_B/A_B_0002.jpg",
            "C/C_0001.jpg",
            "C/C_0012.jpg",
        ];
        let image = |(at, name): (usize, &&str)| Image {
            person: at as u32 / 2,
            name: (*name).to_owned(),
            path: name.into(),
        };
        names.iter().enumerate().map(image).collect()
    }

    fn pair(one: usize, other: usize, same: bool, fold: usize) -> Pair {
        Pair {
            one,
            other,
            same,
            fold,
        }
    }

    #[test]
    fn lists_with_parts_with_a_count_and_without_either_are_read() {
        let lines = "A_B\t1\t2\nA_B 1 C 12\nC 1 12\nC\t1\tA_B\t2\n";
        let all = |folds: [usize; 4]| {
            let [a, b, c, d] = folds;
            vec![
                pair(0, 1, true, a),
                pair(0, 3, false, b),
                pair(2, 3, true, c),
                pair(2, 1, false, d),
            ]
        };
        let read = |header: &str| read(&format!("{header}{lines}"), &images()).unwrap();
        let list = |pairs, folds| List {
            pairs,
            folds,
            missing: 0,
        };
        assert_eq!(read("2\t1\n"), list(all([0, 0, 1, 1]), 2));
        assert_eq!(read("\u{feff}2\t1\n\n"), list(all([0, 0, 1, 1]), 2));
        assert_eq!(read("\n1 2\n"), list(all([0; 4]), 1));
        assert_eq!(read("2\n"), list(all([0; 4]), 1));
        assert_eq!(read(""), list(all([0; 4]), 1));
    }

    #[test]
    fn pairs_of_images_that_are_not_there_are_counted_and_left_out() {
        let lines = "2\t1\nA_B 1 3\nA_B 1 C 12\nC 1 12\nC 1 D 1\n";
        let list = read(lines, &images()).unwrap();
        assert_eq!(list.pairs, [pair(0, 3, false, 0), pair(2, 3, true, 1)]);
        assert_eq!((list.folds, list.missing), (2, 2));
        let none = read("1\t1\nD 1 2\nD 1 E 2\n", &images()).unwrap_err();
        assert!(none.to_string().contains("none of its images"), "{none}");
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        for (line, why) in [
            ("A_B 1", "three or four"),
            ("A_B x C 1", "none"),
            ("A_B 1 1", "one image"),
        ] {
            let refused = format!(
                "{:#}",
                read(&format!("1 1\n{line}"), &images()).unwrap_err()
            );
            assert!(
                refused.contains("line 2") && refused.contains(why),
                "{refused}"
            );
        }
    }
}
