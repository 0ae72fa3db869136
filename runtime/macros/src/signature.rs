//! The spelling of a type that both sides of a call compare.
//!
//! A caller and a service are compiled apart, each with its own imports, so the same type is spelled `Vec<Line>` here
//! and `std::vec::Vec<chat::Line>` there. What they exchange is one canonical spelling: no white space, no raw prefix,
//! no redundant parentheses, and each path reduced to its last segment.

use quote::ToTokens as _;
use syn::ext::IdentExt as _;
use syn::{
    AngleBracketedGenericArguments, Expr, ExprLit, GenericArgument, Lit, Path, PathArguments, ReturnType,
    Type,
};

/// The canonical spelling of a type.
pub(crate) fn of(ty: &Type) -> String {
    match peel(ty) {
        Type::Path(path) => match &path.qself {
            Some(qself) => format!("<{}>::{}", of(&qself.ty), of_path(&path.path)),
            None => of_path(&path.path),
        },
        Type::Tuple(tuple) => of_tuple(tuple.elems.iter().map(of).collect()),
        Type::Array(array) => format!("[{};{}]", of(&array.elem), of_expression(&array.len)),
        Type::Slice(slice) => format!("[{}]", of(&slice.elem)),
        Type::Reference(reference) => {
            let mutability = if reference.mutability.is_some() { "mut " } else { "" };
            format!("&{mutability}{}", of(&reference.elem))
        }
        // The rest does not travel; this is how it is quoted in the complaint.
        other => other.to_token_stream().to_string(),
    }
}

/// The canonical spelling of what a method returns.
pub(crate) fn of_return(output: &ReturnType) -> String {
    match output {
        ReturnType::Default => "()".to_owned(),
        ReturnType::Type(_, ty) => of(ty),
    }
}

/// The type inside parentheses and inside the invisible groups that `macro_rules` leaves around a `$type`.
pub(crate) fn peel(ty: &Type) -> &Type {
    match ty {
        Type::Group(group) => peel(&group.elem),
        Type::Paren(paren) => peel(&paren.elem),
        other => other,
    }
}

fn of_path(path: &Path) -> String {
    let Some(last) = path.segments.last() else { return String::new() };
    let name = last.ident.unraw();
    match &last.arguments {
        PathArguments::None => name.to_string(),
        PathArguments::AngleBracketed(arguments) => format!("{name}{}", of_arguments(arguments)),
        PathArguments::Parenthesized(arguments) => {
            without_space(&format!("{name}{}", arguments.to_token_stream()))
        }
    }
}

fn of_arguments(arguments: &AngleBracketedGenericArguments) -> String {
    let arguments: Vec<String> = arguments.args.iter().map(of_argument).collect();
    if arguments.is_empty() { String::new() } else { format!("<{}>", arguments.join(",")) }
}

fn of_argument(argument: &GenericArgument) -> String {
    match argument {
        GenericArgument::Type(ty) => of(ty),
        GenericArgument::Const(value) => of_expression(value),
        other => without_space(&other.to_token_stream().to_string()),
    }
}

fn of_tuple(elements: Vec<String>) -> String {
    match elements.as_slice() {
        [only] => format!("({only},)"),
        _ => format!("({})", elements.join(",")),
    }
}

/// A length or another constant: `32`, `32usize` and `0x20` are one number.
fn of_expression(value: &Expr) -> String {
    match value {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => number.base10_digits().to_owned(),
        Expr::Group(group) => of_expression(&group.expr),
        Expr::Paren(paren) => of_expression(&paren.expr),
        Expr::Path(path) => of_path(&path.path),
        other => without_space(&other.to_token_stream().to_string()),
    }
}

fn without_space(text: &str) -> String {
    text.split_whitespace().collect()
}

/// The types between a segment's angle brackets; nothing if there is anything else between them.
pub(crate) fn type_arguments(arguments: &PathArguments) -> Vec<&Type> {
    let PathArguments::AngleBracketed(arguments) = arguments else { return Vec::new() };
    arguments
        .args
        .iter()
        .map(|argument| match argument {
            GenericArgument::Type(ty) => Some(ty),
            _ => None,
        })
        .collect::<Option<_>>()
        .unwrap_or_default()
}
