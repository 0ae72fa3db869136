//! The parameters of a method: the context, which stays, and the arguments, which travel.

use std::collections::BTreeSet;

use syn::ext::IdentExt as _;
use syn::{Attribute, FnArg, Ident, Pat, PatIdent, PatType, Path, Signature, Type};

use super::travel::{self, Place};
use crate::problems::Problems;
use crate::signature;

/// A parameter whose value travels.
#[derive(Debug)]
pub(crate) struct Parameter {
    /// The name as the user wrote it, possibly raw.
    pub(crate) ident: Ident,
    /// The name that both sides agree on.
    pub(crate) name: String,
    /// The type as the user wrote it.
    pub(crate) ty: Type,
    /// What the stream is made of, if it is one.
    pub(crate) item: Option<Type>,
}

/// The parameters after the receiver.
#[derive(Debug, Default)]
pub(crate) struct Parameters {
    /// Whether the first one is `&Context`.
    pub(crate) context: bool,
    /// The ones whose values travel.
    pub(crate) travelling: Vec<Parameter>,
}

// === impl Parameters ===

impl Parameters {
    pub(crate) fn parse(signature: &Signature, problems: &mut Problems) -> Self {
        let mut parameters = Self::default();
        let mut names = BTreeSet::new();
        let typed = signature.inputs.iter().filter_map(|input| match input {
            FnArg::Typed(typed) => Some(typed),
            FnArg::Receiver(_) => None,
        });
        for (position, typed) in typed.enumerate() {
            refuse_attributes(&typed.attrs, problems);
            if position == 0 && is_context_reference(&typed.ty) {
                parameters.context = true;
                check_pattern(typed, problems);
            } else if mentions_context(&typed.ty) {
                refuse_context(typed, position, problems);
            } else if let Some(parameter) = Parameter::parse(typed, problems) {
                if !names.insert(parameter.name.clone()) {
                    problems.at(
                        &parameter.ident,
                        format!(
                            "two parameters are called `{}`: both sides know them by name; rename one",
                            parameter.name
                        ),
                    );
                }
                if parameter.item.is_some() && parameters.travelling.iter().any(|other| other.item.is_some())
                {
                    problems.at(
                        &typed.ty,
                        "a method takes one stream: put both kinds of items into one enum, or make it two methods",
                    );
                }
                parameters.travelling.push(parameter);
            }
        }
        parameters
    }
}

// === impl Parameter ===

impl Parameter {
    fn parse(typed: &PatType, problems: &mut Problems) -> Option<Self> {
        let item = travel::stream_item(&typed.ty);
        travel::check(item.unwrap_or(&typed.ty), Place::Parameter, problems);
        let ident = check_pattern(typed, problems)?;
        let (ty, item) = (typed.ty.as_ref().clone(), item.cloned());
        Some(Self { name: ident.unraw().to_string(), ident, ty, item })
    }

    /// Whether the type is spelled as the `String` of the standard library, for which clients take a `&str` too.
    pub(crate) fn is_string(&self) -> bool {
        let Type::Path(ty) = signature::peel(&self.ty) else { return false };
        let segments: Vec<String> =
            ty.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let bare = ty.qself.is_none() && ty.path.segments.iter().all(|segment| segment.arguments.is_none());
        let spelling: Vec<&str> = segments.iter().map(String::as_str).collect();
        bare && matches!(spelling.as_slice(), ["String"] | ["std" | "alloc", "string", "String"])
    }
}

/// The name of a parameter whose pattern is nothing but a name.
fn check_pattern(typed: &PatType, problems: &mut Problems) -> Option<Ident> {
    match plain(&typed.pat) {
        Some(ident) => Some(ident.clone()),
        None => {
            problems.at(
                &typed.pat,
                "a parameter of a contract is a plain name, by which its value travels: \
                 write `name: Type` here and the pattern in the implementation",
            );
            None
        }
    }
}

fn plain(pattern: &Pat) -> Option<&Ident> {
    match pattern {
        Pat::Ident(PatIdent { attrs, by_ref: None, mutability: None, ident, subpat: None })
            if attrs.is_empty() =>
        {
            Some(ident)
        }
        _ => None,
    }
}

/// Whether all parameters are plain and distinct names, which the compiler demands of a method without a body.
pub(crate) fn all_plain(signature: &Signature) -> bool {
    let mut names = BTreeSet::new();
    signature.inputs.iter().all(|input| match input {
        FnArg::Receiver(_) => true,
        FnArg::Typed(typed) => plain(&typed.pat).is_some_and(|ident| names.insert(ident.unraw().to_string())),
    })
}

/// Reports attributes on a parameter.
pub(crate) fn refuse_attributes(attributes: &[Attribute], problems: &mut Problems) {
    for attribute in attributes {
        problems.at(
            attribute,
            "a parameter of a contract has no attributes: its name and its type say how it travels; \
             remove it or put it on a field of a struct",
        );
    }
}

/// Whether a type is `&Context`, by the last segment of its path.
fn is_context_reference(ty: &Type) -> bool {
    match signature::peel(ty) {
        Type::Reference(reference) => {
            reference.mutability.is_none() && reference.lifetime.is_none() && is_context(&reference.elem)
        }
        _ => false,
    }
}

fn is_context(ty: &Type) -> bool {
    match signature::peel(ty) {
        Type::Path(ty) => ty.qself.is_none() && ends_in_context(&ty.path),
        _ => false,
    }
}

fn ends_in_context(path: &Path) -> bool {
    path.segments.last().is_some_and(|segment| segment.ident == "Context" && segment.arguments.is_none())
}

/// Whether a type is a context in any form: by value, by reference or by mutable reference.
fn mentions_context(ty: &Type) -> bool {
    match signature::peel(ty) {
        Type::Reference(reference) => is_context(&reference.elem),
        other => is_context(other),
    }
}

fn refuse_context(typed: &PatType, position: usize, problems: &mut Problems) {
    if position == 0 {
        problems.at(
            &typed.ty,
            "a handler borrows the context of its call: write `cx: &Context`; \
             to send a type of your own that is called `Context`, give it another name",
        );
    } else {
        problems.at(
            typed,
            "the context comes first, and once, as callers do not send it: write `cx: &Context` right after the receiver",
        );
    }
}
