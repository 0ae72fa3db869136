//! The marks on a method: `#[idempotent]` and `#[oneway]`.

use syn::{Attribute, Meta};

use crate::problems::Problems;

/// What the marks on a method say, and the attributes that are not ours.
#[derive(Debug)]
pub(crate) struct Marks {
    /// `#[idempotent]`: running it twice is as good as running it once.
    pub(crate) idempotent: Option<Attribute>,
    /// `#[oneway]`: the caller waits for no answer.
    pub(crate) one_way: Option<Attribute>,
    /// Documentation and everything else that the macro leaves alone.
    pub(crate) rest: Vec<Attribute>,
}

// === impl Marks ===

impl Marks {
    pub(crate) fn parse(attributes: Vec<Attribute>, problems: &mut Problems) -> Self {
        let mut marks = Self { idempotent: None, one_way: None, rest: Vec::new() };
        for attribute in attributes {
            if attribute.path().is_ident("idempotent") {
                set(&mut marks.idempotent, attribute, problems);
            } else if attribute.path().is_ident("oneway") {
                set(&mut marks.one_way, attribute, problems);
            } else {
                refuse_condition(&attribute, problems);
                marks.rest.push(attribute);
            }
        }
        if let (Some(_), Some(idempotent)) = (&marks.one_way, &marks.idempotent) {
            problems.at(
                idempotent,
                "a one-way method cannot be idempotent: nobody learns that a one-way send failed, \
                 so nobody retries it; remove `#[idempotent]`",
            );
        }
        marks
    }
}

fn set(slot: &mut Option<Attribute>, attribute: Attribute, problems: &mut Problems) {
    let Some(name) = attribute.path().get_ident() else { return };
    if !matches!(attribute.meta, Meta::Path(_)) {
        problems.at(&attribute, format!("`{name}` takes no arguments: write `#[{name}]`"));
    }
    if slot.is_some() {
        problems.at(&attribute, format!("`#[{name}]` is given twice: remove one"));
    }
    *slot = Some(attribute);
}

fn refuse_condition(attribute: &Attribute, problems: &mut Problems) {
    if is_conditional(attribute) {
        problems.at(
            attribute,
            "a method cannot be conditional: callers are built apart from services, so a contract is the same in every \
             build; put the condition on the whole trait, or split the trait into two services",
        );
    }
}

/// Whether an attribute depends on how the crate is built. The compiler resolves those on the trait itself before it
/// calls the macro, but not those inside.
fn is_conditional(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr")
}

/// Removes the marks, which no compiler knows.
pub(crate) fn strip_marks(attributes: &mut Vec<Attribute>) {
    attributes.retain(|each| !each.path().is_ident("idempotent") && !each.path().is_ident("oneway"));
}
