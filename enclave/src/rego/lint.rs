//! What a bundle may hold, read from the syntax tree.

use std::collections::BTreeSet;

use serde_json::Value;

use super::wire::Refused;

/// Builtins that a policy may call: pure, and without a world outside.
const ALLOWED: &[&str] = &[
    "abs",
    "array.concat",
    "array.reverse",
    "array.slice",
    "bits.and",
    "bits.lsh",
    "bits.negate",
    "bits.or",
    "bits.rsh",
    "bits.xor",
    "ceil",
    "concat",
    "contains",
    "count",
    "endswith",
    "floor",
    "format_int",
    "indexof",
    "intersection",
    "is_array",
    "is_boolean",
    "is_null",
    "is_number",
    "is_object",
    "is_set",
    "is_string",
    "json.filter",
    "json.remove",
    "lower",
    "max",
    "min",
    "numbers.range",
    "object.filter",
    "object.get",
    "object.keys",
    "object.remove",
    "object.subset",
    "object.union",
    "product",
    "replace",
    "round",
    "sort",
    "split",
    "sprintf",
    "startswith",
    "strings.reverse",
    "substring",
    "sum",
    "to_number",
    "trim",
    "trim_left",
    "trim_prefix",
    "trim_right",
    "trim_space",
    "trim_suffix",
    "type_name",
    "union",
    "upper",
];
/// Families that reach for time, chance, the network or the machine. Nothing of a
/// bundle may be named so either.
const FORBIDDEN: &[&str] = &[
    "crypto",
    "http",
    "io",
    "net",
    "opa",
    "providers",
    "rand",
    "time",
    "trace",
    "uuid",
];
const PACKAGE: &str = "redoubt";
const RULE: &str = "decision";

/// Checks modules as `Engine::get_ast_as_json` shows them; answers the paths of the
/// unit tests.
pub(super) fn check(ast: &str) -> Result<Vec<String>, Refused> {
    let odd = |what: String| Refused::new("does_not_compile", what);
    let modules: Vec<Value> =
        serde_json::from_str(ast).map_err(|error| odd(format!("too deep: {error}")))?;
    let mut found = Found::default();
    for module in &modules {
        found.module(&module["ast"]).map_err(odd)?;
    }
    let free = |name: &&String| {
        let family = name.split('.').next().unwrap_or_default();
        let own = family == "data" || found.own.contains(family);
        FORBIDDEN.contains(&family) || !(own || ALLOWED.contains(&name.as_str()))
    };
    if let Some(name) = found.calls.iter().find(free) {
        return Err(Refused::new(
            "forbidden_builtin",
            format!("{name} may not be called"),
        ));
    }
    if !found.decides {
        let missing = format!("no rule {RULE} in package {PACKAGE}");
        return Err(Refused::new("no_decision", missing));
    }
    match found.tests.is_empty() {
        true => Err(Refused::new("no_tests", "no rule is named test_…")),
        false => Ok(found.tests.into_iter().collect()),
    }
}

#[derive(Default)]
struct Found {
    /// First words of what the bundle itself defines or imports.
    own: BTreeSet<String>,
    /// What is called.
    calls: BTreeSet<String>,
    tests: BTreeSet<String>,
    decides: bool,
}

impl Found {
    fn module(&mut self, ast: &Value) -> Result<(), String> {
        let package = path(&ast["package"]["refr"]).ok_or("package: use plain names")?;
        for rule in ast["rules"].as_array().into_iter().flatten() {
            let (name, test) = head(rule).ok_or("a rule's name is not plain")?;
            let first = name.split('.').next().unwrap_or_default();
            self.decides |= package == PACKAGE && first == RULE;
            self.own.insert(first.to_owned());
            let twice = test
                && first.starts_with("test_")
                && !self.tests.insert(format!("data.{package}.{name}"));
            if twice {
                return Err(format!("{name} is defined twice; a test has one body"));
            }
        }
        for import in ast["imports"].as_array().into_iter().flatten() {
            let alias = import["as"]
                .as_array()
                .and_then(|span| span.last()?.as_str());
            let whole = path(&import["refr"]);
            let last = whole.as_deref().and_then(|path| path.rsplit('.').next());
            self.own.extend(alias.or(last).map(str::to_owned));
        }
        self.walk(&ast["rules"])
    }

    fn walk(&mut self, node: &Value) -> Result<(), String> {
        match node {
            Value::Object(members) => {
                if let Some(call) = members.get("Call") {
                    let name = path(&call["fcn"]).ok_or("a call of something without a name")?;
                    self.calls.insert(name);
                }
                if let Some((target, other)) = members.get("refr").zip(members.get("as")) {
                    self.replaced(target, other)?;
                }
                members.values().try_for_each(|member| self.walk(member))
            }
            Value::Array(items) => items.iter().try_for_each(|item| self.walk(item)),
            _ => Ok(()),
        }
    }

    /// `with target as other`: a name in the place of anything but input may be called.
    fn replaced(&mut self, target: &Value, other: &Value) -> Result<(), String> {
        let target = path(target).unwrap_or_default();
        let input = target.split('.').next() == Some("input") && !self.own.contains("input");
        let named = ["Var", "RefDot", "RefBrack"];
        if !input && named.iter().any(|kind| other.get(kind).is_some()) {
            let name = path(other).ok_or("a replacement without a plain name")?;
            self.calls.insert(name);
        }
        Ok(())
    }
}

/// The name of a rule, and whether it could be a test: a plain rule, no function, set
/// or default.
fn head(rule: &Value) -> Option<(String, bool)> {
    if let Some(default) = rule.get("Default") {
        return Some((path(&default["refr"])?, false));
    }
    let head = rule.get("Spec")?.get("head")?.as_object()?;
    let (kind, head) = head.iter().next()?;
    let refr = &head["refr"];
    // A rule over a key, such as p[x], is named by what stands before the key.
    let refr = refr
        .get("RefBrack")
        .map_or(refr, |indexed| &indexed["refr"]);
    Some((path(refr)?, kind == "Compr"))
}

/// A dotted path of plain names.
fn path(refr: &Value) -> Option<String> {
    if let Some(var) = refr.get("Var") {
        return Some(var["value"].as_str()?.to_owned());
    }
    let dot = refr.get("RefDot")?;
    let field = dot["field"].as_array()?.last()?.as_str()?;
    Some(format!("{}.{field}", path(&dot["refr"])?))
}
