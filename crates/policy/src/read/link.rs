//! Policies from templates: `[[link]]` in the settings.

use std::collections::HashMap;

use cedar_policy::{EntityUid, PolicyId, SlotId, Template};

use crate::read::Reading;
use crate::read::lex::pieces;
use crate::read::policy::POLICIES_MAX;
use crate::read::rule::{Body, Rule};
use crate::read::settings::SETTINGS_PATH;
use crate::text::{did_you_mean, quoted, shortened};
use crate::{Kind, Link};

impl Reading {
    /// A policy from a template.
    pub(crate) fn link(&mut self, text: &str, link: &Link) {
        let range = link.start..link.start + "[[link]]".len();
        let id = self.named(SETTINGS_PATH, text, range.clone(), &link.id);
        if self.rules.len() + self.templates.len() >= POLICIES_MAX {
            let message = format!("these are more than {POLICIES_MAX} policies");
            self.problem(SETTINGS_PATH, text, range.clone(), &message, "link a template less often");
            return;
        }
        let Some(template) = self.templates.get(&link.template) else {
            let help = did_you_mean(&link.template, self.templates.keys().map(String::as_str), quoted);
            let message = format!("there is no template `{}`", shortened(&link.template, 80));
            self.problem(SETTINGS_PATH, text, range, &message, &help);
            return;
        };
        let linked = linked(template, link);
        match (id, linked) {
            (_, Err((message, help))) => self.problem(SETTINGS_PATH, text, range, &message, &help),
            (Some(id), Ok((template, values))) => {
                let place = (SETTINGS_PATH, range.clone());
                let rule = Rule::new(id, place, None, Body::Link { template, values });
                match rule.policy() {
                    Ok(_) => self.rules.push(rule),
                    Err(error) => {
                        let message = format!("the link gives no policy: {error}");
                        self.problem(SETTINGS_PATH, text, range, &message, "correct the link");
                    }
                }
            }
            (None, Ok(_)) => {}
        }
    }
}

/// A template with who and what a link puts in.
type Linked = (Box<Template>, HashMap<SlotId, EntityUid>);

/// # Errors
/// What is the matter with the link, and what would mend it.
fn linked(template: &Rule, link: &Link) -> Result<Linked, (String, String)> {
    let Body::Text(source) = &template.body else {
        return Err(("a link is no template".to_owned(), "name a template".to_owned()));
    };
    let parsed = Template::parse(Some(PolicyId::new(&template.id)), source)
        .map_err(|error| (error.to_string(), "restore the shipped file".to_owned()))?;
    let mut values = HashMap::new();
    let parts = [
        ("principal", SlotId::principal(), &link.principal),
        ("resource", SlotId::resource(), &link.resource),
    ];
    for (key, slot, value) in parts {
        match (parsed.slots().any(|one| *one == slot), value) {
            (true, Some(value)) => drop(values.insert(slot, entity(key, value)?)),
            (true, None) => {
                let message = format!("the template `{}` needs a `{key}`", template.id);
                return Err((message, format!("add `{key}`, such as {}", example(key))));
            }
            (false, Some(_)) => {
                let message = format!("the template `{}` takes no `{key}`", template.id);
                return Err((message, format!("remove `{key}`")));
            }
            (false, None) => {}
        }
    }
    Ok((Box::new(parsed), values))
}

fn example(key: &str) -> &'static str {
    if key == "principal" { "`'Group::\"lab\"'`" } else { "`'Dataset::\"digits\"'`" }
}

fn entity(key: &str, text: &str) -> Result<EntityUid, (String, String)> {
    let wrong = |message: String| (message, format!("write it such as {}", example(key)));
    if text.len() > 1024 || pieces(text).iter().any(|piece| piece.depth > 0 || piece.operators > 0) {
        return Err(wrong(format!("`{key}` is too long, or nothing that can be named")));
    }
    let entity: EntityUid = text
        .parse()
        .map_err(|_| wrong(format!("`{key}` is `{}`, which names nothing", shortened(text, 80))))?;
    let type_name = entity.type_name().to_string();
    let known = match key {
        "principal" => ["User", "Group", "Role"].contains(&type_name.as_str()),
        _ => Kind::ALL.iter().any(|kind| kind.as_str() == type_name),
    };
    if known {
        Ok(entity)
    } else {
        Err(wrong(format!("`{key}` cannot be a `{}`", shortened(&type_name, 80))))
    }
}
