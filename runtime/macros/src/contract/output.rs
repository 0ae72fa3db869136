//! What a method returns.

use syn::{PathSegment, ReturnType, Type};

use super::travel::{self, Place};
use crate::problems::Problems;
use crate::signature;

/// What travels back from a method.
#[derive(Debug)]
pub(crate) struct Output {
    /// What is returned when all went well.
    pub(crate) value: Type,
    /// What the stream is made of, if that is one.
    pub(crate) item: Option<Type>,
    /// The service's own error, if the method returns a `Result`.
    pub(crate) error: Option<Type>,
}

// === impl Output ===

impl Output {
    /// Reads a return type; `None` if it is unusable, which is then reported.
    pub(crate) fn parse(output: &ReturnType, one_way: bool, problems: &mut Problems) -> Option<Self> {
        let ReturnType::Type(_, ty) = output else {
            return Some(Self { value: syn::parse_quote!(()), item: None, error: None });
        };
        if one_way && !is_unit(ty) {
            problems.at(
                output,
                "a one-way method returns nothing, as nobody waits for it: remove the return type or `#[oneway]`",
            );
            return None;
        }
        let before = problems.count();
        let output = match result_segment(ty) {
            Some(segment) => Self::parse_result(ty, segment, problems)?,
            None => Self::of(ty, None),
        };
        travel::check(output.item.as_ref().unwrap_or(&output.value), Place::Return, problems);
        output.error.iter().for_each(|error| travel::check(error, Place::Return, problems));
        (problems.count() == before).then_some(output)
    }

    fn of(value: &Type, error: Option<Type>) -> Self {
        Self { value: value.clone(), item: travel::stream_item(value).cloned(), error }
    }

    fn parse_result(ty: &Type, segment: &PathSegment, problems: &mut Problems) -> Option<Self> {
        let types = signature::type_arguments(&segment.arguments);
        if let [value, error] = types.as_slice() {
            return Some(Self::of(value, Some((*error).clone())));
        }
        let value = types.first().map_or_else(|| "T".to_owned(), |value| signature::of(value));
        problems.at(
            ty,
            format!(
                "this `Result` hides its error type, which callers must know: \
                 write the error type out, as in `Result<{value}, ChatError>`"
            ),
        );
        None
    }
}

fn is_unit(ty: &Type) -> bool {
    matches!(signature::peel(ty), Type::Tuple(tuple) if tuple.elems.is_empty())
}

fn result_segment(ty: &Type) -> Option<&PathSegment> {
    match signature::peel(ty) {
        Type::Path(ty) => ty.path.segments.last().filter(|segment| segment.ident == "Result"),
        _ => None,
    }
}
