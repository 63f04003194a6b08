//! The folders of `src` are layers: the order of the `mod` lines is the order of imports. No module imports one
//! that is declared below it, and no circle goes through a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A module by its path from the root, `["pdp", "decide"]`.
type Module = Vec<String>;

/// Modules whose `mod` lines stand in the order of imports.
const LAYERED: [&str; 5] = ["lib", "trust", "pdp", "service", "service/http"];

/// Every module that is a file, with its source without tests and comments.
fn modules(root: &Path) -> BTreeMap<Module, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let path = folder.join(&name);
            if name.starts_with("tests") {
                continue;
            }
            if root.join(&path).is_dir() {
                folders.push(path);
                continue;
            }
            let Some(stem) = name.strip_suffix(".rs") else {
                continue;
            };
            if ["main", "lib"].contains(&stem) {
                continue;
            }
            let module = folder.join(stem);
            let module = module.iter().map(|part| part.to_str().unwrap().to_owned());
            found.insert(module.collect(), shipped(&root.join(&path)));
        }
    }
    found
}

/// What a file says outside comments and inline tests.
fn shipped(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let end = text.find("\n#[cfg(test)]\nmod tests {");
    let lines = text[..end.unwrap_or(text.len())].lines();
    let code = lines.map(|line| line.split("//").next().unwrap_or_default());
    code.collect::<Vec<_>>().join("\n")
}

/// The paths that a source names from `crate`, `self` or `super` on, groups in braces spelled out.
fn paths(source: &str) -> Vec<Vec<String>> {
    let spaced = source.replace("::", " :: ");
    let mut words = Vec::new();
    for word in spaced.split_whitespace() {
        let mut name = String::new();
        for c in word.chars() {
            if c.is_alphanumeric() || c == '_' || c == ':' {
                name.push(c);
            } else {
                words.extend((!name.is_empty()).then(|| std::mem::take(&mut name)));
                words.push(c.to_string());
            }
        }
        words.extend((!name.is_empty()).then_some(name));
    }
    let mut found = Vec::new();
    let mut at = 0;
    while at + 1 < words.len() {
        let root = ["crate", "self", "super"].contains(&words[at].as_str());
        if root && words[at + 1] == "::" {
            at = path(&words, at, &[], &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// Reads one path, or a group of them, and returns where it ends.
fn path(words: &[String], mut at: usize, above: &[String], found: &mut Vec<Vec<String>>) -> usize {
    let mut path = above.to_vec();
    while let Some(word) = words.get(at) {
        if word == "{" {
            at += 1;
            while words.get(at).is_some_and(|word| word != "}") {
                at = self::path(words, at, &path, found);
                at += usize::from(words.get(at).is_some_and(|word| word == ","));
            }
            return at + 1;
        }
        path.push(word.clone());
        at += 1;
        if words.get(at).is_none_or(|word| word != "::") {
            break;
        }
        at += 1;
    }
    found.push(path);
    if words.get(at).is_some_and(|word| word == "as") {
        at += 2;
    }
    at
}

/// The modules that each module imports.
fn imports(modules: &BTreeMap<Module, String>) -> BTreeMap<Module, BTreeSet<Module>> {
    let imports = |(module, source): (&Module, &String)| {
        let targets = paths(source).into_iter().filter_map(|path| {
            let ups = path.iter().take_while(|part| *part == "super").count();
            let mut target = match path[0].as_str() {
                "crate" => Vec::new(),
                _ => module[..module.len().checked_sub(ups)?].to_vec(),
            };
            target.extend_from_slice(&path[ups.max(usize::from(path[0] != "super"))..]);
            while !target.is_empty() && !modules.contains_key(&target) {
                target.pop();
            }
            (!target.is_empty() && target != *module).then_some(target)
        });
        (module.clone(), targets.collect())
    };
    modules.iter().map(imports).collect()
}

/// The edges between the children of one module: from, to, and an import that is one.
fn between(
    parent: &[String],
    imports: &BTreeMap<Module, BTreeSet<Module>>,
) -> BTreeMap<(String, String), String> {
    let mut edges = BTreeMap::new();
    let below = |module: &Module| {
        (module.starts_with(parent)).then(|| module.get(parent.len()).cloned())?
    };
    for (from, targets) in imports {
        for to in targets {
            if let (Some(a), Some(b)) = (below(from), below(to))
                && a != b
            {
                let shown = format!("{} -> {}", from.join("::"), to.join("::"));
                edges.insert((a, b), shown);
            }
        }
    }
    edges
}

#[test]
fn imports_go_down_the_order_of_modules_and_no_circle_goes_through_a_folder() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let modules = modules(&root);
    let imports = imports(&modules);
    let mut faults = Vec::new();
    for layered in LAYERED {
        let text = fs::read_to_string(root.join(format!("{layered}.rs"))).unwrap();
        let order: Vec<_> = text.lines().filter_map(declared).collect();
        assert!(order.len() > 3, "{layered}.rs declares {order:?}");
        let parent = layered.split('/').filter(|name| *name != "lib");
        let parent: Vec<_> = parent.map(str::to_owned).collect();
        let place = |name: &str| order.iter().position(|known| *known == name);
        for ((from, to), shown) in between(&parent, &imports) {
            if place(&to) > place(&from) {
                faults.push(format!(
                    "{layered}.rs declares `{from}` above `{to}`: {shown}"
                ));
            }
        }
    }
    let parents: BTreeSet<_> = modules
        .keys()
        .map(|module| &module[..module.len() - 1])
        .collect();
    for parent in parents {
        let edges = between(parent, &imports);
        let is_folder = |name: &String| {
            let path: PathBuf = parent.iter().chain([name]).collect();
            root.join(path).is_dir()
        };
        for (from, shown) in edges.iter().filter(|((from, _), _)| is_folder(from)) {
            let mut reached = BTreeSet::from([&from.1]);
            while let Some(((_, next), _)) = edges
                .iter()
                .find(|((a, b), _)| reached.contains(a) && !reached.contains(b))
            {
                reached.insert(next);
            }
            if reached.contains(&from.0) {
                faults.push(format!("a circle goes through `{}`: {shown}", from.0));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The name that a line declares a module by.
fn declared(line: &str) -> Option<&str> {
    let line = line.strip_suffix(';')?;
    let line = line.strip_prefix("pub(crate) ").unwrap_or(line);
    let line = line.strip_prefix("pub ").unwrap_or(line);
    line.strip_prefix("mod ")
}
